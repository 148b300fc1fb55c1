//! Every operation of the heap, killed at every one of its stores, and stalled there while others go on.
//!
//! A death is an unwinding panic at the store: nothing in the heap cleans up in a destructor, so what stays behind is
//! exactly what SIGKILL would leave (`tests/arena_kill.rs` does the same with real processes and ptrace). After each
//! death the dead process's blocks come back, nobody else's change, and every chunk can be used again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::super::step;
use super::*;

/// Two processes with blocks of all kinds in an arena that is nearly full.
struct Fixture {
    victim: Process,
    other: Process,
    /// Held by the victim.
    block: Place,
    /// Held by the victim, claimed by it.
    run: Place,
    /// Held by the victim, claimed by the other one: its tails name somebody else.
    given_run: Place,
    /// Kept in the segment.
    kept: u64,
    /// Held by the other process.
    others: Vec<Place>,
}

const CHUNKS: u64 = 12;

/// Says whether it got what it wanted.
type Operation = fn(&Fixture) -> bool;

impl Fixture {
    fn new() -> Self {
        let memory = Memory::with_chunks(CHUNKS);
        let (victim, other) = (Process::new(&memory), Process::new(&memory));
        let block = victim.claim(20_000).unwrap();
        let run = victim.claim(3 * CHUNK).unwrap();
        let given = other.claim(2 * CHUNK).unwrap();
        assert!(other.hand_over(given, victim.me));
        let given_run = victim.adopt(other.heap.offset_of(given), victim.me).unwrap();
        let kept = other.claim(30_000).unwrap();
        assert!(other.hand_over(kept, OwnerId::KEPT));
        let others = vec![other.claim(10_000).unwrap(), other.claim(2 * CHUNK).unwrap()];
        for place in &others {
            other.fill(*place, 0xA5);
        }
        let kept = other.heap.offset_of(kept);
        Self { victim, other, block, run, given_run, kept, others }
    }

    /// Everything that the victim may do.
    fn operations() -> Vec<(&'static str, Operation)> {
        vec![
            ("claim a block in a slab", |f| f.victim.claim(20_000).is_some()),
            ("claim a block in a new slab", |f| f.victim.claim(5000).is_some()),
            ("fill a slab", |f| (0..3).all(|_| f.victim.claim(21_000).is_some())),
            ("claim a run", |f| f.victim.claim(2 * CHUNK).is_some()),
            ("claim too much", |f| f.victim.claim(5 * CHUNK).is_none()),
            ("free a block", |f| f.victim.free(f.block)),
            ("free a run", |f| f.victim.free(f.run)),
            ("free a run that was given", |f| f.victim.free(f.given_run)),
            ("hand a block over", |f| f.victim.hand_over(f.block, f.other.me)),
            ("hand a run over", |f| f.victim.hand_over(f.given_run, f.other.me)),
            ("keep", |f| f.victim.hand_over(f.run, OwnerId::KEPT)),
            ("adopt", |f| f.victim.adopt(f.kept, OwnerId::KEPT).is_some()),
            ("change a slab's class", |f| {
                // Fill every chunk, then empty a slab and ask for another class of its group.
                while f.victim.claim(CHUNK).is_some() {}
                while f.victim.claim(20_000).is_some_and(|place| place != f.block) {}
                f.victim.free(f.block) && f.victim.claim(30_000).is_some() | true
            }),
            ("register and leave", |f| {
                let locks = (&*f.victim.memory, f.victim.number);
                let second = f.victim.heap.register(&locks, 7).unwrap().unwrap();
                f.victim.heap.forget(second);
                true
            }),
        ]
    }

    /// What must hold after the victim's death, whenever it came; `heir` is alive.
    fn check_after_death(&self, heir: &Process, what: &str) {
        heir.reclaim();
        let (live, claimed) = live(&heir.heap);
        assert_eq!(claimed, 0, "{what}: chunks in limbo");
        for (at, _, holding) in &live {
            assert_ne!(holding.owner, self.victim.me, "{what}: block at {at} still belongs to the dead");
        }
        for place in &self.others {
            assert!(self.other.is_filled(*place, 0xA5), "{what}: content changed");
            assert!(self.other.free(*place), "{what}: no longer the other's");
        }
        // Whatever else is live now was kept, or was handed over just before the death.
        for (at, _, holding) in live {
            if let Some((place, now)) = heir.heap.locate(at) {
                assert_eq!(now, holding, "{what}");
                assert!(holding.parked, "{what}: {holding:?}");
                assert!(heir.heap.free(place, holding, heir.me), "{what}");
            }
        }
        // No chunk is lost: what did not become a slab can be one run after the other, and the slabs take blocks.
        let chunks = heir.heap.walk(|_| panic!("{what}: something is still live"));
        assert_eq!(u64::from(chunks.free + chunks.slabs), CHUNKS, "{what}");
        let runs = (0..).map_while(|_| heir.claim(CHUNK)).count();
        assert_eq!(runs as u32, chunks.free, "{what}");
        let blocks = (0..).map_while(|_| heir.claim(20_000)).count();
        assert_eq!(blocks as u32, 3 * chunks.slabs, "{what}");
    }
}

/// Lets `operation` run until its store number `at` and ends it there; says whether it came so far.
fn die_at<R>(at: u64, operation: impl FnOnce() -> R) -> bool {
    let killed = || resume_unwind(Box::new("killed"));
    match catch_unwind(AssertUnwindSafe(|| step::visit_at(at, killed, operation))) {
        Ok((_, visited)) => visited,
        Err(_) => true,
    }
}

#[test]
fn operations_do_what_they_say() {
    for (name, operation) in Fixture::operations() {
        let fixture = Fixture::new();
        assert!(operation(&fixture), "{name}");
        fixture.victim.die();
        fixture.check_after_death(&Process::new(&fixture.victim.memory), name);
    }
}

#[test]
fn the_class_of_a_slab_does_change() {
    let fixture = Fixture::new();
    let operations = Fixture::operations();
    let (_, change) = operations.iter().find(|(name, _)| *name == "change a slab's class").unwrap();
    while fixture.other.claim(CHUNK).is_some() {}
    assert!(change(&fixture));
    let (live, _) = live(&fixture.victim.heap);
    assert!(
        live.iter()
            .any(|(_, capacity, holding)| { *capacity == 32_640 && holding.owner == fixture.victim.me })
    );
}

#[test]
fn a_death_at_any_store_leaks_only_the_own_blocks() {
    let mut deaths = 0;
    for (name, operation) in Fixture::operations() {
        let stores = step::count(|| operation(&Fixture::new())) - step::count(Fixture::new);
        for at in sample(stores) {
            let fixture = Fixture::new();
            assert!(die_at(at, || operation(&fixture)), "{name} has {stores} stores");
            fixture.victim.die();
            fixture.check_after_death(&Process::new(&fixture.victim.memory), &format!("{name}, store {at}"));
            deaths += 1;
        }
    }
    assert!(deaths > 40 || cfg!(miri), "{deaths}");
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes, and one thread alone has no data races")]
fn a_reclaimer_may_die_too() {
    for (name, operation) in Fixture::operations() {
        let stores = step::count(|| operation(&Fixture::new())) - step::count(Fixture::new);
        for at in some(stores) {
            for second in 0.. {
                let fixture = Fixture::new();
                die_at(at, || operation(&fixture));
                fixture.victim.die();
                let reclaimer = Process::new(&fixture.victim.memory);
                let died = die_at(second, || reclaimer.reclaim());
                reclaimer.die();
                let heir = Process::new(&fixture.victim.memory);
                fixture.check_after_death(&heir, &format!("{name}, store {at}, reclaim {second}"));
                if !died {
                    break;
                }
            }
        }
    }
}

/// One process stops before a store, for as long as another one needs for a whole operation, and goes on.
#[test]
#[cfg_attr(miri, ignore = "takes minutes, and one thread alone has no data races")]
fn a_stall_at_any_store_disturbs_nobody() {
    type Meanwhile = fn(&Process) -> bool;
    let meanwhile: [(&str, Meanwhile); 5] = [
        ("claims of all sizes", |p| {
            let places: Vec<_> =
                [20_000, 5000, 30_000, CHUNK].iter().filter_map(|len| p.claim(*len)).collect();
            places.iter().for_each(|place| p.fill(*place, 0x77));
            places.iter().all(|place| p.is_filled(*place, 0x77))
        }),
        ("claim and free", |p| {
            [20_000, 5000, 2 * CHUNK].iter().filter_map(|len| p.claim(*len)).all(|place| {
                p.fill(place, 0x77);
                p.free(place)
            })
        }),
        ("take everything", |p| {
            while p.claim(CHUNK).is_some() {}
            while p.claim(30_000).is_some() {}
            true
        }),
        ("reclaim", |p| {
            let freed = p.reclaim();
            freed.blocks == 0
        }),
        ("change classes", |p| {
            let runs: Vec<_> = (0..).map_while(|_| p.claim(CHUNK)).collect();
            for len in [3000, 32_000, 9000] {
                let blocks: Vec<_> = (0..).map_while(|_| p.claim(len)).collect();
                blocks.iter().for_each(|block| p.fill(*block, 0x77));
                assert!(blocks.iter().all(|block| p.free(*block)));
            }
            runs.iter().all(|run| p.free(*run))
        }),
    ];
    for (name, operation) in Fixture::operations() {
        let stores = step::count(|| operation(&Fixture::new())) - step::count(Fixture::new);
        for (other_name, other) in meanwhile {
            for at in sample(stores) {
                let what = format!("{name}, stalled at store {at} for: {other_name}");
                let fixture = Fixture::new();
                let third = Process::new(&fixture.victim.memory);
                let third_name = third.me;
                let claimed_by_third = Arc::new(Mutex::new(None));
                let result = Arc::clone(&claimed_by_third);
                let visitor = move || {
                    let fine = other(&third);
                    *result.lock().unwrap() = Some((fine, third));
                };
                let (_, visited) = step::visit_at(at, visitor, || operation(&fixture));
                assert!(visited, "{what}");
                let (fine, third) = claimed_by_third.lock().unwrap().take().unwrap();
                assert!(fine, "{what}");
                let (everything, claimed) = live(&fixture.other.heap);
                assert_eq!(claimed, 0, "{what}");
                for (at, _, holding) in everything {
                    let (place, now) = third.heap.locate(at).unwrap();
                    assert_eq!(now, holding, "{what}");
                    if holding == Holding::held(third_name) {
                        assert!(third.free(place), "{what}");
                    }
                }
                third.die();
                fixture.victim.die();
                fixture.check_after_death(&Process::new(&fixture.victim.memory), &what);
            }
        }
    }
}

/// All store numbers; under Miri, which is slow, one.
fn sample(stores: u64) -> Vec<u64> {
    if cfg!(miri) { some(stores) } else { (0..stores).collect() }
}

/// The first store, the last, and one in between; under Miri only that one.
fn some(stores: u64) -> Vec<u64> {
    let mut at = vec![0, stores / 2, stores.saturating_sub(1)];
    at.retain(|at| *at < stores && (!cfg!(miri) || *at == stores / 2));
    at.dedup();
    at
}
