//! What the demo and the benches compute: the integral and the word count, each written once and run serially, by forked workers and by
//! rayon's threads alike.

pub mod integral;
pub mod words;
