//! Desks: what each thread uses at the moment, and what locks it holds through handles.
//!
//! Every thread has a desk with places. A place holds the id of a handle whose object the thread uses, where other threads can see it
//! (`handle` says why), and perhaps the guard of a lock that was taken through the handle, which is the thread's own business. C has no guards: what
//! a Rust guard would be, that the lock is held, by this thread, and has to be given up by it, is kept here from lock to unlock.
//!
//! A thread that ends leaves its guards as they are: its locks are marked by the kernel, and the next locker is told that the owner died.
//!
//! # Fork
//! A child has one thread, whose desk is kept: calls that are under way go on. The locks are the parent's, so the guards become
//! [`Held::Inherited`]. The desks of the other threads are cleared.

#![allow(unsafe_code, reason = "the guards on a desk are touched by its own thread only, which no type says")]

use crate::handle::settle_id;
use crate::membarrier;
pub(crate) use crate::sync::Held;
use std::cell::{Cell, UnsafeCell};
use std::iter;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, fence};

/// Places of a new desk: enough for calls within calls and a few locks. It doubles when it is full.
const PLACES: usize = 16;

/// One thread's places. Desks are never freed: a later thread takes over that of one that has ended.
pub(crate) struct Desk {
    /// The place of a mutex that was locked while this one was empty, which is the usual case. It lies here, so that a lock call need not load one
    /// address after the other to find it.
    quick: Place,
    /// Whether a thread has it.
    taken: AtomicBool,
    /// The places; a full desk gets new ones, and the old ones are left where another thread may still be looking at them.
    places: AtomicPtr<Places>,
    /// The first of the other places, and where they end, for the thread itself: every step less counts.
    first: Cell<*const Place>,
    end: Cell<At>,
    /// All of the others from here on are empty; at most `end`.
    top: Cell<At>,
    /// The desk that was made before this one.
    older: *const Desk,
}

// SAFETY: other threads look at the atomics only; guards and cells are touched by the thread that has the desk (and `older` never changes).
// A desk changes hands by an acquire of `taken`, or in a forked child, which has one thread.
unsafe impl Sync for Desk {}

struct Places {
    all: Vec<Place>,
    /// Those that became too few.
    _former: *const Places,
}

struct Place {
    /// 0 if it is empty.
    id: AtomicU64,
    /// Whether there is a guard.
    holds: Cell<bool>,
    guard: UnsafeCell<MaybeUninit<Held>>,
}

impl Place {
    fn empty() -> Place {
        Place {
            id: AtomicU64::new(0),
            holds: Cell::new(false),
            guard: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The guard, if there is one. Only in the desk's thread.
    #[inline(always)]
    fn held(&self) -> Option<&Held> {
        // SAFETY: `holds` says that there is one, and only the desk's thread touches it, one call at a time.
        self.holds.get().then(|| unsafe { (*self.guard.get()).assume_init_ref() })
    }
}

/// Where a place lies behind the first one, in bytes, or [`At::QUICK`]; the desk has given it out itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct At(usize);

impl At {
    const FIRST: At = At(0);
    /// The quick place.
    pub(crate) const QUICK: At = At(usize::MAX);

    #[inline(always)]
    fn next(self) -> At {
        At(self.0 + size_of::<Place>())
    }

    #[inline(always)]
    fn previous(self) -> Option<At> {
        self.0.checked_sub(size_of::<Place>()).map(At)
    }
}

static NEWEST: AtomicPtr<Desk> = AtomicPtr::new(ptr::null_mut());

thread_local! {
    static LEAVE: Leave = const { Leave };
}

/// The calling thread's desk.
#[inline(always)]
pub(crate) fn desk() -> &'static Desk {
    match desk_if_any() {
        Some(desk) => desk,
        None => take_desk(),
    }
}

/// The calling thread's desk, if it has one already.
#[inline(always)]
pub(crate) fn desk_if_any() -> Option<&'static Desk> {
    // SAFETY: null, or the desk that `take_desk` has set in this thread; desks are never freed.
    unsafe { shm_sync::companion().cast::<Desk>().as_ref() }
}

#[cold]
#[inline(never)]
fn take_desk() -> &'static Desk {
    watch_forks();
    membarrier::prepare();
    let desk = desks().find(|desk| desk.taken.compare_exchange(false, true, AcqRel, Relaxed).is_ok());
    let desk = desk.unwrap_or_else(new_desk);
    // Whoever gives a handle back from here on sees that this desk is taken, or this thread sees that the handle is gone.
    fence(SeqCst);
    shm_sync::set_companion(ptr::from_ref(desk).cast());
    // While the thread's variables are being destroyed this fails; the desk then stays taken, and empty.
    let _ = LEAVE.try_with(|_| ());
    desk
}

fn new_desk() -> &'static Desk {
    let places = Box::into_raw(empty_places(PLACES, ptr::null()));
    let desk = Box::leak(Box::new(Desk {
        quick: Place::empty(),
        taken: AtomicBool::new(true),
        places: AtomicPtr::new(places),
        // SAFETY: from a box that is never freed.
        first: Cell::new(unsafe { (*places).all.as_ptr() }),
        end: Cell::new(At(PLACES * size_of::<Place>())),
        top: Cell::new(At::FIRST),
        older: NEWEST.load(Acquire),
    }));
    while let Err(newer) = NEWEST.compare_exchange(desk.older.cast_mut(), desk, AcqRel, Acquire) {
        desk.older = newer;
    }
    desk
}

fn empty_places(len: usize, former: *const Places) -> Box<Places> {
    Box::new(Places { all: (0..len).map(|_| Place::empty()).collect(), _former: former })
}

fn desks() -> impl Iterator<Item = &'static Desk> {
    let mut next = NEWEST.load(Acquire).cast_const();
    std::iter::from_fn(move || {
        // SAFETY: null, or from `new_desk`, which leaks desks and publishes them complete.
        let desk = unsafe { next.as_ref() }?;
        next = desk.older;
        Some(desk)
    })
}

/// Whether the object of this id stands on any desk. After a heavy barrier.
pub(crate) fn anybody_uses(id: u64) -> bool {
    desks().any(|desk| desk.all().any(|place| place.id.load(Acquire) == id))
}

/// Whether no other thread has a desk. After a fence.
pub(crate) fn is_alone() -> bool {
    let mine = desk_if_any();
    desks().all(|desk| !desk.taken.load(Acquire) || mine.is_some_and(|mine| ptr::eq(mine, desk)))
}

impl Desk {
    #[inline(always)]
    fn places(&self) -> &[Place] {
        // SAFETY: from `new_desk` or `enlarge`, published complete, and never freed or changed in length.
        unsafe { &(*self.places.load(Acquire)).all }
    }

    fn all(&self) -> impl Iterator<Item = &Place> {
        iter::once(&self.quick).chain(self.places())
    }

    #[inline(always)]
    fn place(&self, at: At) -> &Place {
        if at == At::QUICK {
            return &self.quick;
        }
        debug_assert!(at.0 < self.end.get().0);
        // SAFETY: an offset comes from this desk, whose thread this is, so it was that of one of the places then; they only get more, in the same
        // order, and are never freed.
        unsafe { &*self.first.get().byte_add(at.0) }
    }

    /// Puts an id on the desk; `handle` says what has to follow. Returns the place.
    #[inline(always)]
    pub(crate) fn put(&self, id: u64) -> At {
        match self.put_if_room(id) {
            Some(at) => at,
            None => self.enlarge_and_put(id),
        }
    }

    /// The same on a desk that is not full.
    #[inline(always)]
    pub(crate) fn put_if_room(&self, id: u64) -> Option<At> {
        let at = self.top.get();
        if at == self.end.get() {
            return None;
        }
        self.top.set(at.next());
        self.place(at).id.store(id, Relaxed);
        Some(at)
    }

    #[cold]
    fn enlarge_and_put(&self, id: u64) -> At {
        self.enlarge();
        self.put(id)
    }

    /// The same in the quick place, if that is empty.
    #[inline(always)]
    pub(crate) fn put_quickly(&self, id: u64) -> bool {
        let is_empty = self.quick.id.load(Relaxed) == 0;
        if is_empty {
            self.quick.id.store(id, Relaxed);
        }
        is_empty
    }

    /// Empties a place that holds no guard.
    #[inline(always)]
    pub(crate) fn clear(&self, at: At) {
        self.place(at).id.store(0, Release);
        if at != At::QUICK && self.top.get() == at.next() {
            let mut top = at;
            while let Some(below) = top.previous()
                && self.place(below).id.load(Relaxed) == 0
            {
                top = below;
            }
            self.top.set(top);
        }
    }

    /// Leaves a guard in a place.
    #[inline(always)]
    pub(crate) fn attach(&self, at: At, guard: Held) {
        let place = self.place(at);
        // SAFETY: the guards of a desk are touched by its thread only, which is the calling one.
        unsafe { (*place.guard.get()).write(guard) };
        place.holds.set(true);
    }

    /// The place of the newest guard for this id that `wanted` knows; if there is none, of one that is inherited.
    #[inline(always)]
    pub(crate) fn find(&self, id: u64, wanted: impl Fn(&Held) -> bool) -> Option<At> {
        self.newest(id, wanted).or_else(|| self.find_inherited(id))
    }

    #[cold]
    fn find_inherited(&self, id: u64) -> Option<At> {
        self.newest(id, |held| matches!(held, Held::Inherited(_)))
    }

    #[inline(always)]
    fn newest(&self, id: u64, wanted: impl Fn(&Held) -> bool) -> Option<At> {
        let fits = |&at: &At| {
            let place = self.place(at);
            place.id.load(Relaxed) == id && place.held().is_some_and(&wanted)
        };
        let places = iter::successors(self.top.get().previous(), |at| at.previous());
        places.chain([At::QUICK]).find(fits)
    }

    /// Whether the guard in a place was held by the process that this one was forked from.
    #[inline(always)]
    pub(crate) fn is_inherited(&self, at: At) -> bool {
        matches!(self.place(at).held(), Some(Held::Inherited(_)))
    }

    /// Takes the guard out of a place where `find` has found one; the id stays.
    pub(crate) fn take(&self, at: At) -> Held {
        let place = self.place(at);
        assert!(place.holds.replace(false), "there is a guard where one was found");
        // SAFETY: there was one, this is the desk's thread, and from now on the place says that there is none.
        unsafe { (*place.guard.get()).assume_init_read() }
    }

    /// Drops the guard in a place; the id stays. Whether it was inherited.
    ///
    /// It is not moved out first: the processor would have to wait for it to be written (a load that is wider than the stores before it is not
    /// forwarded), which takes as long as the rest of an unlock.
    #[inline(always)]
    pub(crate) fn end_guard(&self, at: At) -> bool {
        let place = self.place(at);
        if !place.holds.replace(false) {
            return false;
        }
        // SAFETY: there was one, this is the desk's thread, and from now on the place says that there is none.
        unsafe {
            match (*place.guard.get()).assume_init_mut() {
                Held::Mutex(guard) => {
                    ptr::drop_in_place(guard); // as below, without a call
                    false
                }
                guard => {
                    let is_inherited = matches!(guard, Held::Inherited(_));
                    ptr::drop_in_place(guard);
                    is_inherited
                }
            }
        }
    }

    /// Unlocks the mutex with this id if it is what was left in the quick place; the id stays there.
    #[inline(always)]
    pub(crate) fn unlock_quickly(&self, id: u64) -> bool {
        let place = &self.quick;
        if place.id.load(Relaxed) != id || !place.holds.get() {
            return false;
        }
        // SAFETY: there is a guard, and this is the desk's thread; once it is dropped the place says that there is none.
        unsafe {
            let Held::Mutex(guard) = (*place.guard.get()).assume_init_mut() else { return false };
            place.holds.set(false);
            ptr::drop_in_place(guard);
        }
        true
    }

    /// Whether this thread holds something through the handle with this id.
    pub(crate) fn holds(&self, id: u64) -> bool {
        self.all().any(|place| place.holds.get() && place.id.load(Relaxed) == id)
    }

    /// Clears what was held through this handle by the process that this one was forked from.
    pub(crate) fn forget_inherited(&self, id: u64) {
        while let Some(at) = self.find_inherited(id) {
            self.end_guard(at);
            self.clear(at);
        }
    }

    fn enlarge(&self) {
        let old = self.places();
        let new = empty_places(2 * old.len(), self.places.load(Relaxed));
        for (old, new) in old.iter().zip(&new.all) {
            new.id.store(old.id.load(Relaxed), Relaxed);
            new.holds.set(old.holds.get());
            // SAFETY: a bitwise move; nobody reads the old place's guard any more, initialised or not.
            unsafe { ptr::copy_nonoverlapping(old.guard.get(), new.guard.get(), 1) };
        }
        self.first.set(new.all.as_ptr());
        self.end.set(At(size_of_val(new.all.as_slice())));
        self.places.store(Box::into_raw(new), Release);
    }

    /// Clears everything, without ending a guard, and calls `each` with the ids that stood there.
    fn abandon(&self, mut each: impl FnMut(u64)) {
        for place in self.all() {
            place.holds.set(false);
            let id = place.id.swap(0, AcqRel);
            if id != 0 {
                each(id);
            }
        }
        self.top.set(At::FIRST);
    }
}

/// Runs at the end of a thread.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        let Some(desk) = desk_if_any() else { return };
        shm_sync::set_companion(ptr::null());
        let mut ids = Vec::new();
        desk.abandon(|id| ids.push(id));
        membarrier::light();
        ids.into_iter().for_each(settle_id);
        desk.taken.store(false, Release);
    }
}

/// Sees to it that forked children begin with desks that are true. Once in a process and its children.
fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    if !WATCHED.swap(true, Relaxed) {
        // SAFETY: `in_child` may run in a forked child: it stores to memory of its own and calls nothing.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    }
}

extern "C" fn in_child() {
    let mine = desk_if_any();
    for desk in desks() {
        if !mine.is_some_and(|mine| ptr::eq(mine, desk)) {
            desk.abandon(|_| ());
            desk.taken.store(false, Relaxed);
            continue;
        }
        for place in desk.all() {
            if place.holds.get() {
                // SAFETY: there is a guard, and the child's only thread is the one that has the desk.
                let seat = match unsafe { (*place.guard.get()).assume_init_read() } {
                    Held::Party(seat) | Held::Inherited(Some(seat)) => Some(seat),
                    guard => {
                        // What it would give up is the parent's.
                        mem::forget(guard);
                        None
                    }
                };
                // SAFETY: as above, and what was there has been moved out.
                unsafe { (*place.guard.get()).write(Held::Inherited(seat)) };
            }
        }
    }
}

const _: () = assert!(mem::size_of::<Held>() <= 48, "a place stays within a cache line");
