//! What the master does about a failed worker: nothing (the run fails), another try by a fresh worker, or to go on without the item.
//!
//! A fresh worker has the dead one's number and what the dead one had taken and not sent; the item that the dead one was at is the one that is counted
//! as tried, or skipped. How that is safe at every instruction where a worker may die is in `PROTOCOL.md`.

use std::collections::HashMap;

use crate::control::{Control, Message};
use crate::error::Error;
use crate::inbox::Inbox;
use crate::master::Team;
use crate::results::Unreadable;
use crate::trouble::Trouble;
use crate::wire::Pack;
use crate::work::Work;

/// So many workers may end one after the other, in one place, at no item and without a result in between, before the run fails.
const ENDS_AT_NO_ITEM: usize = 3;

/// What a failure leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// How often an item is tried again.
    pub(crate) retries: usize,
    /// Whether to go on without an item, after the last try.
    pub(crate) skip: bool,
}

impl Policy {
    /// Whether a run may survive the end of a worker.
    fn goes_on(self) -> bool {
        self.retries > 0 || self.skip
    }
}

/// What has failed in a run so far.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    policy: Policy,
    /// How often items have failed.
    tries: HashMap<usize, usize>,
    /// For each worker that ended at no item: how many did in a row, and how many results there were then.
    idle_ends: HashMap<usize, (usize, usize)>,
    /// Workers that have ended and that nobody replaces, because nothing is left for them.
    retired: Vec<usize>,
    /// For each item that was skipped, and each end that concerned no item, what happened.
    pub(crate) failures: Vec<Error>,
}

impl Recovery {
    pub(crate) fn new(policy: Policy) -> Recovery {
        Recovery { policy, ..Recovery::default() }
    }

    /// From here on a failure is the end of the run.
    pub(crate) fn give_up(&mut self) {
        self.policy = Policy::default();
    }

    pub(crate) fn is_retired(&self, rank: usize) -> bool {
        self.retired.contains(&rank)
    }

    /// How often an item has failed.
    pub(crate) fn tries(&self, item: Option<usize>) -> usize {
        item.and_then(|item| self.tries.get(&item)).copied().unwrap_or(0)
    }

    /// Whether the run goes on after a worker's end at this item, or at none. An item that is not tried again is skipped then.
    pub(crate) fn judge<S>(
        &mut self,
        control: &Control,
        rank: usize,
        item: Option<usize>,
        inbox: &mut Inbox<S>,
        explain: impl FnOnce(usize, &Inbox<S>) -> Error,
    ) -> bool {
        let policy = self.policy;
        if !policy.goes_on() {
            return false;
        }
        match item {
            Some(item) => {
                let tries = self.tries.entry(item).or_default();
                *tries += 1;
                if *tries > policy.retries {
                    if !policy.skip {
                        return false;
                    }
                    self.failures.push(explain(*tries, inbox));
                    inbox.skip(item);
                    if let Some(order) = control.order() {
                        order.pass(item);
                    }
                }
            }
            None if self.is_hopeless(rank, inbox.done()) => return false,
            None if policy.skip => self.failures.push(explain(0, inbox)),
            None => {}
        }
        true
    }

    /// Whether workers end in this place again and again, for a reason that no item is to blame for.
    fn is_hopeless(&mut self, rank: usize, done: usize) -> bool {
        let (ends, before) = self.idle_ends.entry(rank).or_default();
        *ends = if *before == done { *ends + 1 } else { 1 };
        *before = done;
        *ends > ENDS_AT_NO_ITEM
    }
}

impl Team {
    /// Does what the policy says about a worker's failure, or gives it back: the run fails.
    ///
    /// `accept` takes in what the worker had sent before.
    pub(crate) fn recover<R: Pack, S>(
        &mut self,
        trouble: Trouble,
        recovery: &mut Recovery,
        inbox: &mut Inbox<S>,
        accept: &mut impl FnMut(&mut Inbox<S>, &Control, usize, Message) -> Result<(), Unreadable>,
        work: &impl Work<usize, R>,
    ) -> Result<(), Trouble> {
        let (Trouble::Died(rank) | Trouble::Gave(rank)) = trouble else { return Err(trouble) };
        if !recovery.policy.goes_on() {
            return Err(trouble);
        }
        // One that has given up has flushed its output, and has nothing to do but to end.
        self.await_end(rank);
        self.drain_ring(rank, &mut |control, rank, message| {
            accept(inbox, control, rank, message).map_err(|why| Trouble::Unreadable(rank, why))
        })?;
        let item = self.item_of(rank, inbox);
        let explain = |tries, inbox: &Inbox<S>| self.explain(&trouble, tries, inbox);
        if !recovery.judge(&self.control, rank, item, inbox, explain) {
            return Err(trouble);
        }
        let again = self.unfinished(rank, inbox);
        self.control.write_off(rank);
        if again.is_empty() && !self.kept && !self.control.has_batches_for(&self.cut, self.run, rank) {
            recovery.retired.push(rank);
            return Ok(());
        }
        self.replace(rank, &again, work).map_err(|error| Trouble::NotReplaced(rank, error))
    }
}
