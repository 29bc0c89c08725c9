//! A quantile of one function's polls, over all that its threads have counted.

use crate::measure::buckets::{COUNTERS, upper_ns};
use crate::measure::tables;
use crate::polling::site::Site;

/// How many polls of a site were counted, and what 99 of 100 of them stay under.
pub(crate) fn p99(site: &'static Site) -> Option<(u64, u64)> {
    let number = site.number() as usize;
    if number == 0 {
        return None;
    }
    let sums: [u64; COUNTERS] = tables::of_site(number).counts.map(u64::from);
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
