//! wip
mod format;
mod heap;
mod owner;
mod reclaim;
mod region;
mod run;
mod slab;
mod step;
#[cfg(test)]
mod tests;
