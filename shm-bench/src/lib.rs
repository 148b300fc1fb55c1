//! What the demo and the benches compute and measure with: the integral and the word count, each written once and run serially, by forked
//! workers and by rayon's threads alike; the C library's primitives; processes that contend or take turns; and programs in other languages
//! that time themselves.

pub mod foreign;
pub mod glibc;
pub mod integral;
pub mod names;
pub mod processes;
pub mod words;
