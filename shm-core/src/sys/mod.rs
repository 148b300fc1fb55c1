//! The only operating-system calls of this crate's segments.
//!
//! Each function is one idea of the format (`FORMAT.md`, sections 4 and 5) in terms of Linux calls; policy and messages are the callers'. None blocks for another process.

pub(crate) mod locks;
pub(crate) mod mapping;
pub(crate) mod object;

/// How a segment is mapped.
///
/// ```
/// use shm_core::{Access, SegmentOptions, SharedArray};
/// # let name = format!("doc-access-{}", std::process::id());
/// let array = SharedArray::<u8, _>::zeros(name.as_str(), 3)?;
/// let reader = SegmentOptions::new().access(Access::ReadOnly).attach(name.as_str())?;
/// assert_eq!(reader.access(), Access::ReadOnly);
/// shm_core::delete(name.as_str())?;
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads and writes what everybody sees.
    #[default]
    ReadWrite,
    /// Reads; a write through the mapping would fault, so the handles refuse it.
    ReadOnly,
    /// Reads what is shared, keeps its own writes to itself (a private mapping).
    CopyOnWrite,
}
