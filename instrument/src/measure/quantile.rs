//! A quantile of one function's polls, over all that its threads have counted.

use crate::measure::buckets::{COUNTERS, upper_ns};
use crate::measure::table;
use crate::polling::site::Site;

/// How many polls of a site were counted, and what 99 of 100 of them stay under.
pub(crate) fn p99(site: &'static Site) -> Option<(u64, u64)> {
    let number = site.number() as usize;
    let mut sums = [0_u64; COUNTERS];
    for table in table::all() {
        for (_, counts) in table.read().filter(|(of, _)| *of == number && number != 0) {
            for (sum, count) in sums.iter_mut().zip(&counts.counts) {
                *sum += u64::from(*count);
            }
        }
    }
    let calls = sums.iter().sum::<u64>();
    let mut left = calls - calls / 100;
    for (counter, count) in sums.iter().enumerate() {
        left = left.saturating_sub(*count);
        if left == 0 && calls > 0 {
            return Some((calls, upper_ns(counter)));
        }
    }
    None
}
