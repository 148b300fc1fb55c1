//! Segments of shared memory and the array layouts inside them.

pub mod element;
pub mod layout;
