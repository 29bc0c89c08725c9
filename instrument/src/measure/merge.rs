//! What all threads counted since the last time.

use std::collections::BTreeMap;

use crate::measure::buckets::COUNTERS;
use crate::measure::sites;
use crate::measure::table::Counts;
use crate::measure::tables::{self, Sums};
use crate::polling::clock;

/// Polls of one function over a time.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    pub(crate) sum_ns: u64,
    pub(crate) counts: [u64; COUNTERS],
}

impl Histogram {
    pub(crate) fn calls(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What was counted over a time.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) functions: BTreeMap<String, Histogram>,
    /// Self time of all polls by the number of the watched runtime, in nanoseconds.
    pub(crate) ns_of_runtimes: BTreeMap<u32, u64>,
}

/// What was read the last time.
#[derive(Default)]
pub(crate) struct Merger {
    seen: Vec<Counts>,
    /// Counted since the last [`take`](Self::take), and read.
    counted: Counted,
}

impl Merger {
    /// Begins to count here: what threads counted before is not looked at.
    pub(crate) fn start() -> Self {
        let mut merger = Self::default();
        merger.take();
        merger
    }

    /// What was counted since the last call.
    pub(crate) fn take(&mut self) -> Counted {
        self.gather();
        std::mem::take(&mut self.counted)
    }

    /// Reads what was counted. Counters wrap after 2³² polls of all threads together: to be called
    /// every few seconds.
    pub(crate) fn gather(&mut self) {
        let Sums { counts, ticks_of_runtimes } = tables::sums();
        for (number, sum) in counts.iter().enumerate() {
            let before = self.seen.get(number).unwrap_or(&Counts::NONE);
            self.counted.add(number, sum, before);
        }
        for (runtime, ticks) in ticks_of_runtimes {
            *self.counted.ns_of_runtimes.entry(runtime).or_default() += clock::nanoseconds(ticks);
        }
        self.seen = counts;
    }
}

impl Counted {
    fn add(&mut self, number: usize, counts: &Counts, before: &Counts) {
        if counts.counts == before.counts {
            return;
        }
        let Some(site) = sites::site(number) else { return };
        let histogram = self
            .functions
            .entry(site.function().into_owned())
            .or_insert_with(|| Histogram { sum_ns: 0, counts: [0; COUNTERS] });
        histogram.sum_ns += clock::nanoseconds(counts.ticks.wrapping_sub(before.ticks));
        let pairs = counts.counts.iter().zip(&before.counts);
        for (sum, (now, then)) in histogram.counts.iter_mut().zip(pairs) {
            *sum += u64::from(now.wrapping_sub(*then));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::buckets;
    use crate::measure::table::{ROWS_MAX, Table};
    use crate::polling::site::Site;
    use std::thread;

    fn leaked(name: String) -> &'static Site {
        Box::leak(Box::new(Site::new(Box::leak(name.into_boxed_str()), "f.rs", 7)))
    }

    #[test]
    fn threads_are_added_up_and_nothing_is_counted_twice() {
        clock::start();
        buckets::refresh();
        let site = leaked("measure::two threads".to_owned());
        let mut merger = Merger::start();
        let millisecond = clock::ticks(1_000_000);
        let body = move || {
            let table = Table::lease();
            for _ in 0..1_000 {
                table.count(site, millisecond);
            }
            table
        };
        let threads = [thread::spawn(body), thread::spawn(body)];
        let tables = threads.map(|thread| thread.join().unwrap());
        let found = merger.take().functions.remove("measure::two threads").unwrap();
        assert_eq!(found.calls(), 2_000);
        assert_eq!(found.counts.iter().filter(|count| **count > 0).count(), 1);
        assert!(found.sum_ns.abs_diff(2_000_000_000) < 2_000_000, "{}", found.sum_ns);
        assert!(!merger.take().functions.contains_key("measure::two threads"));
        tables[0].count(site, millisecond);
        assert_eq!(merger.take().functions.remove("measure::two threads").unwrap().calls(), 1);
    }

    #[test]
    fn what_passes_the_bound_of_a_thread_is_counted_together() {
        buckets::refresh();
        let mut merger = Merger::start();
        let table = Table::lease();
        let sites = (0..2 * ROWS_MAX).map(|n| leaked(format!("measure::many {n:03}")));
        for site in sites.collect::<Vec<_>>() {
            table.count(site, 5);
            table.count(site, 5);
        }
        let found = merger.take().functions;
        let many = |name: &&String| name.starts_with("measure::many");
        assert_eq!(found.keys().filter(many).count(), ROWS_MAX - 1);
        let beyond = u64::try_from(2 * (ROWS_MAX + 1)).unwrap();
        assert!(found["otel.metric.overflow"].calls() >= beyond);
        assert_eq!(found["measure::many 000"].calls(), 2);
    }
}
