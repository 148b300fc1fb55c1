//! [`MapReduce`]: how a pool is set up. What it does is in `map.rs` and `crew.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cpus;
use crate::error::Error;
use crate::fork::{DiesWith, Forking};
use crate::hooks::Hooks;
use crate::master::JobKind;
use crate::recovery::Policy;
use crate::schedule::Schedule;
use crate::warning::Warning;

/// In place of a number of workers.
const NOT_ASKED: usize = usize::MAX;

/// Forks workers that call a function for each of many items, and collects the results.
///
/// A pool is a set of options; processes exist only while one of its methods works, and as long as a [`Crew`](crate::Crew), a [`Kept`](crate::Kept) or a
/// [`Background`](crate::Background) lives. Closures
/// and what they capture are inherited by the fork: nothing is serialised on the way in. Results are serialised with serde.
///
/// # What a function may do in a worker
/// A worker is a copy of this process with one thread. What it changes in private memory nobody else sees; shared memory (a
/// [`SharedArray`](shm_core::SharedArray), a [`Mutex`](shm_sync::Mutex)) is how workers meet. Items and captured values are dropped in the master too,
/// so one whose destructor does something outside of the process (removes a file) does it twice. Standard output and error, Rust's and C's, are flushed
/// before the fork and at a worker's end.
///
/// # A master with several threads
/// The fork copies the memory and one thread. A lock that another thread holds at that moment (an allocator's of another library, a logger's, one
/// of the program's) is held in the workers for ever, and whoever needs it there waits for ever. Hence a [warning](MapReduce::on_warning) with the number of
/// threads. The ways out: fork before the threads start, with [`keep`](MapReduce::keep) or [`crew`](MapReduce::crew), whose workers serve any number of maps later; or
/// find out that the other threads hold no lock that the function needs, and say [`threads_ok`](MapReduce::threads_ok). This crate's own locks,
/// libc's `malloc` and standard output are taken care of; so is a panic hook that is running, and with it the lock under which the standard library takes
/// backtraces: a fork waits until other threads have left it, for two seconds at most.
///
/// # Failure
/// A panic in a worker, and a worker that is killed, aborts or leaves by itself, end the map with an error that names worker and item; the others
/// finish the item that they are at, or are killed if that takes longer than a tenth of a second. No worker outlives the call. Finished results are kept in
/// the [`MapError`](crate::MapError). That is the default; [`retries`](MapReduce::retries) has items tried again by fresh workers, and
/// [`skip_failed`](MapReduce::skip_failed) goes on without those that fail. When the calling thread or its process dies, the kernel kills the workers.
///
/// ```
/// use shm_pool::MapReduce;
///
/// let pool = MapReduce::new().workers(2);
/// # let pool = pool.threads_ok();
/// let squares: Vec<u64> = pool.map(0..1000u64, |_worker, i| i * i)?;
/// assert_eq!(squares[30], 900);
/// # Ok::<(), shm_pool::Error>(())
/// ```
pub struct MapReduce<P = fn(usize, usize)> {
    workers: Option<usize>,
    /// What the environment grants; [`NOT_ASKED`] before the first question. (A fork during the first use of a `OnceLock` would leave a child that
    /// cannot use it.)
    default_workers: AtomicUsize,
    serial_below: usize,
    retries: usize,
    first_item: usize,
    schedule: Option<Schedule>,
    pub(crate) ordered: bool,
    heartbeat: Option<Duration>,
    warning: Warning,
    hooks: Hooks,
    pub(crate) progress: Option<Arc<P>>,
}

impl MapReduce {
    /// Makes a pool with as many workers as the environment grants.
    ///
    /// That is `OMP_NUM_THREADS`, else `PBS_NUM_PPN`, else `SLURM_CPUS_PER_TASK`, else the processors that this process may run on, limited by
    /// the quota of its control group.
    ///
    /// ```
    /// let pool = shm_pool::MapReduce::new();
    /// # let pool = pool.threads_ok();
    /// let doubled = pool.map(1..=3, |_worker, i| 2 * i)?;
    /// assert_eq!(doubled, [2, 4, 6]);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn new() -> MapReduce {
        MapReduce {
            workers: None,
            default_workers: AtomicUsize::new(NOT_ASKED),
            serial_below: 0,
            retries: 0,
            first_item: 0,
            schedule: None,
            ordered: false,
            heartbeat: None,
            warning: Warning::Once,
            hooks: Hooks::NONE,
            progress: None,
        }
    }
}

impl Default for MapReduce {
    fn default() -> MapReduce {
        MapReduce::new()
    }
}

impl<P> MapReduce<P> {
    /// Sets the number of workers. With 0 the function runs in the master, item by item: for a debugger; panics then unwind as usual.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let mut seen = Vec::new();
    /// let lengths = MapReduce::new().workers(0).map_reduce(["a", "bc"], |_, text| text.len(), |i, n| {
    ///     seen.push(i);
    ///     n
    /// })?;
    /// assert_eq!((lengths, seen), (vec![1, 2], vec![0, 1]));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[must_use]
    pub fn workers(mut self, workers: usize) -> MapReduce<P> {
        self.workers = Some(workers);
        self
    }

    /// Has maps of fewer items than `items` worked on in the master, without a fork (default: 0, none but those without items).
    ///
    /// Two forks take about 0.2 ms, more if the process has much private memory; what is done sooner than that needs no workers. A map that stays in the
    /// master is as one with 0 [`workers`](MapReduce::workers). For chunks of an array it is their number that counts.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok().serial_below(100);
    /// let here = std::process::id();
    /// assert!(pool.map(0..99, |_worker, _| std::process::id())?.iter().all(|pid| *pid == here));
    /// assert!(pool.map(0..100, |_worker, _| std::process::id())?.iter().all(|pid| *pid != here));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[must_use]
    pub fn serial_below(mut self, items: usize) -> MapReduce<P> {
        self.serial_below = items;
        self
    }

    /// Sets how often an item at which a worker fails is tried again, each time by a fresh worker (default: 0, and the map fails).
    ///
    /// What counts as a failure: a panic, a result that cannot be serialised or finds no memory, and any end of the worker (killed, aborted, exited) while
    /// it is at the item. The item is then given to a worker that is forked anew, together with the others that the
    /// failed one had taken and whose results it had not sent; so an item may also be worked on twice because of another's failure, and what the
    /// function changes outside of its process (files, shared arrays) has to bear that. After the last try the map fails, or goes on
    /// without the item if it is one of [`skip_failed`](MapReduce::skip_failed). A worker that ends between two items is
    /// replaced, unless that happens four times in a row in the same place.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    ///
    /// let tries = SharedArray::<u32, _>::zeros(Anonymous, 10)?; // shared: it outlives the worker
    /// let pool = MapReduce::new().workers(2).threads_ok().retries(1);
    /// let found = pool.map(0..10, |_worker, i| {
    ///     tries.set(i, tries.get(i) + 1);
    ///     if i == 5 && tries.get(i) == 1 {
    ///         std::process::abort();
    ///     }
    ///     i
    /// })?;
    /// assert_eq!(found, (0..10).collect::<Vec<_>>());
    /// assert_eq!(tries.get(5), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn retries(mut self, retries: usize) -> MapReduce<P> {
        self.retries = retries;
        self
    }

    /// Sets the number that messages have for the first item (default: 0); the others follow.
    ///
    /// For loops over a range that begins elsewhere: the texts of errors then speak of the numbers that the program's user knows. What the
    /// methods of [`Error`](crate::Error) return are indices, from 0 on, as ever. Chunks of an array, and items that are sent to kept workers, are always
    /// counted from 0.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new().workers(2).threads_ok().first_item(1900);
    /// let error = pool.map(1900..2000, |_worker, year| assert_ne!(year, 1917)).unwrap_err();
    /// assert_eq!(error.item(), Some(17));
    /// assert!(error.to_string().contains("at item 1917"), "{error}");
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[must_use]
    pub fn first_item(mut self, first: usize) -> MapReduce<P> {
        self.first_item = first;
        self
    }

    /// What the items of a map stand for.
    pub(crate) fn items_for_themselves(&self) -> JobKind {
        JobKind::Map { first: self.first_item }
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy { retries: self.retries, skip: false }
    }

    /// Sets how items are shared out to the workers (default: [`Schedule::Guided`] with a chunk of 1; [`Schedule::Dynamic`] for an
    /// [ordered](MapReduce::ordered) map).
    ///
    /// For chunks of an array, an item of the schedule is a chunk of the array. A schedule with chunks of 0 items is refused by the map, with
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument).
    ///
    /// ```
    /// use shm_pool::{MapReduce, Schedule};
    /// let pool = MapReduce::new().workers(3).threads_ok().schedule(Schedule::Static);
    /// let ranks = pool.map(0..7, |worker, _| worker.rank())?;
    /// assert_eq!(ranks, [0, 0, 0, 1, 1, 2, 2]); // shares that are known in advance
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> MapReduce<P> {
        self.schedule = Some(schedule);
        self
    }

    /// Says that the function has an [ordered section](crate::Worker::ordered): OpenMP's `ordered` clause.
    ///
    /// The default schedule is `Dynamic(1)` then, single items: whoever had a batch of a hundred would let the one behind it wait until the last of them has had
    /// its turn. An explicit [`schedule`](MapReduce::schedule) wins. An ordered map has 4 294 967 294 items at most.
    ///
    /// ```
    /// use shm_core::{Anonymous, SharedArray};
    /// use shm_pool::MapReduce;
    ///
    /// let written = SharedArray::<u64, _>::zeros(Anonymous, 101)?; // their number, then they
    /// let pool = MapReduce::new().workers(2).threads_ok().ordered();
    /// pool.map(0..100u64, |worker, i| {
    ///     let square = i * i; // whenever that is ready
    ///     worker.ordered(|| {
    ///         let at = written.get(0) + 1;
    ///         written.set(0, at);
    ///         written.set(at as usize, square);
    ///     });
    /// })?;
    /// assert!((0..100).all(|i| written.get(i + 1) == (i * i) as u64));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn ordered(mut self) -> MapReduce<P> {
        self.ordered = true;
        self
    }

    /// The schedule of the maps, which is known to be possible.
    pub(crate) fn checked_schedule(&self, operation: &str) -> Result<Schedule, Error> {
        let default = if self.ordered { Schedule::Dynamic(1) } else { Schedule::default() };
        let schedule = self.schedule.unwrap_or(default);
        schedule.check(operation)?;
        Ok(schedule)
    }

    /// Calls `progress` in the master's thread as results arrive, with the number of those that have and of all.
    ///
    /// Results of quick items arrive many at a time, those of slow items about every 5 ms.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// use std::cell::Cell;
    /// let last = Cell::new((0, 0));
    /// let pool = MapReduce::new().workers(2).threads_ok().progress(|done, total| last.set((done, total)));
    /// pool.map(0..100, |_, i| i)?;
    /// assert_eq!(last.get(), (100, 100));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[must_use]
    pub fn progress<Q: Fn(usize, usize)>(self, progress: Q) -> MapReduce<Q> {
        MapReduce {
            workers: self.workers,
            default_workers: self.default_workers,
            serial_below: self.serial_below,
            retries: self.retries,
            first_item: self.first_item,
            schedule: self.schedule,
            ordered: self.ordered,
            heartbeat: self.heartbeat,
            warning: self.warning,
            hooks: self.hooks,
            progress: Some(Arc::new(progress)),
        }
    }

    /// Has [`progress`](MapReduce::progress) called at least so often while the master waits for its workers, and whenever a signal's handler has run in its
    /// thread, with unchanged numbers if nothing has arrived.
    ///
    /// For programs that have to look after something else meanwhile, such as an interpreter whose signals are handled later than they come. A
    /// `progress` that panics ends the workers and the map. It concerns the maps that fork their workers.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// use std::time::Duration;
    /// let patience = std::cell::Cell::new(3);
    /// let pool = MapReduce::new().workers(1).threads_ok().heartbeat(Duration::from_millis(10)).progress(|done, total| {
    ///     patience.set(patience.get() - 1);
    ///     if patience.get() == 0 && done < total {
    ///         std::panic::resume_unwind(Box::new("it takes too long"));
    ///     }
    /// });
    /// let map = || pool.map(0..1, |_, _| std::thread::sleep(Duration::from_secs(60)));
    /// assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(map)).is_err());
    /// ```
    #[must_use]
    pub fn heartbeat(mut self, every: Duration) -> MapReduce<P> {
        self.heartbeat = Some(every);
        self
    }

    /// Says that a master with several threads is known to be fine: its other threads hold no lock that the function needs.
    ///
    /// To start a thread needs one: the standard library's list of threads has a lock. So a function that starts threads may wait for ever in a worker
    /// that was forked while another thread of the master was starting or ending.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let (tell, wait) = std::sync::mpsc::channel::<()>();
    /// let other = std::thread::spawn(move || wait.recv()); // locks nothing that the workers need
    /// let pool = MapReduce::new().workers(2).threads_ok();
    /// assert_eq!(pool.map(0..3, |_, i| i)?, [0, 1, 2]); // no warning
    /// # drop(tell);
    /// # other.join().unwrap().unwrap_err();
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[must_use]
    pub fn threads_ok(mut self) -> MapReduce<P> {
        self.warning = Warning::Never;
        self
    }

    /// Calls `warning` before each fork in a master with several threads (default: one line on standard error, once).
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// use std::sync::{Arc, Mutex};
    /// let heard = Arc::new(Mutex::new(String::new()));
    /// let pool = MapReduce::new().workers(1).on_warning({
    ///     let heard = heard.clone();
    ///     move |text| *heard.lock().unwrap() = text.to_owned()
    /// });
    /// let (tell, wait) = std::sync::mpsc::channel::<()>();
    /// let other = std::thread::spawn(move || wait.recv());
    /// pool.map(0..2, |_, i| i)?;
    /// drop(tell);
    /// other.join().unwrap().unwrap_err();
    /// assert!(heard.lock().unwrap().contains("threads"));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[must_use]
    pub fn on_warning(mut self, warning: impl Fn(&str) + Send + Sync + 'static) -> MapReduce<P> {
        self.warning = Warning::Call(Arc::new(warning));
        self
    }

    /// Has three functions called around each fork of this pool, also of workers that replace others and of those that are kept: `before` and `parent`
    /// in the master, in the thread that forks, `child` in the new process before anything else of the program's. For runtimes that have to be told of
    /// forks: Python's `PyOS_BeforeFork`, `PyOS_AfterFork_Parent` and `PyOS_AfterFork_Child`. A second call replaces the functions of the first.
    ///
    /// The order is: the [warning](MapReduce::on_warning) if there is one, `before`, writing out standard output and error, the fork, then `parent`
    /// and `child`. Each `before` that returns is followed by one `parent`, also when the system refuses the fork. They may print, wait for other
    /// threads and allocate; they may not use this pool, whose forks would call them again. `child` runs in a process with one thread, and a lock that
    /// another thread of the master held stays locked there: that is for `before` to prevent.
    ///
    /// # Panics
    /// A panic of `before` or `parent` goes on in the caller when the workers that were forked already are gone; after one of `before` there is no fork
    /// and no `parent`. A panic of `child` is the worker's: [`Panicked`](crate::ErrorKind::Panicked), at no item.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let (here, forks) = (std::process::id(), Arc::new(AtomicU32::new(0)));
    /// let count = forks.clone();
    /// let pool = MapReduce::new().workers(2).threads_ok().fork_hooks(
    ///     || println!("about to fork"),
    ///     move || assert!(count.fetch_add(1, Ordering::Relaxed) < 2, "one for each worker"),
    ///     move || assert_ne!(std::process::id(), here),
    /// );
    /// assert_eq!(pool.map(0..3, |_worker, i| i)?, [0, 1, 2]);
    /// assert_eq!(forks.load(Ordering::Relaxed), 2);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    #[must_use]
    pub fn fork_hooks(
        mut self,
        before: impl Fn() + Send + Sync + 'static,
        parent: impl Fn() + Send + Sync + 'static,
        child: impl Fn() + Send + Sync + 'static,
    ) -> MapReduce<P> {
        self.hooks = Hooks::new(before, parent, child);
        self
    }

    /// Returns how many workers a map with enough items forks: at most one for each item.
    ///
    /// ```
    /// assert_eq!(shm_pool::MapReduce::new().workers(3).worker_count(), 3);
    /// assert!(shm_pool::MapReduce::new().worker_count() >= 1);
    /// ```
    pub fn worker_count(&self) -> usize {
        self.workers.unwrap_or_else(|| match self.default_workers.load(Ordering::Relaxed) {
            NOT_ASKED => {
                let workers = cpus::default_workers();
                self.default_workers.store(workers, Ordering::Relaxed);
                workers
            }
            workers => workers,
        })
    }

    /// Whether so many items are worked on in the master.
    pub(crate) fn is_serial(&self, items: usize) -> bool {
        items == 0 || items < self.serial_below || self.worker_count() == 0
    }

    /// How a team of this pool is forked.
    pub(crate) fn forking(&self, dies_with: DiesWith) -> Forking {
        Forking {
            hooks: self.hooks.clone(),
            warning: self.warning.clone(),
            dies_with,
            heartbeat: self.heartbeat,
        }
    }
}

impl<P: Fn(usize, usize)> MapReduce<P> {
    pub(crate) fn tell_progress(&self, done: usize, total: usize) {
        if let Some(progress) = &self.progress {
            progress(done, total);
        }
    }
}

impl<P> Clone for MapReduce<P> {
    fn clone(&self) -> MapReduce<P> {
        MapReduce {
            workers: self.workers,
            default_workers: AtomicUsize::new(self.default_workers.load(Ordering::Relaxed)),
            serial_below: self.serial_below,
            retries: self.retries,
            first_item: self.first_item,
            schedule: self.schedule,
            ordered: self.ordered,
            heartbeat: self.heartbeat,
            warning: self.warning.clone(),
            hooks: self.hooks.clone(),
            progress: self.progress.clone(),
        }
    }
}

impl<P> std::fmt::Debug for MapReduce<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MapReduce").field("workers", &self.workers).finish_non_exhaustive()
    }
}
