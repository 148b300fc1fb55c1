//! [`Region`]: a function that runs once in each worker, with the constructs of OpenMP in it: barrier, loops, single, critical and ordered sections, reduction.
//!
//! The workers are those of a map with an item for each, so forking, results, panics and deaths are the same. What the workers share
//! besides is in `loops.rs`; the barrier is `shm-sync`'s.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;
use shm_sync::{Barrier, ErrorKind as SyncKind, Party};

use crate::builder::MapReduce;
use crate::control::State;
use crate::error::MapError;
use crate::fork::{self, DiesWith};
use crate::loops::{Areas, Ended, IN_FLIGHT, MOST_TURNS, Place, ROOM, Words};
use crate::master::{Job, JobKind, Team};
use crate::recovery::Policy;
use crate::schedule::{Cut, Schedule};
use crate::worker::{self, Worker};

impl<P> MapReduce<P> {
    /// Runs `body` once in each worker, all at the same time, and returns the results in the order of the ranks: OpenMP's parallel region.
    ///
    /// What `body` captures is inherited by the fork: private to each worker, unless it is shared memory. In a region the workers can
    /// wait for each other and share out loops; see [`Region`]. Blocks until all have ended.
    ///
    /// **Failure**: a panic in a worker, or its death, fails the region with an error that names it, and the others leave: at once if they wait for something, at the
    /// next batch of a loop, or they are killed after a tenth of a second. There is no other try, because what the others have done since
    /// cannot be taken back: [`retries`](MapReduce::retries), [`schedule`](MapReduce::schedule), [`ordered`](MapReduce::ordered) and
    /// [`progress`](MapReduce::progress) concern maps only. With 0 [`workers`](MapReduce::workers) the body runs once in the master, as a team of one;
    /// panics then unwind as usual.
    ///
    /// # Errors
    /// As [`map`](MapReduce::map); its item is the rank.
    ///
    /// # Panics
    /// With 0 workers, if `body` does.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::{MapReduce, Schedule};
    ///
    /// let squares = SharedArray::<u64, _>::zeros(Anonymous, 1000)?;
    /// let sums = MapReduce::new().workers(2).threads_ok().parallel(|region| {
    ///     region.for_each(0..1000, Schedule::Static, |i| squares.set(i, (i * i) as u64));
    ///     region.barrier(); // from here on all squares are there
    ///     let mut sum = 0;
    ///     region.for_each(0..1000, Schedule::default(), |i| sum += squares.get(999 - i));
    ///     region.reduce(sum, |a, b| a + b)
    /// })?;
    /// assert_eq!(sums, [332_833_500, 332_833_500]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parallel<R, F>(&self, body: F) -> Result<Vec<R>, MapError<R>>
    where
        F: Fn(&Region) -> R,
        R: Serialize + DeserializeOwned,
    {
        let workers = self.worker_count();
        if workers == 0 {
            return Ok(vec![body(&Region::alone(&Worker::master(false)))]);
        }
        let job = Job {
            operation: format!("run a parallel region of {workers} workers"),
            items: workers,
            workers,
            schedule: Schedule::StaticChunk(1), // item and rank are the same
            kind: JobKind::Region,
            ordered: false,
            kept: false,
            policy: Policy::default(),
            forking: self.forking(DiesWith::Thread),
        };
        let work = |worker: &Worker, _rank: usize| {
            let region = Region::enter(worker);
            let result = body(&region);
            region.leave();
            result
        };
        Ok(Team::fork(job, &work)?.run(&work, |_rank, result| result, |_done| ())?.into_results())
    }
}

/// What the workers of a region share.
pub(crate) struct Common<'a> {
    pub(crate) words: &'a Words,
    pub(crate) areas: Areas<'a>,
    pub(crate) barrier: &'a Barrier,
}

impl Common<'_> {
    /// For the master: whoever waits, or will, leaves.
    pub(crate) fn stop(&self) {
        self.words.stop();
        // What has become of its bytes does not matter any more.
        let _ = self.barrier.abort();
    }
}

/// A worker's place in a parallel region; the function of [`MapReduce::parallel`] gets it.
///
/// All workers have to meet the same loops, [`single`](Region::single)s, [barriers](Region::barrier) and [reductions](Region::reduce) in the
/// same order, but not at the same time: nothing waits for the others but `barrier` and `reduce`, and whoever is 64 loops (and singles) ahead of
/// the slowest one. (In OpenMP's terms each loop has the clause `nowait`; say `barrier()` behind it if what it did is read.) Constructs do not
/// nest: in the body of a loop and in a section there are [`critical`](Region::critical) and, in an ordered loop, [`ordered`](Region::ordered) only.
/// Whatever breaks these rules is a panic that says so, not a hang.
///
/// ```
/// use shm_pool::{MapReduce, Schedule};
/// let pool = MapReduce::new().workers(2).threads_ok();
/// let found = pool.parallel(|region| {
///     let mut most = 0; // each worker's own
///     region.for_each(0..1000, Schedule::Dynamic(10), |i| most = most.max(i * 7919 % 1000));
///     region.reduce(most, usize::max)
/// })?;
/// assert_eq!(found, [999, 999]);
/// # Ok::<(), shm_pool::Error>(())
/// ```
pub struct Region<'a> {
    worker: &'a Worker<'a>,
    /// Nothing in a master without workers.
    team: Option<(Common<'a>, Party)>,
    /// To tell copies that the function has forked.
    forks: u64,
    /// How many loops and singles it has met.
    met: Cell<u64>,
    /// How many pieces of values were exchanged.
    rounds: Cell<u64>,
    /// What it is in now.
    inside: Cell<Inside>,
}

#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Nothing,
    Loop,
    Single,
    /// The iteration, counted from the loop's first, and what has become of its turn.
    Ordered(u32, Stage),
    /// Something that a panic has passed through.
    Ruin,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Before,
    Entered,
    After,
}

/// Sets what the region is in back when it is over; a panic leaves a ruin.
struct Construct<'a>(&'a Cell<Inside>);

impl Drop for Construct<'_> {
    fn drop(&mut self) {
        self.0.set(if std::thread::panicking() { Inside::Ruin } else { Inside::Nothing });
    }
}

impl<'a> Region<'a> {
    fn alone(worker: &'a Worker<'a>) -> Region<'a> {
        Region {
            worker,
            team: None,
            forks: shm_core::fork_count(),
            met: Cell::new(0),
            rounds: Cell::new(0),
            inside: Cell::new(Inside::Nothing),
        }
    }

    fn enter(worker: &'a Worker<'a>) -> Region<'a> {
        let team = worker.control().and_then(|control| control.region()).map(|common| {
            match common.barrier.join() {
                Ok(party) => (common, party),
                // Broken: somebody has died already.
                Err(error) if error.kind() == SyncKind::Broken => stop(worker),
                Err(error) => panic!("cannot join the region's barrier: {error}"),
            }
        });
        Region { team, ..Region::alone(worker) }
    }

    /// When the function has returned.
    fn leave(self) {
        if self.forks != shm_core::fork_count() {
            fork::vanish(0);
        }
        self.check("return from the function");
        if let Some((common, party)) = self.team {
            common.words.leave(self.met.get());
            drop(party);
            // Whoever waits at the barrier now, or will, waits for what never comes. Those who are through are through.
            let _ = common.barrier.abort();
        }
    }

    /// Returns the number of this worker: from 0 to [`workers`](Region::workers) - 1.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// assert_eq!(MapReduce::new().workers(3).threads_ok().parallel(|region| region.rank())?, [0, 1, 2]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn rank(&self) -> usize {
        self.worker.rank()
    }

    /// Returns how many workers there are; 1 in the master of a pool with 0 workers.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// assert_eq!(MapReduce::new().workers(2).threads_ok().parallel(|region| region.workers())?, [2, 2]);
    /// assert_eq!(MapReduce::new().workers(0).parallel(|region| region.workers())?, [1]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.worker.workers().max(1)
    }

    /// Whether this is the worker with rank 0, which OpenMP calls the master. It is a forked worker as the others are.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let masters = MapReduce::new().workers(3).threads_ok().parallel(|region| region.is_master())?;
    /// assert_eq!(masters, [true, false, false]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn is_master(&self) -> bool {
        self.rank() == 0
    }

    /// Waits until all workers have arrived here. What they have written to shared memory before is visible behind it.
    ///
    /// A death of a worker, before it arrives or while it waits, is noticed at once: the others leave, and the region fails.
    ///
    /// # Panics
    /// In a loop or a section; if a worker has returned from the function, which never arrives then; in a process that the function has forked; where the
    /// system offers no robust futexes.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    /// let seen = SharedArray::<u8, _>::zeros(Anonymous, 2)?;
    /// let all = MapReduce::new().workers(2).threads_ok().parallel(|region| {
    ///     seen.set(region.rank(), 1);
    ///     region.barrier();
    ///     seen.get(0) + seen.get(1)
    /// })?;
    /// assert_eq!(all, [2, 2]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn barrier(&self) {
        self.check("wait at a barrier");
        self.meet();
    }

    /// Calls `section` while no other worker is in its critical section; see [`Worker::critical`].
    ///
    /// # Panics
    /// As [`Worker::critical`].
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    /// let count = SharedArray::<u32, _>::zeros(Anonymous, ())?;
    /// MapReduce::new().workers(2).threads_ok().parallel(|region| {
    ///     (0..100).for_each(|_| region.critical(|| count.set((), count.get(()) + 1)));
    /// })?;
    /// assert_eq!(count.get(()), 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn critical<T>(&self, section: impl FnOnce() -> T) -> T {
        self.worker.critical(section)
    }

    /// Calls `section` in one worker, the one that comes first, and returns what it returns; nothing in the others, which do not wait for it.
    ///
    /// # Panics
    /// In a loop or a section, and if another worker meets something else in its place.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let found = MapReduce::new().workers(3).threads_ok().parallel(|region| region.single(|| 7))?;
    /// assert_eq!(found.iter().flatten().collect::<Vec<_>>(), [&7]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn single<T>(&self, section: impl FnOnce() -> T) -> Option<T> {
        let (shared, _construct) = self.begin("meet a single", Inside::Single, &"single");
        let first = shared.as_ref().is_none_or(|(_, place, _)| place.next() == 0);
        let result = first.then(section);
        self.end(shared);
        result
    }

    /// Calls `body` for each number of `range` in one of the workers. Returns when nothing is left for this one; the others may be at it still.
    ///
    /// `schedule` says who gets which: [`Schedule::Static`] costs nothing, the others an atomic operation for each batch. If the range is empty or ends
    /// before it begins, nothing is called.
    ///
    /// # Panics
    /// In a loop or a section, for a schedule with chunks of 0 iterations, and if another worker meets something else in its place: another range, another
    /// schedule, a [`single`](Region::single).
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::{MapReduce, Schedule};
    /// let who = SharedArray::<u64, _>::zeros(Anonymous, 4)?;
    /// MapReduce::new().workers(2).threads_ok().parallel(|region| {
    ///     region.for_each(0..4, Schedule::Static, |i| who.set(i, region.rank() as u64));
    /// })?;
    /// assert_eq!(who.to_ndarray().to_vec(), [0, 0, 1, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_each(&self, range: Range<usize>, schedule: Schedule, mut body: impl FnMut(usize)) {
        self.share(Inside::Loop, range, schedule, |_, batch| batch.for_each(&mut body));
    }

    /// Calls `body` for each number of `range` in one of the workers, as [`for_each`](Region::for_each) does; the body may say [`ordered`](Region::ordered).
    ///
    /// An iteration that does not say it waits, when it ends, for those before, in order to pass its turn. `Dynamic(1)` is the schedule with which the
    /// workers wait for each other the least.
    ///
    /// # Panics
    /// As [`for_each`](Region::for_each), and for more than 4 294 967 294 iterations.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::{MapReduce, Schedule};
    /// let log = SharedArray::<u64, _>::zeros(Anonymous, 11)?; // how many, then they
    /// MapReduce::new().workers(2).threads_ok().parallel(|region| {
    ///     region.for_each_ordered(0..10, Schedule::Dynamic(1), |i| {
    ///         let square = i * i;
    ///         region.ordered(|| {
    ///             log.set(0, log.get(0) + 1);
    ///             log.set(log.get(0) as usize, square as u64);
    ///         });
    ///     });
    /// })?;
    /// assert_eq!(log.to_ndarray().to_vec(), [10, 0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_each_ordered(&self, range: Range<usize>, schedule: Schedule, mut body: impl FnMut(usize)) {
        assert!(
            range.len() <= MOST_TURNS,
            "{} iterations were to be ordered, and there may be {MOST_TURNS}",
            range.len()
        );
        let first = range.start;
        self.share(Inside::Ordered(0, Stage::After), range, schedule, |shared, batch| {
            for i in batch {
                let iteration = (i - first) as u32;
                self.inside.set(Inside::Ordered(iteration, Stage::Before));
                body(i);
                if self.inside.get() != Inside::Ordered(iteration, Stage::After) {
                    self.await_turn(shared, iteration);
                    self.pass(shared, iteration);
                }
            }
        });
    }

    /// Calls `section` when those of all earlier iterations are over; in the body of [`for_each_ordered`](Region::for_each_ordered).
    ///
    /// A worker that dies in the section, or panics, fails the region; those who wait for their turn leave at once.
    ///
    /// # Panics
    /// Outside of such a loop, for the second time in an iteration, inside of the critical section.
    ///
    /// ```
    /// use shm_pool::{MapReduce, Schedule};
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// pool.parallel(|region| {
    ///     region.for_each_ordered(0..10, Schedule::Dynamic(1), |i| region.ordered(|| println!("{i}"))); // in order
    /// })?;
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn ordered<T>(&self, section: impl FnOnce() -> T) -> T {
        let iteration = match self.inside.get() {
            Inside::Ordered(iteration, Stage::Before) => iteration,
            Inside::Ordered(iteration, _) => panic!(
                "iteration {iteration} (counted from 0) enters the ordered section a second time; its turn has passed"
            ),
            _ => panic!("region.ordered() was called outside of region.for_each_ordered()"),
        };
        assert!(
            !self.worker.is_in_critical(),
            "region.ordered() was called inside of region.critical(): an earlier iteration may wait for the critical section and would never have \
             its turn"
        );
        let shared = self.current();
        self.await_turn(&shared, iteration);
        self.inside.set(Inside::Ordered(iteration, Stage::Entered));
        let done = section();
        self.pass(&shared, iteration);
        done
    }

    /// Combines the values of all workers and returns the result in each of them; waits for all.
    ///
    /// `op` is called in every worker, with the values in the order of the ranks: `op(op(v0, v1), v2)` and so on, so all get the same, and the same each time, in
    /// floating point too. Values are serialised with serde, this worker's own as well. Any number of bytes will do; 256 KiB of each worker's
    /// go at a time.
    ///
    /// # Panics
    /// In a loop or a section, if a value cannot be serialised or read back, if another worker meets a barrier in its place, or has returned from the function.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(3).threads_ok();
    /// let texts = pool.parallel(|region| region.reduce(region.rank().to_string(), |all, one| all + "," + &one))?;
    /// assert_eq!(texts, ["0,1,2", "0,1,2", "0,1,2"]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn reduce<T: Serialize + DeserializeOwned>(&self, value: T, op: impl FnMut(T, T) -> T) -> T {
        self.check("reduce a value");
        let Some((common, _)) = &self.team else { return value };
        let own = match postcard::to_stdvec(&value) {
            Ok(own) => own,
            Err(error) => panic!("a value to be reduced cannot be serialised: {error}"),
        };
        drop(value);
        let all = self.exchange(common, &own);
        let read = |bytes: Vec<u8>| match postcard::take_from_bytes(&bytes) {
            Ok((value, [])) => value,
            Ok(_) => {
                panic!("a value to be reduced does not read what it writes; look at its serde attributes")
            }
            Err(error) => panic!("a value to be reduced cannot be read back: {error}"),
        };
        all.into_iter().map(read).reduce(op).expect("there is one worker at least")
    }

    /// Shows all workers the same number of bytes, and returns what each has shown.
    fn exchange(&self, common: &Common, own: &[u8]) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new(); self.workers()];
        let mut lens = Vec::new();
        let mut sent = 0;
        loop {
            let round = self.rounds.replace(self.rounds.get() + 1);
            let piece = &own[sent..own.len().min(sent + ROOM)];
            common.areas.write(round, self.rank(), own.len(), piece);
            sent += piece.len();
            self.meet();
            if lens.is_empty() {
                let len = |rank| match common.areas.len(round, rank) {
                    Some(len) => len,
                    None => panic!(
                        "worker {} reduces a value where worker {rank} waits at a barrier: all workers have to meet the same ones in the same order",
                        self.rank()
                    ),
                };
                lens = (0..self.workers()).map(len).collect();
            }
            for (rank, (bytes, len)) in all.iter_mut().zip(&lens).enumerate() {
                common.areas.read(round, rank, (len - bytes.len()).min(ROOM), bytes);
            }
            if all.iter().zip(&lens).all(|(bytes, len)| bytes.len() == *len) {
                return all;
            }
        }
    }

    /// Waits until all workers have arrived.
    fn meet(&self) {
        let Some((common, party)) = &self.team else { return };
        match party.wait() {
            Ok(_) => {}
            Err(error) if error.kind() != SyncKind::Broken => {
                panic!("cannot wait at the region's barrier: {error}")
            }
            Err(_) if common.words.has_gone() && !self.stopped() => self.deserted("waits at a barrier"),
            // Somebody has died or panicked: the master knows, or will.
            Err(_) => stop(self.worker),
        }
    }

    fn stopped(&self) -> bool {
        self.worker.control().is_some_and(|control| control.stopped())
    }

    fn deserted(&self, what: &str) -> ! {
        panic!(
            "worker {} {what} that another one will not meet, because its function has returned: all workers have to meet the same loops, \
             barriers and reductions",
            self.rank()
        )
    }

    /// Refuses what would wait inside of something else.
    fn check(&self, what: &str) {
        assert!(
            self.forks == shm_core::fork_count(),
            "a process that the function has forked cannot {what}: it is no worker of the region"
        );
        let place = match self.inside.get() {
            Inside::Nothing if self.worker.is_in_critical() => "the critical section",
            Inside::Nothing => return,
            Inside::Loop | Inside::Ordered(..) => "the body of a loop",
            Inside::Single => "a single",
            Inside::Ruin => panic!(
                "worker {} cannot {what}: a panic that was caught has passed through a loop or a single, which the others wait for",
                self.rank()
            ),
        };
        panic!("worker {} cannot {what} inside of {place}: the others may never come there", self.rank())
    }

    /// Begins a construct: the next one of all workers, which has to be the same for all.
    fn begin(&self, what: &str, inside: Inside, shape: &impl Hash) -> (Option<Shared<'_>>, Construct<'_>) {
        self.check(what);
        let number = self.met.replace(self.met.get() + 1);
        let shared = self.team.as_ref().map(|(common, _)| {
            let words = common.words;
            let place = match words.place(number, &|| self.stopped()) {
                Ok(place) => place,
                Err(Ended::Stopped) => stop(self.worker),
                Err(Ended::Deserted) => {
                    self.deserted(&format!("is {IN_FLIGHT} loops ahead, and waits at one"))
                }
            };
            let mut hasher = DefaultHasher::new();
            shape.hash(&mut hasher);
            assert!(
                place.agrees(hasher.finish() | 1),
                "worker {} meets something else than another one did: its loop or single number {} (counted from 0) has another range, another schedule or is \
                 of another kind; all workers have to meet the same ones in the same order",
                self.rank(),
                number
            );
            (words, place, number)
        });
        self.inside.set(inside);
        (shared, Construct(&self.inside))
    }

    /// Ends a construct.
    fn end(&self, shared: Option<Shared<'_>>) {
        if let Some((_, place, number)) = shared {
            place.leave(number, self.workers());
        }
    }

    /// The construct that this worker is in.
    fn current(&self) -> Option<Shared<'_>> {
        let (common, _) = self.team.as_ref()?;
        let number = self.met.get() - 1;
        match common.words.place(number, &|| self.stopped()) {
            Ok(place) => Some((common.words, place, number)),
            Err(_) => stop(self.worker),
        }
    }

    /// A loop: calls `each` for the batches that this worker gets.
    fn share(
        &self,
        inside: Inside,
        range: Range<usize>,
        schedule: Schedule,
        mut each: impl FnMut(&Option<Shared<'_>>, Range<usize>),
    ) {
        let cut = match Cut::new(schedule, range.len(), self.workers(), "share out the iterations of a loop")
        {
            Ok(cut) => cut,
            Err(error) => panic!("{error}"),
        };
        let shape = (range.start, range.end, schedule, inside != Inside::Loop);
        let (shared, _construct) = self.begin("meet a loop", inside, &shape);
        let mut each = |batch| {
            let batch = cut.range(batch);
            each(&shared, range.start + batch.start..range.start + batch.end);
            if self.stopped() {
                stop(self.worker);
            }
        };
        match (cut.given_to(self.rank()), &shared) {
            (None, Some((_, place, _))) => {
                while let Some(batch) =
                    usize::try_from(place.next()).ok().filter(|next| *next < cut.batches())
                {
                    each(batch);
                }
            }
            (Some(given), Some(_)) => given.for_each(each),
            (_, None) => (0..cut.batches()).for_each(each),
        }
        self.end(shared);
    }

    fn await_turn(&self, shared: &Option<Shared<'_>>, iteration: u32) {
        let Some((words, place, number)) = *shared else { return };
        match words.await_turn(place, number, iteration, &|| self.stopped()) {
            Ok(()) => {}
            Err(Ended::Stopped) => stop(self.worker),
            Err(Ended::Deserted) => self.deserted("waits for its turn in an ordered loop"),
        }
    }

    fn pass(&self, shared: &Option<Shared<'_>>, iteration: u32) {
        self.inside.set(Inside::Ordered(iteration, Stage::After));
        if let Some((_, place, _)) = shared {
            place.pass(iteration);
        }
    }
}

/// Leaves the region, because somebody else has failed: in good order, so that the master blames nobody else.
fn stop(worker: &Worker) -> ! {
    if let (true, Some(control)) = (cfg!(panic = "abort"), worker.control()) {
        control.slot(worker.rank()).set_state(State::Finished);
        fork::leave(0);
    }
    worker::stop()
}

/// The words, the place and the number of a construct.
type Shared<'a> = (&'a Words, &'a Place, u64);

impl std::fmt::Debug for Region<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Region").field("rank", &self.rank()).field("workers", &self.workers()).finish()
    }
}
