//! Handles: the numbers by which C names objects, and the table that leads from a number to its object.
//!
//! | bits of the id | meaning |
//! |---|---|
//! | 0–23 | index of the slot |
//! | 24–31 | kind, 1 to 253; 0 in a free slot, [`RETIRED`] and [`FREEING`] in one whose handle was given back |
//! | 32–63 | generation: how often the slot was used, from 1 on |
//!
//! A slot's state word holds exactly the id of the handle that may use it, so one comparison tells a good handle from one that is zero, forged,
//! of another kind, or was given back. Slots are never freed, so looking at one is always harmless.
//!
//! # Using an object while another thread gives its handle back
//! A thread that uses an object first writes the id into a place that is its own (`pin`), and then looks at the slot. Whoever gives the
//! handle back marks the slot retired first and then looks at everybody's places. So either the user sees that the handle is gone, or the other
//! sees the user; in that case the handle is gone at once, and the object goes with its last user. Nobody waits. These are hazard pointers (Maged
//! M. Michael, "Hazard Pointers: Safe Memory Reclamation for Lock-Free Objects", 2004). What keeps the store before the load is the business of
//! `membarrier`: in the usual case membarrier(2), on the side of whoever gives the handle back, so that a call needs no atomic
//! read-modify-write at all.
//!
//! # Fork
//! A child has the table and its objects. Nothing here is ever locked, so it works in the child whatever other threads were doing.

#![allow(unsafe_code, reason = "objects are reached through pointers that slots and pins keep valid")]

use crate::error::{Failure, Outcome};
use crate::membarrier;
use crate::pin::{self, At, Desk, Held};
use crate::status::*;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

const INDEX_BITS: u32 = 24;
const KIND_MASK: u64 = 0xFF << INDEX_BITS;
/// In the place of the kind: the handle was given back, the object is still there.
const RETIRED: u64 = 0xFF << INDEX_BITS;
/// In the place of the kind: somebody is just taking the object away.
const FREEING: u64 = 0xFE << INDEX_BITS;

const CHUNK: usize = 1024;
const CHUNKS: usize = 1024;

/// What a handle may stand for.
pub(crate) trait Object: Sized + Send + Sync + 'static {
    /// The number in ids; each type has its own, 1 to 253, and it never changes.
    const KIND: u8;
    /// What people call it.
    const NAME: &'static str;

    /// Ends it, when its handle is given back and nobody uses it. What it returns is put back: the handle stays good then.
    fn end(self) -> Option<(Self, Failure)> {
        drop(self);
        None
    }
}

/// A handle type of the ABI.
pub(crate) trait Handle: Copy {
    type Object: Object;

    fn id(self) -> u64;
    fn of(id: u64) -> Self;
}

/// Makes a C struct of one `id` the handle type of an object.
macro_rules! handle {
    ($handle:ident, $object:ty, $kind:literal, $name:literal $(, $end:item)?) => {
        impl crate::handle::Object for $object {
            const KIND: u8 = $kind;
            const NAME: &'static str = $name;
            $($end)?
        }

        impl crate::handle::Handle for $handle {
            type Object = $object;

            #[inline(always)]
            fn id(self) -> u64 {
                self.id
            }

            fn of(id: u64) -> Self {
                Self { id }
            }
        }
    };
}
pub(crate) use handle;

/// One row of the table.
struct Slot {
    /// See the head of this file.
    state: AtomicU64,
    /// A `Boxed<T>`, where `T` is the type of the kind in the id.
    object: AtomicPtr<()>,
    /// In a free slot: the next free one's index + 1.
    next: AtomicU32,
}

/// An object in the heap, and how to get rid of it without knowing its type.
#[repr(C)]
struct Boxed<T> {
    /// Takes the object out of memory and ends it; an error means that it is still there.
    end: unsafe fn(*mut ()) -> Outcome,
    object: T,
}

static TABLE: [AtomicPtr<[Slot; CHUNK]>; CHUNKS] = [const { AtomicPtr::new(ptr::null_mut()) }; CHUNKS];
/// How many slots were ever used.
static USED: AtomicU32 = AtomicU32::new(0);
/// The free slots as a stack: index + 1 of the top one in the low half, a count of the changes in the high half.
static FREE: AtomicU64 = AtomicU64::new(0);

fn kind_of(id: u64) -> u8 {
    ((id & KIND_MASK) >> INDEX_BITS) as u8
}

#[inline(always)]
fn slot(id: u64) -> Option<&'static Slot> {
    let index = (id & ((1 << INDEX_BITS) - 1)) as usize;
    let chunk = TABLE.get(index / CHUNK)?.load(Acquire);
    if chunk.is_null() {
        return None;
    }
    // SAFETY: the pointer comes from `reserve`, which leaks what it allocates and publishes it complete.
    Some(unsafe { &(*chunk)[index % CHUNK] })
}

/// Enters an object and returns its handle.
pub(crate) fn insert<H: Handle>(object: H::Object) -> Outcome<H> {
    let kind = u64::from(H::Object::KIND) << INDEX_BITS;
    debug_assert!(kind != 0 && kind != RETIRED && kind != FREEING);
    let Some((index, slot)) = reserve() else {
        return Err(Failure::new(
            SHM_STATUS_LIMIT_EXCEEDED,
            format_args!("cannot make a handle: this process has {} already; give some back", CHUNK * CHUNKS),
        ));
    };
    let boxed = Box::into_raw(Box::new(Boxed { end: end::<H::Object>, object }));
    slot.object.store(boxed.cast(), Relaxed);
    let generation = match (slot.state.load(Relaxed) >> 32) as u32 {
        u32::MAX => 1, // a handle of that age would pass for this one
        generation => generation + 1,
    };
    let id = u64::from(generation) << 32 | kind | u64::from(index);
    slot.state.store(id, Release);
    Ok(H::of(id))
}

/// A free slot, or one that was never used.
fn reserve() -> Option<(u32, &'static Slot)> {
    let mut free = FREE.load(Acquire);
    while free as u32 != 0 {
        let index = free as u32 - 1;
        let found = slot(index.into())?;
        let rest = (free >> 32).wrapping_add(1) << 32 | u64::from(found.next.load(Relaxed));
        match FREE.compare_exchange_weak(free, rest, AcqRel, Acquire) {
            Ok(_) => return Some((index, found)),
            Err(now) => free = now,
        }
    }
    let index = USED
        .fetch_update(Relaxed, Relaxed, |used| (used < (CHUNK * CHUNKS) as u32).then_some(used + 1))
        .ok()?;
    let place = &TABLE[index as usize / CHUNK];
    if place.load(Acquire).is_null() {
        let empty = || Slot {
            state: AtomicU64::new(0),
            object: AtomicPtr::new(ptr::null_mut()),
            next: AtomicU32::new(0),
        };
        let chunk: Box<[Slot]> = (0..CHUNK).map(|_| empty()).collect();
        let chunk: *mut [Slot; CHUNK] = Box::into_raw(chunk).cast();
        if place.compare_exchange(ptr::null_mut(), chunk, AcqRel, Acquire).is_err() {
            // SAFETY: it comes from `Box::into_raw` just above, as a slice of this length, and nobody else has seen it.
            drop(unsafe { Box::from_raw(chunk) });
        }
    }
    Some((index, slot(index.into())?))
}

/// An object that stays while this lives, though its handle may be given back.
pub(crate) struct Pin<T> {
    desk: &'static Desk,
    place: At,
    slot: &'static Slot,
    id: u64,
    object: NonNull<Boxed<T>>,
    /// Stays in its thread, whose desk it is.
    stays: PhantomData<*const T>,
}

/// Finds the object of a handle and keeps it.
///
/// Always inlined: a pin that is returned through memory costs a lock call as much as the lock.
///
/// # Errors
/// A handle that is none, or none of that kind.
#[inline(always)]
pub(crate) fn pin<H: Handle>(handle: H) -> Outcome<Pin<H::Object>> {
    let id = handle.id();
    if kind_of(id) != H::Object::KIND {
        return Err(refuse(id, H::Object::KIND, H::Object::NAME));
    }
    let Some(slot) = slot(id) else { return Err(refuse(id, H::Object::KIND, H::Object::NAME)) };
    let desk = pin::desk();
    let place = desk.put(id);
    membarrier::light();
    if slot.state.load(Acquire) != id {
        desk.clear(place);
        settle(slot, id);
        return Err(refuse(id, H::Object::KIND, H::Object::NAME));
    }
    // `insert` stored the pointer before the state, and nobody takes the object while the id stands on a desk.
    let object = slot.object.load(Relaxed).cast::<Boxed<H::Object>>();
    // SAFETY: a slot whose state is an id has an object, of the type that belongs to the kind in the id.
    let object = unsafe { NonNull::new_unchecked(object) };
    Ok(Pin { desk, place, slot, id, object, stays: PhantomData })
}

impl<T: 'static> Pin<T> {
    /// The object, for as long as the id stands on the desk: while this pin lives, or what it is turned into.
    ///
    /// # Safety
    /// The reference is not used any longer than that.
    #[inline(always)]
    unsafe fn lasting(&self) -> &'static T {
        // SAFETY: `object` points to a live `Boxed<T>`, which is only shared until its last pin is gone; the caller keeps to that.
        unsafe { &(*self.object.as_ptr()).object }
    }

    /// Has `take` take something from the object and leave it in the room that it is given, until [`let_go`] or the end of the thread. What it
    /// does not leave goes with the pin.
    ///
    /// # Errors
    /// Those of `take`.
    #[inline(always)]
    pub(crate) fn hold(self, take: impl FnOnce(&'static T, Room<T>) -> Outcome) -> Outcome {
        // SAFETY: what `take` leaves is left beside the id, and dropped before the id goes; it keeps nothing else.
        let object = unsafe { self.lasting() };
        take(object, Room(self))
    }
}

/// [`pin`] and [`Pin::hold`] for the case that all is as usual: no error is made and nothing unwinds, which keeps the way short. False, and nothing
/// done: the long way finds out why.
#[inline(always)]
pub(crate) fn hold_quickly<H: Handle, G>(
    handle: H,
    take: impl FnOnce(&'static H::Object) -> Option<G>,
    held: impl FnOnce(G) -> Held,
) -> bool {
    let id = handle.id();
    let (true, Some(slot), Some(desk)) = (kind_of(id) == H::Object::KIND, slot(id), pin::desk_if_any())
    else {
        return false;
    };
    if !desk.put_quickly(id) {
        return false;
    }
    membarrier::light();
    if slot.state.load(Acquire) == id {
        let object = slot.object.load(Relaxed).cast::<Boxed<H::Object>>();
        // SAFETY: as in `pin`; what `take` returns is left beside the id, and dropped before the id goes.
        if let Some(guard) = take(unsafe { &(*object).object }) {
            desk.attach(At::QUICK, held(guard));
            return true;
        }
    }
    remove_coldly(desk, slot, id);
    false
}

/// [`let_go`] for a mutex, in the case that all is as usual. False, and nothing done: the long way finds out why.
#[inline(always)]
pub(crate) fn unlock_quickly<H: Handle>(handle: H) -> bool {
    let id = handle.id();
    let (Some(slot), Some(desk)) = (slot(id), pin::desk_if_any()) else { return false };
    if !desk.unlock_quickly(id) {
        return false;
    }
    desk.clear(At::QUICK);
    membarrier::light();
    if slot.state.load(Relaxed) != id {
        remove_coldly(desk, slot, id);
    }
    true
}

/// Clears the quick place, if that is still to be done, and does what that asks for, on a way where nothing may unwind.
#[cold]
fn remove_coldly(desk: &Desk, slot: &'static Slot, id: u64) {
    crate::guard::guard(|| {
        remove(desk, At::QUICK, slot, id);
        Ok(())
    });
}

/// A pin with room beside it for what is taken from its object.
pub(crate) struct Room<T>(Pin<T>);

impl<T: 'static> Room<T> {
    /// Leaves what was taken from the pin's object, and the pin with it.
    #[inline(always)]
    pub(crate) fn leave(self, held: Held) {
        self.0.desk.attach(self.0.place, held);
        std::mem::forget(self.0);
    }
}

impl<T: 'static> std::ops::Deref for Pin<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the borrow of the pin keeps it alive.
        unsafe { self.lasting() }
    }
}

impl<T> Drop for Pin<T> {
    /// By value to where it is done: the address of a pin that nobody takes leaves its parts in registers.
    #[inline(always)]
    fn drop(&mut self) {
        remove(self.desk, self.place, self.slot, self.id);
    }
}

/// Ends what [`Pin::hold`] left for this handle in this thread, the newest that `wanted` knows: drops it, where it lies.
///
/// # Errors
/// `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, or those of [`pin`].
#[inline(always)]
pub(crate) fn let_go<H: Handle>(handle: H, wanted: impl Fn(&Held) -> bool) -> Outcome {
    let id = handle.id();
    let desk = pin::desk();
    let Some(place) = desk.find(id, wanted) else { return Err(not_held(handle)) };
    let is_inherited = desk.end_guard(place);
    remove_id(desk, place, id);
    if is_inherited { Err(inherited(H::Object::NAME)) } else { Ok(()) }
}

/// Turns what [`Pin::hold`] left for this handle in this thread into something else, which is left instead.
///
/// # Errors
/// As [`let_go`].
pub(crate) fn change<H: Handle>(
    handle: H,
    wanted: impl Fn(&Held) -> bool,
    turn: impl FnOnce(Held) -> Held,
) -> Outcome {
    let desk = pin::desk();
    let Some(place) = desk.find(handle.id(), wanted) else { return Err(not_held(handle)) };
    if desk.is_inherited(place) {
        return Err(inherited(H::Object::NAME));
    }
    desk.attach(place, turn(desk.take(place)));
    Ok(())
}

/// Takes what [`Pin::hold`] left for this handle in this thread, and leaves what `turn` makes of it: nothing, if it is given up for good.
///
/// # Errors
/// As [`let_go`].
pub(crate) fn exchange<H: Handle, T>(
    handle: H,
    wanted: impl Fn(&Held) -> bool,
    turn: impl FnOnce(Held) -> (Option<Held>, T),
) -> Outcome<T> {
    let id = handle.id();
    let desk = pin::desk();
    let Some(place) = desk.find(id, wanted) else { return Err(not_held(handle)) };
    if desk.is_inherited(place) {
        return Err(inherited(H::Object::NAME));
    }
    let (left, result) = turn(desk.take(place));
    match left {
        Some(left) => desk.attach(place, left),
        None => remove_id(desk, place, id),
    }
    Ok(result)
}

/// Looks at what [`Pin::hold`] left for this handle in this thread.
///
/// # Errors
/// As [`let_go`]. What it is not meant for, `at` answers with none.
pub(crate) fn look<H: Handle, T>(
    handle: H,
    wanted: impl Fn(&Held) -> bool,
    at: impl FnOnce(&mut Held) -> Option<T>,
) -> Outcome<T> {
    exchange(handle, wanted, |mut held| {
        let found = at(&mut held);
        (Some(held), found)
    })?
    .ok_or_else(|| not_held(handle))
}

/// Whether this thread holds something through the handle, or the one did that forked it.
pub(crate) fn holds<H: Handle>(handle: H) -> bool {
    pin::desk().holds(handle.id())
}

#[cold]
fn inherited(name: &str) -> Failure {
    Failure::new(
        SHM_STATUS_INHERITED,
        format_args!(
            "cannot unlock the {name}: the process that this one was forked from locked it, and holds it still; lock it here first"
        ),
    )
}

/// Clears a place and does what that asks for.
#[inline(always)]
fn remove(desk: &Desk, place: At, slot: &'static Slot, id: u64) {
    desk.clear(place);
    membarrier::light();
    if slot.state.load(Relaxed) != id {
        settle(slot, id);
    }
}

/// The same for an id whose slot has to be found first.
#[inline(always)]
fn remove_id(desk: &Desk, place: At, id: u64) {
    match slot(id) {
        Some(slot) => remove(desk, place, slot, id),
        None => desk.clear(place),
    }
}

#[cold]
fn not_held<H: Handle>(handle: H) -> Failure {
    match pin(handle) {
        Ok(_) => Failure::new(
            SHM_STATUS_NOT_HELD,
            format_args!(
                "cannot unlock the {}: this thread does not hold it through this handle; unlock in the thread that locked, once for each lock",
                H::Object::NAME
            ),
        ),
        Err(failure) => failure,
    }
}

/// Gives a handle back. The object ends with its last user, which is usually at once.
///
/// # Errors
/// Those of [`pin`]; `SHM_STATUS_LOCK_HELD` if this thread holds something through the handle; what the object's end says. The handle stays good
/// after an error.
pub(crate) fn retire<H: Handle>(handle: H) -> Outcome {
    let id = handle.id();
    let (kind, name) = (H::Object::KIND, H::Object::NAME);
    if kind_of(id) != kind {
        return Err(refuse(id, kind, name));
    }
    let Some(slot) = slot(id) else { return Err(refuse(id, kind, name)) };
    let desk = pin::desk();
    desk.forget_inherited(id);
    if desk.holds(id) {
        return Err(Failure::new(
            SHM_STATUS_LOCK_HELD,
            format_args!(
                "cannot detach the {name}: this thread holds it through this handle; unlock it first"
            ),
        ));
    }
    if slot.state.compare_exchange(id, id & !KIND_MASK | RETIRED, AcqRel, Acquire).is_err() {
        return Err(refuse(id, kind, name));
    }
    take_away(slot, id, true)
}

/// What a thread does that has cleared a place and finds the slot changed: if the object waits for its last user to go, that may have
/// been this thread.
#[cold]
pub(crate) fn settle_id(id: u64) {
    if let Some(slot) = slot(id)
        && slot.state.load(Relaxed) != id
    {
        settle(slot, id);
    }
}

#[cold]
fn settle(slot: &'static Slot, id: u64) {
    if slot.state.load(Acquire) == id & !KIND_MASK | RETIRED {
        // The handle is gone, so there is nobody to hear of an error.
        let _ = take_away(slot, id, false);
    }
}

/// Ends the object of a retired slot, unless somebody uses it. `restore`: an object that will not end gets its handle back.
fn take_away(slot: &'static Slot, id: u64, restore: bool) -> Outcome {
    // Whoever finds the slot retired from here on leaves the object alone, and whoever does not is seen on a desk.
    if !membarrier::heavy() || pin::anybody_uses(id) {
        return Ok(());
    }
    let (retired, freeing) = (id & !KIND_MASK | RETIRED, id & !KIND_MASK | FREEING);
    if slot.state.compare_exchange(retired, freeing, AcqRel, Acquire).is_err() {
        return Ok(()); // somebody else was the last one
    }
    let object = slot.object.load(Relaxed);
    // SAFETY: the object is live, nobody uses it (no desk has its id, and the state keeps others out), and `end` is that of its type:
    // `Boxed` begins with it, whatever the type.
    let ended = unsafe { (*object.cast::<unsafe fn(*mut ()) -> Outcome>())(object) };
    if ended.is_err() && restore {
        slot.state.store(id, Release);
        return ended;
    }
    slot.object.store(ptr::null_mut(), Relaxed);
    slot.state.store(id & !KIND_MASK, Release);
    let index = (id & ((1 << INDEX_BITS) - 1)) as u32;
    let mut free = FREE.load(Relaxed);
    loop {
        slot.next.store(free as u32, Relaxed);
        let with = (free >> 32).wrapping_add(1) << 32 | u64::from(index + 1);
        match FREE.compare_exchange_weak(free, with, Release, Relaxed) {
            Ok(_) => return ended,
            Err(now) => free = now,
        }
    }
}

/// Ends an object and frees its memory; where it will not end it is there again.
///
/// # Safety
/// `object` is a `Boxed<T>` from `insert`, and nobody else uses it. It is not used after this has returned `Ok`.
unsafe fn end<T: Object>(object: *mut ()) -> Outcome {
    let object = object.cast::<Boxed<T>>();
    // SAFETY: live and ours alone, the caller says; it is written back or its memory freed below.
    let value = unsafe { ptr::read(&raw const (*object).object) };
    match value.end() {
        None => {
            // SAFETY: the memory is that of a box, and what was in it has been moved out; `MaybeUninit` has nothing to drop.
            drop(unsafe { Box::from_raw(object.cast::<std::mem::MaybeUninit<Boxed<T>>>()) });
            Ok(())
        }
        Some((value, failure)) => {
            // SAFETY: as above, and the place was moved out of.
            unsafe { ptr::write(&raw mut (*object).object, value) };
            Err(failure)
        }
    }
}

/// Says what is wrong with a handle.
#[cold]
#[inline(never)]
fn refuse(id: u64, kind: u8, name: &str) -> Failure {
    if id == 0 {
        return Failure::new(
            SHM_STATUS_INVALID_HANDLE,
            format_args!(
                "cannot use the {name}: the handle is zero; it was never set, or the call that should have set it failed"
            ),
        );
    }
    let live = slot(id).is_some_and(|slot| slot.state.load(Relaxed) == id);
    if live && kind_of(id) != kind {
        return Failure::new(
            SHM_STATUS_WRONG_KIND,
            format_args!("cannot use the {name}: handle {id:#x} is of another kind"),
        );
    }
    Failure::new(
        SHM_STATUS_INVALID_HANDLE,
        format_args!(
            "cannot use the {name}: handle {id:#x} was given back already, or never came from this process"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    #[derive(Clone, Copy)]
    struct Number {
        id: u64,
    }

    /// Counts how many live, and may refuse to end.
    struct Counted {
        live: Arc<AtomicUsize>,
        stubborn: Arc<AtomicBool>,
    }

    impl Counted {
        fn new(live: &Arc<AtomicUsize>) -> Self {
            live.fetch_add(1, Relaxed);
            Self { live: live.clone(), stubborn: Arc::default() }
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.live.fetch_sub(1, Relaxed);
        }
    }

    handle!(
        Number,
        Counted,
        200,
        "number",
        fn end(self) -> Option<(Self, Failure)> {
            self.stubborn.load(Relaxed).then(|| (self, Failure::new(SHM_STATUS_BUSY, "not yet")))
        }
    );

    fn is_gone(number: Number) -> bool {
        pin(number).is_err() && retire(number).is_err()
    }

    #[test]
    fn object_goes_with_its_handle() {
        let live = Arc::default();
        let number: Number = insert(Counted::new(&live)).unwrap();
        assert_eq!(pin(number).unwrap().live.load(Relaxed), 1);
        retire(number).unwrap();
        assert_eq!(live.load(Relaxed), 0);
        assert!(is_gone(number));
    }

    #[test]
    fn object_goes_with_its_last_user() {
        let live = Arc::default();
        let number: Number = insert(Counted::new(&live)).unwrap();
        let (first, second) = (pin(number).unwrap(), pin(number).unwrap());
        retire(number).unwrap();
        assert!(is_gone(number));
        drop(first);
        assert_eq!(second.live.load(Relaxed), 1);
        drop(second);
        assert_eq!(live.load(Relaxed), 0);
    }

    #[test]
    fn object_that_will_not_end_keeps_its_handle() {
        let live = Arc::default();
        let number: Number = insert(Counted::new(&live)).unwrap();
        let stubborn = pin(number).unwrap().stubborn.clone();
        stubborn.store(true, Relaxed);
        assert!(retire(number).is_err());
        assert_eq!(pin(number).unwrap().live.load(Relaxed), 1);
        stubborn.store(false, Relaxed);
        retire(number).unwrap();
        assert_eq!(live.load(Relaxed), 0);
    }

    #[test]
    fn ids_are_not_used_again() {
        let live = Arc::default();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let number: Number = insert(Counted::new(&live)).unwrap();
            assert!(seen.insert(number.id));
            retire(number).unwrap();
        }
        assert!(seen.iter().all(|id| is_gone(Number { id: *id })));
    }

    #[test]
    fn many_handles_live_at_a_time() {
        let live = Arc::default();
        let numbers: Vec<Number> = (0..3 * CHUNK).map(|_| insert(Counted::new(&live)).unwrap()).collect();
        assert_eq!(live.load(Relaxed), 3 * CHUNK);
        numbers.iter().for_each(|number| drop(pin(*number).unwrap()));
        numbers.iter().for_each(|number| retire(*number).unwrap());
        assert_eq!(live.load(Relaxed), 0);
    }

    /// Threads use, replace and give back the handles in a few places; whoever finds an object finds it alive, and none is left.
    #[test]
    fn stress_users_and_givers_back() {
        let _watchdog = shm_testkit::Watchdog::new(std::time::Duration::from_secs(120));
        let live = Arc::new(AtomicUsize::new(0));
        let places: Arc<Vec<AtomicU64>> = Arc::new((0..4).map(|_| AtomicU64::new(0)).collect());
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (live, places) = (live.clone(), places.clone());
                std::thread::spawn(move || {
                    for round in 0..20_000usize {
                        let place = &places[(round / 8 + thread) % places.len()];
                        if round % 8 == thread {
                            let new: Number = insert(Counted::new(&live)).unwrap();
                            let old = Number { id: place.swap(new.id, AcqRel) };
                            if old.id != 0 {
                                retire(old).unwrap();
                            }
                        } else if let Ok(pinned) = pin(Number { id: place.load(Acquire) }) {
                            assert!(pinned.live.load(Relaxed) > 0);
                            // Two at a time, which leave in the wrong order.
                            let again = pin(Number { id: place.load(Acquire) });
                            drop(pinned);
                            drop(again);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        places.iter().for_each(|place| retire(Number { id: place.load(Acquire) }).unwrap());
        assert_eq!(live.load(Relaxed), 0);
    }
}
