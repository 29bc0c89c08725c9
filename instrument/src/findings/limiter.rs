//! How often the same thing is said.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::findings::budget::Budget;
use crate::findings::finding::{Finding, Kind};

/// Functions that are told apart; beyond that they share one interval.
const FUNCTIONS_MAX: usize = 1024;

/// Lets one finding of a kind and function through in an interval, and so many of all in a minute.
#[derive(Debug)]
pub(super) struct Limiter {
    interval: Duration,
    budget: Budget,
    said: HashMap<(Kind, String), Said>,
    /// Kept back by the budget of all.
    beyond: u64,
}

#[derive(Debug)]
struct Said {
    at: Instant,
    suppressed: u64,
}

impl Limiter {
    pub(super) fn new(interval: Duration, per_minute: u32, now: Instant) -> Self {
        let budget = Budget::new(per_minute, now);
        Self { interval, budget, said: HashMap::new(), beyond: 0 }
    }

    /// Whether this one may be said; then how many like it were kept back since the last one.
    pub(super) fn admit(&mut self, finding: &Finding, now: Instant) -> Option<u64> {
        if self.said.len() >= FUNCTIONS_MAX {
            let interval = self.interval;
            self.said.retain(|_, said| {
                said.suppressed > 0 || now.saturating_duration_since(said.at) < interval
            });
        }
        let is_full = self.said.len() >= FUNCTIONS_MAX;
        let mut key = (finding.kind, finding.function.clone());
        if is_full && !self.said.contains_key(&key) {
            key.1 = String::new();
        }
        let said = self.said.get_mut(&key);
        if let Some(said) = said
            && now.saturating_duration_since(said.at) < self.interval
        {
            said.suppressed += 1;
            return None;
        }
        if !self.budget.spend(now) {
            self.beyond += 1;
            return None;
        }
        let before = self.said.insert(key, Said { at: now, suppressed: 0 });
        let like_it = before.map_or(0, |said| said.suppressed);
        Some(like_it + std::mem::take(&mut self.beyond))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn finding(function: &str) -> Finding {
        Finding::new(Kind::Blocking, function.to_owned(), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn the_same_is_said_once_in_an_interval_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Duration::from_secs(10), 60, start);
        assert_eq!(limiter.admit(&finding("a"), start), Some(0));
        for _ in 0..5 {
            assert_eq!(limiter.admit(&finding("a"), start + Duration::from_secs(9)), None);
        }
        assert_eq!(limiter.admit(&finding("b"), start), Some(0), "another function");
        assert_eq!(limiter.admit(&finding("a"), start + Duration::from_secs(11)), Some(5));
        assert_eq!(limiter.admit(&finding("a"), start + Duration::from_secs(22)), Some(0));
    }

    #[test]
    fn all_together_are_bounded_and_so_is_the_memory() {
        let start = Instant::now();
        let mut limiter = Limiter::new(Duration::from_secs(10), 3, start);
        let said = |limiter: &mut Limiter, at: Instant| {
            let names = (0..5_000).map(|number| number.to_string());
            names.filter(|name| limiter.admit(&finding(name), at).is_some()).count()
        };
        assert_eq!(said(&mut limiter, start), 3);
        assert!(limiter.said.len() <= FUNCTIONS_MAX);
        let later = start + Duration::from_secs(60);
        assert_eq!(limiter.admit(&finding("x"), later), Some(4_997), "all are accounted for");
        let mut wide = Limiter::new(Duration::from_secs(10), u32::MAX, start);
        said(&mut wide, start);
        assert!(wide.said.len() <= FUNCTIONS_MAX + 1, "{}", wide.said.len());
    }
}
