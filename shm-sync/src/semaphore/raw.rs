//! The semaphores in shared pages: one layout for both kinds, and what each operation checks before it believes a count.
//!
//! | offset | field | meaning |
//! |---|---|---|
//! | 0 | gate | see `base::gate` |
//! | 4 | count | the permits that can be taken, at most the bound |
//! | 8 | identity | see `handle`; its parameter is the bound of a bounded semaphore, 0 of the other kind |
//! | 16 | reserved | 0 |
//!
//! How permits are taken and given is `permits`' business, the guards are `permit`'s.

use super::permits::{Damaged, NotGiven, Permits};
use crate::base::robust::Me;
use crate::base::{GaveUp, Patience};
use crate::error::{Error, ErrorKind};
use crate::handle::{Handle, Kind, Raw};
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// How many permits there can be at most: 2^30 - 1.
pub(crate) const MOST: u32 = 0x3fff_ffff;

/// See the head of this file.
#[repr(C, align(64))]
pub(crate) struct RawSemaphore {
    permits: Permits,
    identity: AtomicU64,
    _reserved: [AtomicU64; 6],
}

/// The same, of the other kind.
#[repr(transparent)]
pub(crate) struct RawBoundedSemaphore(RawSemaphore);

const _: () = {
    assert!(size_of::<RawSemaphore>() == 64 && size_of::<Permits>() == 8);
    assert!(offset_of!(RawSemaphore, permits) == 0 && offset_of!(RawSemaphore, identity) == 8);
};

/// Where the count lies.
pub(crate) const COUNT: usize = 4;

impl Raw for RawSemaphore {
    const KIND: Kind = Kind::SEMAPHORE;

    fn identity(&self) -> &AtomicU64 {
        &self.identity
    }
}

impl Raw for RawBoundedSemaphore {
    const KIND: Kind = Kind::BOUNDED_SEMAPHORE;

    fn identity(&self) -> &AtomicU64 {
        &self.0.identity
    }
}

/// What a semaphore is taken for: its identity, and how many permits it can have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    identity: u64,
    limit: u32,
}

impl Terms {
    /// Of a semaphore without a bound.
    pub(crate) const UNBOUNDED: Terms = Terms { identity: Kind::SEMAPHORE.identity(0), limit: MOST };

    /// Of a bounded semaphore.
    pub(crate) const fn bounded(bound: u32) -> Terms {
        Terms { identity: Kind::BOUNDED_SEMAPHORE.identity(bound), limit: bound }
    }

    /// What stands in the shared pages.
    pub(crate) const fn identity(self) -> u64 {
        self.identity
    }

    /// How many permits there can be.
    pub(crate) const fn limit(self) -> u32 {
        self.limit
    }

    /// The terms that an identity in shared pages names, if it is that of a semaphore.
    #[inline(always)]
    fn named_by(identity: u64) -> Option<Terms> {
        if identity == Self::UNBOUNDED.identity {
            return Some(Self::UNBOUNDED);
        }
        match Kind::BOUNDED_SEMAPHORE.parameter(identity) {
            Some(bound @ 1..=MOST) => Some(Self::bounded(bound)),
            _ => None,
        }
    }
}

impl RawSemaphore {
    #[inline(always)]
    fn is(&self, terms: Terms) -> bool {
        self.identity.load(Relaxed) == terms.identity
    }

    /// Takes a permit if there is one and all is as usual. Otherwise `take` finds out.
    #[inline(always)]
    pub(crate) fn take_free(&self, terms: Terms) -> bool {
        self.is(terms) && self.permits.try_take(terms.limit) == Some(Ok(()))
    }

    /// Puts permits there if all is as usual. Otherwise `give` finds out.
    #[inline(always)]
    pub(crate) fn give_free(&self, terms: Terms, number: u32) -> bool {
        number != 0
            && self.is(terms)
            && Me::registered().is_some_and(|me| self.permits.give(terms.limit, number, Some(me)).is_ok())
    }

    /// Puts the permit of a guard back. There is nobody to tell if that cannot be done.
    #[inline(always)]
    pub(crate) fn give_back(&self) {
        if let Some(terms) = Terms::named_by(self.identity.load(Relaxed))
            && !self.give_free(terms, 1)
        {
            self.give_back_slowly(terms);
        }
    }

    #[cold]
    fn give_back_slowly(&self, terms: Terms) {
        // Either there is room and the semaphore whole, or it is left as it is.
        let _ = self.permits.give(terms.limit, 1, Me::get().ok());
    }
}

/// A semaphore of either kind.
pub(crate) trait AnyRaw: Raw {
    fn semaphore(&self) -> &RawSemaphore;
}

impl AnyRaw for RawSemaphore {
    #[inline(always)]
    fn semaphore(&self) -> &RawSemaphore {
        self
    }
}

impl AnyRaw for RawBoundedSemaphore {
    #[inline(always)]
    fn semaphore(&self) -> &RawSemaphore {
        &self.0
    }
}

/// What takes long or goes wrong, told with the name of the semaphore.
impl<R: AnyRaw> Handle<R> {
    fn check(&self, terms: Terms, verb: &str) -> Result<&Permits, Error> {
        let raw = self.raw().semaphore();
        if raw.is(terms) { Ok(&raw.permits) } else { Err(self.error(verb, ErrorKind::Corrupt)) }
    }

    #[cold]
    fn damaged(&self, terms: Terms, verb: &str) -> Error {
        let detail = format!("its count is past {}, the most it can have", terms.limit);
        self.error(verb, ErrorKind::Corrupt).detail(detail)
    }

    /// Takes a permit at once or not at all.
    #[cold]
    #[inline(never)]
    pub(crate) fn try_take(&self, terms: Terms) -> Result<(), Error> {
        const VERB: &str = "acquire a permit of";
        match self.check(terms, VERB)?.try_take(terms.limit) {
            Some(Ok(())) => Ok(()),
            Some(Err(Damaged)) => Err(self.damaged(terms, VERB)),
            None => Err(self.error(VERB, ErrorKind::Busy).detail("no permit is there")),
        }
    }

    /// Takes a permit, waiting for it as long as `patience` lasts.
    #[cold]
    #[inline(never)]
    pub(crate) fn take(&self, terms: Terms, patience: Patience) -> Result<(), Error> {
        const VERB: &str = "acquire a permit of";
        let me = Me::get().map_err(|error| error.on(self.name()))?;
        match self.check(terms, VERB)?.take(terms.limit, me, patience) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Damaged)) => Err(self.damaged(terms, VERB)),
            Err(GaveUp::TimedOut) => Err(self.error(VERB, ErrorKind::TimedOut)),
            Err(GaveUp::Interrupted) => Err(self.error(VERB, ErrorKind::Interrupted)),
        }
    }

    /// Puts permits there.
    #[cold]
    #[inline(never)]
    pub(crate) fn give(&self, terms: Terms, number: u32) -> Result<(), Error> {
        const VERB: &str = "release";
        if number == 0 {
            return Err(self
                .error(VERB, ErrorKind::InvalidArgument)
                .detail("there is no release of 0 permits"));
        }
        let permits = self.check(terms, VERB)?;
        // Without a robust list (the first wait would say so) the wake-up has one net less, and the permit is as good.
        permits.give(terms.limit, number, Me::get().ok()).map_err(|refused| match refused {
            NotGiven::Damaged => self.damaged(terms, VERB),
            NotGiven::PastLimit(there) => self.error(VERB, ErrorKind::Overflow).detail(format!(
                "{there} permits are there, {number} more were given, and it can have {} at most",
                terms.limit
            )),
        })
    }

    /// How many permits are there.
    #[inline]
    pub(crate) fn available(&self, terms: Terms) -> Result<u32, Error> {
        const VERB: &str = "look at";
        self.check(terms, VERB)?.available(terms.limit).map_err(|Damaged| self.damaged(terms, VERB))
    }
}
