//! [`Background`]: one call in a child, awaited later.
//!
//! It is a map of one item whose run goes on when somebody waits; forking, watching and results are `master.rs`'s.

#![allow(unsafe_code, reason = "the child moves the function out of what it inherited")]

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::MapReduce;
use crate::error::Error;
use crate::fork::DiesWith;
use crate::items::Items;
use crate::master::{Job, Run, Team};
use crate::schedule::Schedule;
use crate::worker::Worker;

impl<P> MapReduce<P> {
    /// Calls `work` in a forked child, and returns at once with a handle to await its result by.
    ///
    /// The child dies with this process, and not when the thread that called this ends: the handle may be given to another one. With
    /// [`retries`](MapReduce::retries) a failed child is replaced while somebody waits (or asks), by a fork of the waiting thread. With 0
    /// [`workers`](MapReduce::workers) the call is made here and now.
    ///
    /// `work` and what it captures (arrays, their exclusive leases) are kept by the handle until the child is gone, and then dropped here; the child drops
    /// its copy.
    ///
    /// # Errors
    /// [`Fork`](crate::ErrorKind::Fork) names the limit; [`Segment`](crate::ErrorKind::Segment).
    ///
    /// # Panics
    /// With 0 workers, if `work` does.
    ///
    /// ```
    /// use shm_pool::MapReduce;
    /// let pool = MapReduce::new();
    /// # let pool = pool.threads_ok();
    /// let sum = pool.background(|| (1..=1000u64).sum::<u64>())?;
    /// // ... something else meanwhile ...
    /// assert_eq!(sum.wait()?, 500_500);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn background<R, F>(&self, work: F) -> Result<Background<R>, Error>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Serialize + DeserializeOwned,
    {
        if self.worker_count() == 0 {
            return Ok(Background { state: State::Over(Ok(work())), pid: None });
        }
        let work = Items::collect([work]);
        let call = move |_: &Worker, index| {
            // SAFETY: this runs in forked children only, in each of them once (`Team::fork`: another try is another process's). They end by `_exit`, so
            // nothing there drops the function again, and nothing else uses it.
            let work = unsafe { work.take(index) };
            work()
        };
        let job = Job {
            operation: "call in the background".to_owned(),
            items: 1,
            is_call: true,
            workers: 1,
            schedule: Schedule::default(),
            ordered: false,
            kept: false,
            policy: self.policy(),
            forking: self.forking(DiesWith::Process),
        };
        let mut team = Team::fork(job, &call)?;
        let run = team.start()?;
        let pid = Some(team.children[0].pid());
        let running = Running { team, run, call: Box::new(call) };
        Ok(Background { state: State::Running(Box::new(running)), pid })
    }
}

/// A call in a child, whose result is awaited; got from [`MapReduce::background`].
///
/// Dropping it kills the child and returns when that is gone. A child that is killed, aborts or leaves by itself is noticed at once by whoever waits. In a
/// forked copy of this process the handle does nothing: dropping it there leaves the child alone, and waiting is an error.
///
/// ```
/// use shm_pool::{ErrorKind, MapReduce};
/// # let pool = MapReduce::new().threads_ok();
/// let lost = pool.background(|| -> u32 { std::process::abort() })?;
/// let error = lost.wait().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Died);
/// # Ok::<(), shm_pool::Error>(())
/// ```
#[must_use = "dropping it kills the child"]
pub struct Background<R> {
    state: State<R>,
    pid: Option<u32>,
}

enum State<R> {
    Running(Box<Running<R>>),
    Over(Result<R, Error>),
}

struct Running<R> {
    // Dropped first: what the child uses goes when the child is gone.
    team: Team,
    run: Run<R>,
    call: Box<Call<R>>,
}

type Call<R> = dyn Fn(&Worker, usize) -> R + Send;

impl<R> Drop for Running<R> {
    fn drop(&mut self) {
        self.team.kill();
    }
}

impl<R: Serialize + DeserializeOwned> Background<R> {
    /// Blocks until the child has ended, and returns what the call returned. Signals do not end the wait, and their handlers run in the meantime.
    ///
    /// # Errors
    /// [`Panicked`](crate::ErrorKind::Panicked), [`Died`](crate::ErrorKind::Died) (killed, aborted or left by itself), [`Encode`](crate::ErrorKind::Encode),
    /// [`Decode`](crate::ErrorKind::Decode), [`OutOfMemory`](crate::ErrorKind::OutOfMemory), [`Fork`](crate::ErrorKind::Fork) (another try);
    /// [`Ended`](crate::ErrorKind::Ended) in a forked copy of the process.
    ///
    /// ```
    /// # let pool = shm_pool::MapReduce::new().threads_ok();
    /// let failed = pool.background(|| -> u8 { panic!("no luck") })?;
    /// assert_eq!(failed.wait().unwrap_err().panic_message(), Some("no luck"));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn wait(mut self) -> Result<R, Error> {
        loop {
            match self.state {
                State::Over(outcome) => return outcome,
                State::Running(_) => self.advance(None),
            }
        }
    }

    /// Blocks until the child has ended, or for `timeout`; says whether it has, and then [`wait`](Background::wait) returns at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// # let pool = shm_pool::MapReduce::new().threads_ok();
    /// let mut nap = pool.background(|| std::thread::sleep(Duration::from_millis(50)))?;
    /// while !nap.wait_timeout(Duration::from_millis(10)) {
    ///     println!("still asleep");
    /// }
    /// nap.wait()?;
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> bool {
        // A time that is too far away is none.
        self.advance(Instant::now().checked_add(timeout));
        matches!(self.state, State::Over(_))
    }

    /// Says whether the child has ended, without blocking; then [`wait`](Background::wait) returns at once.
    ///
    /// ```
    /// # let pool = shm_pool::MapReduce::new().threads_ok();
    /// let mut answer = pool.background(|| 42)?;
    /// while !answer.is_finished() {
    ///     std::thread::yield_now(); // or something useful
    /// }
    /// assert_eq!(answer.wait()?, 42);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn is_finished(&mut self) -> bool {
        self.wait_timeout(Duration::ZERO)
    }

    /// Kills the child, unless it has ended already. There is no other try, and [`wait`](Background::wait) says that it died.
    ///
    /// ```
    /// use shm_pool::Exit;
    /// # let pool = shm_pool::MapReduce::new().threads_ok();
    /// let mut endless = pool.background(|| -> u32 { loop { std::thread::park() } })?;
    /// endless.kill();
    /// let error = endless.wait().unwrap_err();
    /// assert_eq!(error.exit(), Some(Exit::Signal(9)));
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn kill(&mut self) {
        if let State::Running(running) = &mut self.state {
            running.run.no_more_tries();
            running.team.kill();
        }
    }

    /// Returns the process id of the child, or what it was; nothing if the call was made in this process.
    ///
    /// ```
    /// # let pool = shm_pool::MapReduce::new().threads_ok();
    /// let child = pool.background(|| std::process::id())?;
    /// let pid = child.pid();
    /// assert_eq!(Some(child.wait()?), pid);
    /// # Ok::<(), shm_pool::Error>(())
    /// ```
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Waits for the end until then.
    fn advance(&mut self, until: Option<Instant>) {
        let State::Running(running) = &mut self.state else { return };
        let Running { team, run, call } = &mut **running;
        let outcome = team.advance(run, call, &mut |_index, result| result, &mut |_done| (), until);
        self.pid = Some(team.children[0].pid());
        let over = match outcome {
            Ok(false) => return,
            Ok(true) => {
                Ok(run.take().into_results().pop().expect("a complete run of one item has its result"))
            }
            Err(error) => Err(error),
        };
        self.state = State::Over(over);
    }
}

impl<R> std::fmt::Debug for Background<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let over = matches!(self.state, State::Over(_));
        f.debug_struct("Background").field("pid", &self.pid).field("over", &over).finish_non_exhaustive()
    }
}
