//! A condition variable in a loom model: the real protocol, around a mutex that is taken for granted.
//!
//! For `tests/loom_condvar.rs`. What the mutex does when its holder dies is modelled in `mutex`.

use crate::base::Patience;
use crate::base::futex::Deadline;
use crate::condvar::raw::{Notify, RawCondvar, Ticket};
use core::time::Duration;
use loom::sync::{Mutex, MutexGuard};

/// Items, and waiting for them.
pub struct Store {
    items: Mutex<u32>,
    arrived: RawCondvar,
}

impl Default for Store {
    fn default() -> Self {
        Self { items: Mutex::new(0), arrived: RawCondvar::default() }
    }
}

/// Somebody who waits, has given the mutex up, and has not looked yet.
pub struct Waiting(Ticket);

impl Store {
    fn lock(&self) -> MutexGuard<'_, u32> {
        self.items.lock().expect("nobody panics")
    }

    /// Begins to wait, if there is nothing. None: there was, and it is consumed.
    pub fn begin(&self) -> Option<Waiting> {
        let mut items = self.lock();
        if *items == 0 {
            return Some(Waiting(self.enter()));
        }
        *items -= 1;
        None
    }

    /// Waits for one item and consumes it.
    pub fn consume(&self) {
        if let Some(waiting) = self.begin() {
            self.go_on(waiting);
        }
    }

    /// Waits on, and consumes one item.
    pub fn go_on(&self, Waiting(mut ticket): Waiting) {
        loop {
            let mut items = self.wait(&mut ticket);
            if *items != 0 {
                *items -= 1;
                return;
            }
            ticket = self.enter();
        }
    }

    /// Waits on until it is notified, whatever for; counts the items that it sees.
    pub fn notified(&self, Waiting(mut ticket): Waiting) -> u32 {
        *self.wait(&mut ticket)
    }

    /// Waits for no time at all, and consumes an item if it was notified. Whether it did.
    pub fn consume_or_give_up(&self) -> bool {
        let Some(Waiting(mut ticket)) = self.begin() else { return true };
        let patience = Patience { deadline: Some(Deadline::after(Duration::ZERO)), interruptible: false };
        let _ = self.arrived.sleep(&mut ticket, patience, || false);
        let mut items = self.lock();
        let notified = self.arrived.take(&mut ticket);
        self.arrived.leave();
        if notified && *items != 0 {
            *items -= 1;
        }
        notified
    }

    /// Waits on, and is killed when it has been let go, before it has the mutex. The time slice of every sleep is over then.
    pub fn die_woken(&self, Waiting(mut ticket): Waiting) {
        let _ = self.arrived.sleep(&mut ticket, Patience::default(), || false);
        self.arrived.rouse();
    }

    /// Adds items.
    pub fn add(&self, count: u32) {
        *self.lock() += count;
    }

    /// How many items there are.
    pub fn items(&self) -> u32 {
        *self.lock()
    }

    /// Notifies one of those who wait.
    pub fn notify_one(&self) {
        self.arrived.notify(Notify::Some(1));
    }

    /// Notifies all who wait.
    pub fn notify_all(&self) {
        self.arrived.notify(Notify::All);
    }

    fn enter(&self) -> Ticket {
        self.arrived.enter(1).expect("there is one mutex only")
    }

    fn wait(&self, ticket: &mut Ticket) -> MutexGuard<'_, u32> {
        loop {
            self.arrived.sleep(ticket, Patience::default(), || false).expect("no deadline, no signals");
            let items = self.lock();
            if self.arrived.take(ticket) {
                self.arrived.leave();
                return items;
            }
        }
    }
}
