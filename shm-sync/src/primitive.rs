//! The atomics and the spinning that the protocols are written with: the core's, or loom's when the models run.
//!
//! Everything that takes part in a protocol on shared words imports from here, so that the same source is what runs and what is
//! modelled.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::AtomicU32;
#[cfg(not(loom))]
pub(crate) use parking_lot_core::SpinWait;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::AtomicU32;

/// No spinning in a model: it would only multiply the interleavings.
#[cfg(loom)]
#[derive(Default)]
pub(crate) struct SpinWait;

#[cfg(loom)]
impl SpinWait {
    pub(crate) fn spin(&mut self) -> bool {
        false
    }
}
