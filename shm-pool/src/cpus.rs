//! How many workers there are when nobody says a number.
//!
//! The variables of OpenMP and of the batch systems come first: on a machine that several jobs share, they say what belongs to this one. Then the
//! processors that the process may run on, limited by the quota of its control group.

/// The variables that may say a number, the strongest first.
const VARIABLES: [&str; 3] = ["OMP_NUM_THREADS", "PBS_NUM_PPN", "SLURM_CPUS_PER_TASK"];

/// Returns the number of workers for this process: at least 1.
pub(crate) fn default_workers() -> usize {
    let said = VARIABLES.iter().find_map(|name| parse(&std::env::var(name).ok()?));
    said.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
}

/// The first number of a list like OpenMP's "4,2" (one for each level of nesting); nothing if it is no number above 0.
fn parse(text: &str) -> Option<usize> {
    text.split(',').next()?.trim().parse().ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_and_nonsense_is_not() {
        assert_eq!(parse("3"), Some(3));
        assert_eq!(parse(" 4,2"), Some(4));
        for nonsense in ["", "0", "-1", "many", "1.5", ",2"] {
            assert_eq!(parse(nonsense), None, "{nonsense:?}");
        }
    }
}
