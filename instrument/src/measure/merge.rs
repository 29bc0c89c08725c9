//! What all threads counted since the last time.

use std::collections::BTreeMap;
use std::ptr;

use crate::measure::buckets::COUNTERS;
use crate::measure::sites;
use crate::measure::table::{self, Counts, Table};
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

/// What was read of each table the last time.
#[derive(Default)]
pub(crate) struct Merger {
    seen: Vec<(&'static Table, Vec<Counts>)>,
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
        let mut counted = Counted::default();
        for table in table::all() {
            let seen = self.seen_of(table);
            for (row, (number, counts)) in table.read().enumerate() {
                let before = seen.get(row).copied();
                match seen.get_mut(row) {
                    Some(place) => *place = counts,
                    None => seen.push(counts),
                }
                counted.add(number, table.runtime(), &counts, before.as_ref());
            }
        }
        counted
    }

    fn seen_of(&mut self, table: &'static Table) -> &mut Vec<Counts> {
        let known = self.seen.iter().position(|(seen, _)| ptr::eq(*seen, table));
        let index = known.unwrap_or_else(|| {
            self.seen.push((table, Vec::new()));
            self.seen.len() - 1
        });
        &mut self.seen[index].1
    }
}

impl Counted {
    fn add(&mut self, number: usize, runtime: u32, counts: &Counts, before: Option<&Counts>) {
        let zero = Counts { ticks: 0, counts: [0; COUNTERS] };
        let before = before.unwrap_or(&zero);
        if counts.counts == before.counts {
            return;
        }
        let Some(site) = sites::site(number) else { return };
        let ns = clock::nanoseconds(counts.ticks.wrapping_sub(before.ticks));
        *self.ns_of_runtimes.entry(runtime).or_default() += ns;
        let histogram = self
            .functions
            .entry(site.function().into_owned())
            .or_insert_with(|| Histogram { sum_ns: 0, counts: [0; COUNTERS] });
        histogram.sum_ns += ns;
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
    use crate::measure::table::ROWS_MAX;
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
