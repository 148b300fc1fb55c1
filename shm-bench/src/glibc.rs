//! The C library's process-shared primitives, each in shared pages of its own: what ours are measured against.
//!
//! Nothing is ever unmapped or destroyed; a bench makes a handful. See pthread_mutexattr_setpshared(3), sem_overview(7) and their relatives.

#![allow(unsafe_code, reason = "the C library's primitives are C")]

use crate::processes::shared_page;

/// What every call of these has to answer. Inlined, and the rest out of the way: a call of our own would be counted as theirs.
#[inline(always)]
fn check(status: libc::c_int) {
    if status != 0 {
        failed(status);
    }
}

#[cold]
fn failed(status: libc::c_int) -> ! {
    panic!("a call of the C library failed: {}", std::io::Error::from_raw_os_error(status))
}

/// `pthread_mutex_t`, process-shared.
pub struct Mutex(*mut libc::pthread_mutex_t);

impl Mutex {
    /// A new one, robust or not.
    pub fn new(robust: bool) -> Self {
        let mutex = shared_page().cast();
        // SAFETY: `mutex` lies in a fresh, zero, writable page; the attributes are initialised before they are used.
        unsafe {
            let mut attributes = std::mem::zeroed();
            check(libc::pthread_mutexattr_init(&mut attributes));
            check(libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED));
            if robust {
                check(libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST));
            }
            check(libc::pthread_mutex_init(mutex, &attributes));
        }
        Self(mutex)
    }

    /// Locks.
    #[inline(always)]
    pub fn lock(&self) {
        // SAFETY: initialised in `new`, never unmapped.
        check(unsafe { libc::pthread_mutex_lock(self.0) });
    }

    /// Unlocks.
    #[inline(always)]
    pub fn unlock(&self) {
        // SAFETY: as above.
        check(unsafe { libc::pthread_mutex_unlock(self.0) });
    }
}

/// `sem_t`, process-shared.
pub struct Semaphore(*mut libc::sem_t);

impl Semaphore {
    /// A new one with so many permits.
    pub fn new(permits: u32) -> Self {
        let semaphore = shared_page().cast();
        // SAFETY: in a fresh, zero, writable page.
        check(unsafe { libc::sem_init(semaphore, 1, permits) });
        Self(semaphore)
    }

    /// Adds a permit.
    #[inline(always)]
    pub fn post(&self) {
        // SAFETY: initialised in `new`, never unmapped.
        check(unsafe { libc::sem_post(self.0) });
    }

    /// Takes a permit.
    #[inline(always)]
    pub fn wait(&self) {
        // SAFETY: as above.
        check(unsafe { libc::sem_wait(self.0) });
    }
}

/// `pthread_rwlock_t`, process-shared.
pub struct RwLock(*mut libc::pthread_rwlock_t);

impl Default for RwLock {
    fn default() -> Self {
        let lock = shared_page().cast();
        // SAFETY: in a fresh, zero, writable page; the attributes are initialised before they are used.
        unsafe {
            let mut attributes = std::mem::zeroed();
            check(libc::pthread_rwlockattr_init(&mut attributes));
            check(libc::pthread_rwlockattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED));
            check(libc::pthread_rwlock_init(lock, &attributes));
        }
        Self(lock)
    }
}

impl RwLock {
    /// Locks for reading.
    #[inline(always)]
    pub fn read(&self) {
        // SAFETY: initialised in `default`, never unmapped.
        check(unsafe { libc::pthread_rwlock_rdlock(self.0) });
    }

    /// Locks for writing.
    #[inline(always)]
    pub fn write(&self) {
        // SAFETY: as above.
        check(unsafe { libc::pthread_rwlock_wrlock(self.0) });
    }

    /// Unlocks either.
    #[inline(always)]
    pub fn unlock(&self) {
        // SAFETY: as above.
        check(unsafe { libc::pthread_rwlock_unlock(self.0) });
    }
}

/// `pthread_barrier_t`, process-shared.
pub struct Barrier(*mut libc::pthread_barrier_t);

impl Barrier {
    /// A new one for so many parties.
    pub fn new(parties: u32) -> Self {
        let barrier = shared_page().cast();
        // SAFETY: in a fresh, zero, writable page; the attributes are initialised before they are used.
        unsafe {
            let mut attributes = std::mem::zeroed();
            check(libc::pthread_barrierattr_init(&mut attributes));
            check(libc::pthread_barrierattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED));
            check(libc::pthread_barrier_init(barrier, &attributes, parties));
        }
        Self(barrier)
    }

    /// Waits for the others.
    #[inline(always)]
    pub fn wait(&self) {
        // SAFETY: initialised in `new`, never unmapped.
        let status = unsafe { libc::pthread_barrier_wait(self.0) };
        if status != libc::PTHREAD_BARRIER_SERIAL_THREAD {
            check(status);
        }
    }
}

/// `pthread_cond_t`, process-shared, with a mutex of its own and a number that it guards.
pub struct Condvar {
    condition: *mut libc::pthread_cond_t,
    mutex: Mutex,
    number: *mut u64,
}

impl Default for Condvar {
    fn default() -> Self {
        let page = shared_page();
        let condition = page.cast();
        // SAFETY: in a fresh, zero, writable page; the attributes are initialised before they are used.
        unsafe {
            let mut attributes = std::mem::zeroed();
            check(libc::pthread_condattr_init(&mut attributes));
            check(libc::pthread_condattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED));
            check(libc::pthread_cond_init(condition, &attributes));
        }
        Self { condition, mutex: Mutex::new(false), number: page.wrapping_add(1024).cast() }
    }
}

impl Condvar {
    /// Wakes one waiter.
    #[inline(always)]
    pub fn signal(&self) {
        // SAFETY: initialised in `default`, never unmapped.
        check(unsafe { libc::pthread_cond_signal(self.condition) });
    }

    /// Sets the number and wakes a waiter.
    pub fn set(&self, number: u64) {
        self.mutex.lock();
        // SAFETY: within the page, aligned, touched under the mutex only.
        unsafe { *self.number = number };
        self.mutex.unlock();
        self.signal();
    }

    /// Waits until the number is this one.
    pub fn wait_for(&self, number: u64) {
        self.mutex.lock();
        // SAFETY: the number as in `set`; both objects are initialised, and the mutex is held.
        unsafe {
            while self.number.read_volatile() != number {
                check(libc::pthread_cond_wait(self.condition, self.mutex.0));
            }
        }
        self.mutex.unlock();
    }
}
