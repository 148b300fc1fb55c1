//! Names of segments that a bench makes, and their end.

/// A name of this process's own.
///
/// ```
/// assert!(shm_bench::names::unique("attach").ends_with("-attach"));
/// ```
pub fn unique(what: &str) -> String {
    format!("shm-bench-{}-{what}", std::process::id())
}

/// Deletes a segment at the end, also when an assertion fails.
///
/// ```
/// use shm_bench::names::{Deleted, unique};
/// let name = Deleted(unique("doc"));
/// drop(shm_core::SharedArray::<u8, _>::zeros(name.0.as_str(), 1)?);
/// # Ok::<(), shm_core::Error>(())
/// ```
pub struct Deleted(pub String);

impl Drop for Deleted {
    fn drop(&mut self) {
        let _ = shm_core::delete(self.0.as_str());
    }
}
