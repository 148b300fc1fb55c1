//! Random histories of several processes, compared with a model that is a map from offsets to what lives there.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Claim(usize, u64),
    Free(usize, usize),
    HandOver(usize, usize, usize),
    Keep(usize, usize),
    AdoptKept(usize, usize),
    Die(usize),
    Leave(usize),
    Reclaim(usize),
}

const PROCESSES: usize = 3;

fn action() -> impl Strategy<Value = Action> {
    let len = prop_oneof![
        4 => 0u64..300,
        3 => 300u64..33_000,
        2 => 33_000u64..300_000,
        1 => Just(CHUNK * 20),
    ];
    let who = 0..PROCESSES;
    prop_oneof![
        8 => (who.clone(), len).prop_map(|(p, len)| Action::Claim(p, len)),
        5 => (who.clone(), any::<usize>()).prop_map(|(p, i)| Action::Free(p, i)),
        2 => (who.clone(), any::<usize>(), who.clone()).prop_map(|(p, i, to)| Action::HandOver(p, i, to)),
        1 => (who.clone(), any::<usize>()).prop_map(|(p, i)| Action::Keep(p, i)),
        1 => (who.clone(), any::<usize>()).prop_map(|(p, i)| Action::AdoptKept(p, i)),
        1 => who.clone().prop_map(Action::Die),
        1 => who.clone().prop_map(Action::Leave),
        1 => who.prop_map(Action::Reclaim),
    ]
}

/// What the model knows about a live place.
#[derive(Clone, Copy)]
struct Known {
    place: Place,
    holding: Holding,
    fill: u8,
}

struct World {
    memory: Arc<Memory>,
    processes: Vec<Process>,
    known: BTreeMap<u64, Known>,
    gone: Vec<OwnerId>,
    fills: u8,
}

impl World {
    /// The n-th place (modulo their number) that is held like this.
    fn pick(&self, holding: Holding, n: usize) -> Option<(u64, Known)> {
        let mut held = self.known.iter().filter(|(_, known)| known.holding == holding);
        let count = held.clone().count();
        held.nth(n.checked_rem(count)?).map(|(at, known)| (*at, *known))
    }

    fn set(&mut self, at: u64, holding: Holding) {
        self.known.get_mut(&at).unwrap().holding = holding;
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Claim(p, len) => {
                let process = &self.processes[p];
                let Some(place) = process.claim(len) else { return };
                assert!(place.capacity() >= len);
                self.fills = self.fills.wrapping_add(1);
                let (at, fill) = (process.heap.offset_of(place), self.fills);
                process.fill(place, fill);
                let known = Known { place, holding: Holding::held(process.me), fill };
                assert!(self.known.insert(at, known).is_none());
            }
            Action::Free(p, i) => {
                let process = &self.processes[p];
                if let Some((at, known)) = self.pick(Holding::held(process.me), i) {
                    assert!(process.is_filled(known.place, known.fill));
                    assert!(process.free(known.place));
                    self.known.remove(&at);
                }
                // What another one holds cannot be freed.
                let other = Holding::held(self.processes[(p + 1) % PROCESSES].me);
                if let Some((_, known)) = self.pick(other, i) {
                    assert!(!self.processes[p].free(known.place));
                }
            }
            Action::HandOver(p, i, to) => {
                let (from, to) = (self.processes[p].me, self.processes[to].me);
                if let Some((at, known)) = self.pick(Holding::held(from), i) {
                    assert!(self.processes[p].hand_over(known.place, to));
                    let heir = self.processes.iter().find(|process| process.me == to).unwrap();
                    assert_eq!(heir.adopt(at, to), Some(known.place));
                    assert!(heir.is_filled(known.place, known.fill));
                    self.set(at, Holding::held(to));
                }
            }
            Action::Keep(p, i) => {
                let me = self.processes[p].me;
                if let Some((at, known)) = self.pick(Holding::held(me), i) {
                    assert!(self.processes[p].hand_over(known.place, OwnerId::KEPT));
                    self.set(at, Holding::parked(OwnerId::KEPT));
                }
            }
            Action::AdoptKept(p, i) => {
                if let Some((at, known)) = self.pick(Holding::parked(OwnerId::KEPT), i) {
                    assert_eq!(self.processes[p].adopt(at, OwnerId::KEPT), Some(known.place));
                    self.set(at, Holding::held(self.processes[p].me));
                }
            }
            Action::Die(p) | Action::Leave(p) => {
                let process = &self.processes[p];
                if matches!(action, Action::Leave(_)) {
                    process.heap.forget(process.me);
                }
                process.die();
                self.gone.push(process.me);
                self.processes[p] = Process::new(&self.memory);
            }
            Action::Reclaim(p) => {
                let freed = self.processes[p].reclaim();
                let before = self.known.len();
                self.known.retain(|_, known| !self.gone.contains(&known.holding.owner));
                assert_eq!(freed.blocks, (before - self.known.len()) as u64);
            }
        }
        let expected: Vec<_> =
            self.known.iter().map(|(at, k)| (*at, k.place.capacity(), k.holding)).collect();
        assert_eq!(live(&self.processes[0].heap), (expected, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 64 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn histories_agree_with_the_model(
        chunks in 1u64..24,
        actions in proptest::collection::vec(action(), 1..if cfg!(miri) { 20 } else { 300 }),
    ) {
        let memory = Memory::with_chunks(chunks);
        let processes = (0..PROCESSES).map(|_| Process::new(&memory)).collect();
        let mut world = World { memory, processes, known: BTreeMap::new(), gone: vec![], fills: 0 };
        for action in actions {
            world.apply(action);
        }
        for known in world.known.values() {
            prop_assert!(world.processes[0].is_filled(known.place, known.fill));
        }
        // Everybody dies: all that was not kept comes back.
        world.processes.iter().for_each(Process::die);
        let heir = Process::new(&world.memory);
        heir.reclaim();
        let kept = world.known.values().filter(|known| known.holding.owner == OwnerId::KEPT).count();
        prop_assert_eq!(live(&heir.heap).0.len(), kept);
    }
}
