//! Several ways to do the same, benched by turns.

use criterion::Criterion;
use std::cell::Cell;
use std::time::Duration;

/// One way: its name in the group, and what does it so many times and says how long that took.
pub(crate) type Way<'a> = (&'a str, Box<dyn Fn(u64) -> Duration + 'a>);

/// Benches the ways of a group by turns: whatever the machine does at a moment meets all of them, whichever is measured.
pub(crate) fn by_turns(c: &mut Criterion, group: &str, ways: &[Way<'_>]) {
    let mut group = c.benchmark_group(group);
    group.sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let started = Cell::new(false);
    for (at, (name, _)) in ways.iter().enumerate() {
        group.bench_function(*name, |b| {
            // Programs start with their first round. Criterion reckons from its first one how many there can be.
            if !started.replace(true) {
                ways.iter().for_each(|(_, way)| {
                    way(1);
                });
            }
            b.iter_custom(|rounds| {
                let taken: Vec<Duration> = ways.iter().map(|(_, way)| way(rounds)).collect();
                taken[at]
            });
        });
    }
    group.finish();
}
