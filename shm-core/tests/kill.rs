//! SIGKILL before and after every system call, and after every store, of what is done to a segment as a whole; then survivors use it.
//!
//! What a death may leave, from `FORMAT.md`, section 5: a name leads to a whole segment or to nothing; a segment whose lifetime ended with the
//! victim is gone at the next look; one that others have is as it was; the length is the old one or the new one; a lease is free again.
//! `SHM_TEST_LONG=1` tries every point. Deaths at random moments are in `race.rs`, those inside an arena in `arena_kill.rs`.

use std::cell::{Cell, RefCell};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use memmap2::{MmapOptions, MmapRaw};
use ndarray::Ix1;
use shm_core::{
    Error, ErrorKind, Lease, Lifetime, Segment, SegmentName, SegmentOptions, SharedArray, delete, inspect,
    list_in, reap_in,
};
use shm_testkit::{
    Child, Cleanup, Coverage, Event, KillPoint, KillTest, Report, announce, fork_child, kill_zone,
    unique_name,
};

const LIFETIMES: [Lifetime; 3] = [Lifetime::Persistent, Lifetime::LastDetach, Lifetime::Scoped];
/// Those that end with a process.
const MORTAL: [Lifetime; 2] = [Lifetime::LastDetach, Lifetime::Scoped];

/// Elements of the array in a test's segment, and what they are.
const LEN: usize = 16;
const OLD: u64 = 0x0123_4567_89AB_CDEF;
const NEW: u64 = 0xFEDC_BA98_7654_3210;
/// Where the elements are: data of `file://` segments begins here.
const DATA_AT: usize = 65536;
/// The header, the table and the descriptor.
const META_LEN: usize = 512;
const MAX: usize = 1 << 20;

type Array = SharedArray<u64, Ix1>;

/// A process that creates or attaches the segment when it is told to, and keeps it.
struct Holder {
    child: Child,
    line: UnixStream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Order {
    Create,
    Attach,
    /// Answers the number of elements, having looked at the first ones.
    Look,
    /// Answers the last element.
    Last,
}

impl Holder {
    fn start(name: &SegmentName, options: &SegmentOptions) -> Holder {
        let (line, theirs) = UnixStream::pair().unwrap();
        let line = RefCell::new(Some(line));
        let child = fork_child(|| {
            // It ends when nobody can give it orders any more.
            line.take();
            hold(name, options, &theirs);
            0
        });
        Holder { child, line: line.take().unwrap() }
    }

    /// Also for a victim, which has inherited the line.
    fn ask(&self, order: Order) -> u64 {
        let mut answer = [0; 8];
        let told = (&self.line).write_all(&[order as u8]).and_then(|()| (&self.line).read_exact(&mut answer));
        told.unwrap_or_else(|error| panic!("the holder has ended at {order:?}: {error}"));
        u64::from_le_bytes(answer)
    }

    fn check(&mut self) {
        if let Some(status) = self.child.try_wait() {
            panic!("the holder {status}: {:?}", self.child.panic_message());
        }
        assert!(self.ask(Order::Look) >= LEN as u64);
    }
}

fn hold(name: &SegmentName, options: &SegmentOptions, mut line: &UnixStream) {
    let mut held: Option<Array> = None;
    let mut order = [0];
    while line.read_exact(&mut order).is_ok() {
        match order[0] {
            o if o == Order::Create as u8 => held = Some(create(name, options).unwrap()),
            o if o == Order::Attach as u8 => held = Some(SharedArray::attach(name).unwrap()),
            _ => {}
        }
        let array = held.as_mut().unwrap();
        array.refresh();
        assert!((0..LEN).all(|i| array.get(i) == OLD), "the holder's elements have changed");
        let last = order[0] == Order::Last as u8;
        let answer = if last { array.get(array.len() - 1) } else { array.len() as u64 };
        line.write_all(&answer.to_le_bytes()).unwrap();
    }
}

fn create(name: &SegmentName, options: &SegmentOptions) -> Result<Array, Error> {
    SharedArray::full(options.named(name)?, LEN, OLD)
}

/// A folder in `/dev/shm` with at most one segment in it: listing and reaping there meets nobody else's.
struct Fixture {
    folder: PathBuf,
    name: SegmentName,
    options: SegmentOptions,
    holder: Option<Holder>,
    /// The segment's bytes, mapped past the library: the victim inherits that and has it watched.
    watched: Option<MmapRaw>,
    /// The way to hand on a lease.
    sockets: (UnixStream, UnixStream),
    _cleanup: Cleanup,
}

impl Fixture {
    /// There is no segment.
    fn absent(lifetime: Lifetime) -> Fixture {
        let text = unique_name("kill");
        let folder = Path::new("/dev/shm").join(&text);
        fs::create_dir(&folder).unwrap();
        Fixture {
            name: SegmentName::file(folder.join("segment")).unwrap(),
            folder,
            options: SegmentOptions::new().lifetime(lifetime).reserve_max(MAX),
            holder: None,
            watched: None,
            sockets: UnixStream::pair().unwrap(),
            _cleanup: Cleanup::of([text]),
        }
    }

    /// There is none, but a holder that waits for orders.
    fn with_idle_holder(lifetime: Lifetime) -> Fixture {
        let mut fixture = Fixture::absent(lifetime);
        fixture.holder = Some(Holder::start(&fixture.name, &fixture.options));
        fixture
    }

    /// The holder has created it.
    fn held(lifetime: Lifetime) -> Fixture {
        let mut fixture = Fixture::with_idle_holder(lifetime);
        fixture.holder().ask(Order::Create);
        fixture.map();
        fixture
    }

    /// Its creator has died: dead, or persistent with nobody attached.
    fn left(lifetime: Lifetime) -> Fixture {
        let mut fixture = Fixture::absent(lifetime);
        fork_child(|| {
            std::mem::forget(create(&fixture.name, &fixture.options).unwrap());
            0
        })
        .expect_success();
        assert!(fixture.exists());
        fixture.map();
        fixture
    }

    fn map(&mut self) {
        let file = OpenOptions::new().read(true).write(true).open(self.name.path()).unwrap();
        self.watched = Some(MmapOptions::new().len(DATA_AT + LEN * 8).map_raw(&file).unwrap());
    }

    fn holder(&self) -> &Holder {
        self.holder.as_ref().unwrap()
    }

    fn exists(&self) -> bool {
        self.name.path().symlink_metadata().is_ok()
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.folder).unwrap().count()
    }

    /// In the victim: each store to the segment from here on is a point.
    fn watch(&self) {
        let start = self.watched.as_ref().unwrap().as_mut_ptr();
        announce(start, META_LEN);
        announce(start.wrapping_add(DATA_AT), LEN * 8);
    }

    /// The segment is there for everybody, and its elements are among these.
    fn is_alive(&mut self, values: &[u64]) {
        assert!(self.exists(), "a living segment has lost its name");
        assert!(reap_in(&self.folder).unwrap().is_empty(), "a living segment was reaped");
        let listed = list_in(&self.folder).unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].attached, self.holder.is_some());
        assert_eq!(listed[0].leased_by, None);
        let array = Array::attach(&self.name).unwrap_or_else(|error| panic!("{error}"));
        assert!(array.len() >= LEN);
        assert!((0..LEN).all(|i| values.contains(&array.get(i))), "{:?}", array.to_ndarray());
        assert!((LEN..array.len()).all(|i| array.get(i) == 0), "bytes that were added are not zero");
        array.set(0, NEW);
        assert_eq!(Array::attach(&self.name).unwrap().get(0), NEW);
        array.set(0, OLD);
        drop(array);
        if let Some(holder) = &mut self.holder {
            holder.check();
        }
    }

    /// The segment's life is over: one of the ways to look at it finds nothing and frees the name, if it is still there.
    fn is_dead(&mut self, point: &KillPoint) {
        match point.number % 5 {
            0 => drop(reap_in(&self.folder).unwrap()),
            1 => assert!(list_in(&self.folder).unwrap().is_empty()),
            2 => assert_eq!(inspect(&self.name).unwrap_err().kind(), ErrorKind::NotFound),
            3 => assert_eq!(delete(&self.name).unwrap_err().kind(), ErrorKind::NotFound),
            _ => assert_eq!(Segment::attach(&self.name).unwrap_err().kind(), ErrorKind::NotFound),
        }
        self.is_absent();
    }

    fn is_absent(&self) {
        assert!(!self.exists(), "a dead segment has kept its name");
        assert_eq!(self.files(), 0, "something is left in the folder");
        assert_eq!(Segment::attach(&self.name).unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// A persistent segment is deleted; then a new one can have the name, which the holder of the old one does not notice.
    fn finish(mut self) {
        if self.exists() {
            delete(&self.name).unwrap();
        }
        let new = create(&self.name, &self.options).unwrap_or_else(|error| panic!("{error}"));
        let mut again = new.clone();
        new.set(1, NEW);
        drop(new);
        assert_eq!(again.exclusive().unwrap().view()[1], NEW);
        if let Some(holder) = &mut self.holder {
            holder.check();
        }
        delete(&self.name).unwrap();
        drop(again);
        drop(self.holder.take());
        self.is_absent();
    }
}

/// Runs one kill test, alone: a child that another test forks would inherit locks.
fn kill(
    what: &str,
    lifetime: Lifetime,
    prepare: impl Fn(Lifetime) -> Fixture,
    victim: impl Fn(&mut Fixture),
    check: impl Fn(&mut Fixture, &KillPoint),
) -> Report {
    static ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let report = KillTest::new(&format!("{what}, {lifetime:?}"))
        .prepare(|| prepare(lifetime))
        .victim(victim)
        .check(|mut fixture, point| {
            check(&mut fixture, point);
            fixture.finish();
        })
        .run(Coverage::from_env());
    println!("{report}");
    assert!(report.skipped_reason.is_some() || report.kills > 0, "{report}");
    report
}

/// How many stores an operation makes; says nothing where the test cannot run.
fn assert_stores(report: &Report, is_right: impl Fn(usize) -> bool) {
    assert!(report.skipped_reason.is_some() || is_right(report.stores), "{report}");
}

fn kind<T>(result: Result<T, Error>) -> ErrorKind {
    result.err().map_or_else(|| panic!("it succeeded"), |error| error.kind())
}

#[test]
fn smoke() {
    // The harness and the checks, with a victim that leaves the segment alone.
    for lifetime in LIFETIMES {
        kill(
            "nothing",
            lifetime,
            Fixture::held,
            |_| kill_zone(|| drop(File::open("/dev/null"))),
            |fixture, _| fixture.is_alive(&[OLD]),
        );
    }
}

/// In the victim, when it fills the new segment: has it watched, wherever it is mapped.
fn watch_unnamed(folder: &Path) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.contains(&format!("{}/#", folder.display()))).unwrap();
    let start = usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
    announce(std::ptr::without_provenance::<u8>(start), META_LEN);
    announce(std::ptr::without_provenance::<u8>(start + DATA_AT), LEN * 8);
}

fn create_in_zone(fixture: &Fixture) {
    kill_zone(|| {
        let place = fixture.options.named(&fixture.name).unwrap();
        let array = SharedArray::from_fn(place, LEN, |i| {
            if i == 0 {
                watch_unnamed(&fixture.folder);
            }
            OLD
        });
        std::mem::forget(array.unwrap_or_else(|error| panic!("{error}")));
    });
}

#[test]
fn create_a_new_one() {
    for lifetime in LIFETIMES {
        let report = kill(
            "create",
            lifetime,
            Fixture::absent,
            |fixture| create_in_zone(fixture),
            |fixture, point| match lifetime {
                Lifetime::Persistent if fixture.exists() => fixture.is_alive(&[OLD]),
                Lifetime::Persistent => fixture.is_absent(),
                _ => fixture.is_dead(point),
            },
        );
        assert_stores(&report, |stores| stores == LEN);
    }
}

#[test]
fn create_over_a_dead_one() {
    for lifetime in MORTAL {
        kill(
            "create over a dead one",
            lifetime,
            Fixture::left,
            |fixture| create_in_zone(fixture),
            |fixture, point| fixture.is_dead(point),
        );
    }
}

#[test]
fn create_where_the_name_is_taken() {
    for lifetime in LIFETIMES {
        let report = kill(
            "create, taken",
            lifetime,
            Fixture::held,
            |fixture| {
                fixture.watch();
                let refused = kill_zone(|| create(&fixture.name, &fixture.options));
                assert_eq!(kind(refused), ErrorKind::AlreadyExists);
            },
            |fixture, _| fixture.is_alive(&[OLD]),
        );
        assert_stores(&report, |stores| stores == 0);
    }
}

#[test]
fn attach() {
    for lifetime in LIFETIMES {
        let report = kill(
            "attach",
            lifetime,
            Fixture::held,
            |fixture| {
                fixture.watch();
                let array = kill_zone(|| Array::attach(&fixture.name).unwrap());
                assert_eq!(array.get(LEN - 1), OLD);
                std::mem::forget(array);
            },
            |fixture, _| fixture.is_alive(&[OLD]),
        );
        assert_stores(&report, |stores| stores == 0);
    }
}

#[test]
fn attach_a_dead_one() {
    for lifetime in MORTAL {
        kill(
            "attach a dead one",
            lifetime,
            Fixture::left,
            |fixture| {
                fixture.watch();
                let refused = kill_zone(|| Array::attach(&fixture.name));
                assert_eq!(kind(refused), ErrorKind::NotFound);
            },
            |fixture, point| fixture.is_dead(point),
        );
    }
}

#[test]
fn attach_or_create() {
    for lifetime in LIFETIMES {
        kill(
            "attach or create",
            lifetime,
            if lifetime == Lifetime::Persistent { Fixture::absent } else { Fixture::left },
            |fixture| {
                let place = fixture.options.named(&fixture.name).unwrap();
                let (array, created) =
                    kill_zone(|| SharedArray::<u64, _>::create_or_attach(place, LEN).unwrap());
                assert!(created);
                std::mem::forget(array);
            },
            |fixture, point| match lifetime {
                Lifetime::Persistent if fixture.exists() => fixture.is_alive(&[0]),
                Lifetime::Persistent => fixture.is_absent(),
                _ => fixture.is_dead(point),
            },
        );
    }
}

/// Elements after growth by the victim: on other pages than before.
const GROWN: usize = 3000;

#[test]
fn grow() {
    for sparse in [false, true] {
        let prepare = |lifetime| {
            let mut fixture = Fixture::absent(lifetime);
            fixture.options = fixture.options.sparse(sparse);
            fixture.holder = Some(Holder::start(&fixture.name, &fixture.options));
            fixture.holder().ask(Order::Create);
            fixture.map();
            fixture
        };
        let grown = Cell::new(false);
        let report = kill(
            if sparse { "grow, sparse" } else { "grow" },
            Lifetime::LastDetach,
            prepare,
            |fixture| {
                fixture.watch();
                let mut array = Array::attach(&fixture.name).unwrap();
                kill_zone(|| array.grow(GROWN).unwrap());
                std::mem::forget(array);
            },
            |fixture, point| {
                let extent = has_grown(fixture);
                // The one store is what counts; points come in the order of time.
                let stored = matches!(point.event, Event::Store { .. }) || grown.get();
                assert_eq!(extent, if stored { GROWN } else { LEN });
                grown.set(stored);
                fixture.is_alive(&[OLD]);
                grow_further(fixture);
            },
        );
        assert_stores(&report, |stores| stores == 1);
    }
}

/// All survivors see the same length, the old one or the new one, and the object has the bytes for it.
fn has_grown(fixture: &Fixture) -> usize {
    let array = Array::attach(&fixture.name).unwrap();
    let (extent, len) = (array.len(), array.segment().len());
    assert!(extent == LEN || extent == GROWN, "{extent}");
    assert_eq!(len, DATA_AT + extent * 8);
    assert_eq!(array.segment().generation(), len as u64);
    assert_eq!(array.segment().capacity(), MAX);
    assert!(fs::metadata(fixture.name.path()).unwrap().len() >= len as u64);
    let info = inspect(&fixture.name).unwrap();
    assert_eq!((info.len_bytes, info.capacity_bytes), (len, MAX));
    assert_eq!(info.array().unwrap().shape(), [extent]);
    assert_eq!(fixture.holder().ask(Order::Look), extent as u64);
    extent
}

fn grow_further(fixture: &Fixture) {
    const FURTHER: usize = 2 * GROWN;
    let mut array = Array::attach(&fixture.name).unwrap();
    array.grow(FURTHER).unwrap();
    assert!((LEN..FURTHER).all(|i| array.get(i) == 0));
    array.set(FURTHER - 1, NEW);
    assert_eq!(fixture.holder().ask(Order::Look), FURTHER as u64);
    assert_eq!(fixture.holder().ask(Order::Last), NEW);
}

#[test]
fn delete_a_living_one() {
    for lifetime in LIFETIMES {
        let report = kill(
            "delete",
            lifetime,
            Fixture::held,
            |fixture| {
                fixture.watch();
                kill_zone(|| delete(&fixture.name).unwrap());
            },
            |fixture, point| {
                assert!(point.number > 1 || fixture.exists());
                assert!(point.number < point.of || !fixture.exists());
                if fixture.exists() {
                    fixture.is_alive(&[OLD]);
                } else {
                    fixture.is_absent();
                }
            },
        );
        assert_stores(&report, |stores| stores == 0);
    }
}

#[test]
fn delete_a_dead_one() {
    for lifetime in MORTAL {
        kill(
            "delete a dead one",
            lifetime,
            Fixture::left,
            |fixture| assert_eq!(kind(kill_zone(|| delete(&fixture.name))), ErrorKind::NotFound),
            |fixture, point| fixture.is_dead(point),
        );
    }
}

#[test]
fn detach_what_others_have() {
    for lifetime in LIFETIMES {
        let report = kill(
            "detach",
            lifetime,
            Fixture::held,
            |fixture| {
                fixture.watch();
                let array = Array::attach(&fixture.name).unwrap();
                kill_zone(|| drop(array));
            },
            |fixture, _| fixture.is_alive(&[OLD]),
        );
        assert_stores(&report, |stores| stores == 0);
    }
}

#[test]
fn detach_as_the_last() {
    for lifetime in LIFETIMES {
        kill(
            "detach as the last",
            lifetime,
            Fixture::absent,
            |fixture| {
                let array = create(&fixture.name, &fixture.options).unwrap();
                kill_zone(|| drop(array));
            },
            |fixture, point| match lifetime {
                Lifetime::Persistent => fixture.is_alive(&[OLD]),
                _ => fixture.is_dead(point),
            },
        );
    }
}

#[test]
fn detach_as_the_creator() {
    for lifetime in LIFETIMES {
        kill(
            "detach as the creator",
            lifetime,
            Fixture::with_idle_holder,
            |fixture| {
                let array = create(&fixture.name, &fixture.options).unwrap();
                fixture.holder().ask(Order::Attach);
                kill_zone(|| drop(array));
            },
            |fixture, point| match lifetime {
                // Its scope has ended; who has it attached keeps the memory, as `finish` sees.
                Lifetime::Scoped => fixture.is_dead(point),
                _ => fixture.is_alive(&[OLD]),
            },
        );
    }
}

/// In the victim, which has the array alone.
fn lease_in_zone(mut array: Array) {
    kill_zone(|| {
        let mut lease = array.exclusive().unwrap();
        lease.view_mut().fill(NEW);
        drop(lease);
    });
    std::mem::forget(array);
}

#[test]
fn exclusive_lease_of_what_stays() {
    let report = kill(
        "exclusive lease",
        Lifetime::Persistent,
        Fixture::left,
        |fixture| {
            fixture.watch();
            lease_in_zone(Array::attach(&fixture.name).unwrap());
        },
        |fixture, _| {
            // The victim's hint may be there, but nobody believes it without the lock.
            assert_eq!(inspect(&fixture.name).unwrap().leased_by, None);
            let mut array = Array::attach(&fixture.name).unwrap();
            let lease = array.exclusive().unwrap_or_else(|error| panic!("{error}"));
            assert!(lease.view().iter().all(|value| [OLD, NEW].contains(value)));
            assert_eq!(inspect(&fixture.name).unwrap().leased_by, Some(std::process::id()));
            let mut other = fork_child(|| i32::from(kind(Array::attach(&fixture.name)) != ErrorKind::Busy));
            assert_eq!(other.wait(), shm_testkit::Status::Exited(0), "a forked child is no exception");
            drop(lease);
            drop(array);
            fixture.is_alive(&[OLD, NEW]);
        },
    );
    // The hint comes and goes; between lie the elements, one or several at a store.
    assert_stores(&report, |stores| stores > 2);
}

#[test]
fn exclusive_lease_of_what_dies() {
    for lifetime in MORTAL {
        kill(
            "exclusive lease",
            lifetime,
            Fixture::absent,
            |fixture| lease_in_zone(create(&fixture.name, &fixture.options).unwrap()),
            |fixture, point| fixture.is_dead(point),
        );
    }
}

#[test]
fn exclusive_lease_refused() {
    for lifetime in LIFETIMES {
        let report = kill(
            "exclusive lease, refused",
            lifetime,
            Fixture::held,
            |fixture| {
                fixture.watch();
                let mut array = Array::attach(&fixture.name).unwrap();
                kill_zone(|| assert_eq!(kind(array.exclusive().map(drop)), ErrorKind::Busy));
                std::mem::forget(array);
            },
            |fixture, _| fixture.is_alive(&[OLD]),
        );
        assert_stores(&report, |stores| stores == 0);
    }
}

#[test]
fn lease_handed_on() {
    kill(
        "lease handed on",
        Lifetime::LastDetach,
        Fixture::absent,
        |fixture| {
            let array = create(&fixture.name, &fixture.options).unwrap();
            kill_zone(|| array.segment().lease().unwrap().send(&fixture.sockets.0).unwrap());
            std::mem::forget(array);
        },
        |fixture, point| {
            let socket = &fixture.sockets.1;
            socket.set_nonblocking(true).unwrap();
            let Ok(lease) = Lease::receive(socket) else {
                assert!(point.number < point.of, "it was sent");
                return fixture.is_dead(point);
            };
            assert!(reap_in(&fixture.folder).unwrap().is_empty(), "a lease is on its way");
            let array = Array::from_segment(&lease.attach().unwrap()).unwrap();
            drop(lease);
            assert!((0..LEN).all(|i| array.get(i) == OLD));
            assert_eq!(Array::attach(&fixture.name).unwrap().get(0), OLD);
            drop(array);
            fixture.is_dead(point);
        },
    );
}

#[test]
fn reap_the_dead() {
    for lifetime in MORTAL {
        kill(
            "reap",
            lifetime,
            Fixture::left,
            |fixture| {
                fixture.watch();
                assert_eq!(kill_zone(|| reap_in(&fixture.folder).unwrap()).len(), 1);
            },
            |fixture, point| fixture.is_dead(point),
        );
    }
}
