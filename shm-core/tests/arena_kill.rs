//! SIGKILL at system calls and at stores to the arena, of allocating, freeing, handing over, growing and reclaiming.
//!
//! `src/arena/tests/deaths.rs` kills at every store over plain memory; here the processes, the locks and the growing
//! segment are real. `SHM_TEST_LONG=1` tries every point.

use shm_core::{Arena, Contents, OwnerId, SegmentOptions};
use shm_testkit::{Coverage, KillTest, announce, fork_child, kill_zone};

/// An arena with blocks of the test's process in it, which no death may touch.
struct Fixture {
    arena: Arena,
    offsets: [u64; 2],
}

const FILL: u8 = 0x5A;
/// Offset of the first chunk in so small an arena.
const CHUNKS_AT: usize = 0x4000;

impl Fixture {
    fn new() -> Self {
        // Little room at first, so that the victims come to grow it.
        let contents = Contents::new().arena("heap", Arena::MIN_LEN + 2 * 65536).unwrap();
        let segment = SegmentOptions::new().reserve_max(2 << 20).create_anonymous(&contents).unwrap();
        let arena = Arena::create_in(&segment, "heap").unwrap();
        let offsets = [2000, 65536].map(|len| {
            let mut block = arena.alloc(len).unwrap();
            block.write(0, &vec![FILL; len]).unwrap();
            block.park().unwrap()
        });
        Self { arena, offsets }
    }

    /// Lets the stores to the arena's tables and to the block words of its first chunks count.
    fn watch(&self) {
        let segment = self.arena.segment();
        let start = segment.as_ptr().wrapping_add(segment.entry("heap").unwrap().offset());
        announce(start, CHUNKS_AT);
        for chunk in 0..3 {
            announce(start.wrapping_add(CHUNKS_AT + chunk * 65536), 256);
        }
    }

    /// The survivor finds its blocks as they were and gets all others back.
    fn check(&self) {
        self.arena.reclaim().unwrap();
        let me = self.arena.owner().unwrap();
        for offset in self.offsets {
            let block = self.arena.adopt(offset, me).unwrap();
            assert!(block.to_vec()[..2000].iter().all(|byte| *byte == FILL));
        }
        let usage = self.arena.usage().unwrap();
        for owner in &usage.owners {
            assert!(owner.owner == me || owner.blocks == 0 || owner.owner == OwnerId::KEPT, "{usage:?}");
        }
        assert_eq!(u64::from(usage.free_chunks + usage.slab_chunks + usage.run_chunks) * 65536, usage.total);
        let kept = usage.owners.iter().filter(|owner| owner.owner == OwnerId::KEPT);
        assert_eq!(kept.map(|owner| owner.bytes).sum::<u64>(), usage.used, "{usage:?}");
        assert!(self.arena.alloc(100).is_ok() && self.arena.alloc(200_000).is_ok());
    }
}

fn kill(name: &str, operation: fn(&Arena)) {
    let report = KillTest::new(name)
        .prepare(Fixture::new)
        .victim(move |fixture: &mut Fixture| {
            fixture.watch();
            // The registration is a subject of its own.
            fixture.arena.owner().unwrap();
            kill_zone(|| operation(&fixture.arena));
        })
        .check(|fixture: Fixture, _point| fixture.check())
        .run(Coverage::from_env());
    println!("{report}");
    assert!(report.skipped_reason.is_some() || report.kills > 0, "{report}");
}

#[test]
fn registering_and_leaving() {
    let report = KillTest::new("register")
        .prepare(Fixture::new)
        .victim(|fixture: &mut Fixture| {
            fixture.watch();
            kill_zone(|| {
                fixture.arena.owner().unwrap();
                let other = Arena::attach(fixture.arena.segment(), "heap").unwrap();
                other.owner().unwrap();
            });
        })
        .check(|fixture: Fixture, _point| fixture.check())
        .run(Coverage::from_env());
    println!("{report}");
    assert!(report.skipped_reason.is_some() || report.kills > 0, "{report}");
}

#[test]
fn small_blocks() {
    kill("small blocks", |arena| {
        let (a, b) = (arena.alloc(2000).unwrap(), arena.alloc(5000).unwrap());
        drop(a);
        b.keep().unwrap();
    });
}

#[test]
fn runs_and_growth() {
    kill("runs and growth", |arena| {
        let a = arena.alloc(2 * 65536).unwrap();
        let b = arena.alloc(2 * 65536).unwrap();
        drop(a);
        b.keep().unwrap();
    });
}

#[test]
fn adopting_and_handing_on() {
    kill("adopt", |arena| {
        let kept = arena.alloc(65536).unwrap().keep().unwrap();
        let block = arena.adopt(kept, OwnerId::KEPT).unwrap();
        let offset = block.park().unwrap();
        arena.adopt(offset, arena.owner().unwrap()).unwrap().free().unwrap();
    });
}

#[test]
fn reclaiming() {
    let report = KillTest::new("reclaim")
        .prepare(|| {
            let fixture = Fixture::new();
            // An owner that dies and leaves things of all kinds behind.
            fork_child(|| {
                for len in [5000, 2000, 65536] {
                    std::mem::forget(fixture.arena.alloc(len).unwrap());
                }
                0
            })
            .expect_success();
            fixture
        })
        .victim(|fixture: &mut Fixture| {
            fixture.watch();
            fixture.arena.owner().unwrap();
            kill_zone(|| assert_eq!(fixture.arena.reclaim().unwrap().blocks, 3));
        })
        .check(|fixture: Fixture, _point| fixture.check())
        .run(Coverage::from_env());
    println!("{report}");
    assert!(report.skipped_reason.is_some() || report.kills > 0, "{report}");
}
