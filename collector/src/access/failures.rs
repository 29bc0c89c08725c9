//! How often wrong tokens were shown, by address and within bounds, and how often that is told.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens from one address within a minute before it has to wait for the form.
const FAILURES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; one more forgets the oldest.
const ADDRESSES_MAX: usize = 1_024;
/// Lines in the log are as far apart.
const LINE_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Failures {
    by_address: Mutex<HashMap<IpAddr, (u32, Instant)>>,
    /// When the last line was written, and what was left unsaid since.
    said: Mutex<(Option<Instant>, u64)>,
}

impl Failures {
    pub(super) fn count(&self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        let mut known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADDRESSES_MAX && !known.contains_key(&address) {
            known.retain(|_, (_, since)| since.elapsed() < WINDOW);
        }
        if known.len() >= ADDRESSES_MAX && !known.contains_key(&address) {
            let oldest = known.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| *key);
            oldest.and_then(|key| known.remove(&key));
        }
        let (count, since) = known.entry(address).or_insert((0, Instant::now()));
        if since.elapsed() >= WINDOW {
            (*count, *since) = (0, Instant::now());
        }
        *count = count.saturating_add(1);
    }

    pub(super) fn must_wait(&self, address: Option<IpAddr>) -> bool {
        let known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = address.and_then(|address| known.get(&address));
        of_address.is_some_and(|(count, since)| *count >= FAILURES_MAX && since.elapsed() < WINDOW)
    }

    /// How many were left unsaid since the last line, when it is time for another.
    pub(super) fn worth_a_line(&self) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.0.is_some_and(|at| at.elapsed() < LINE_EVERY) {
            said.1 += 1;
            return None;
        }
        let unsaid = said.1;
        *said = (Some(Instant::now()), 0);
        Some(unsaid)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{ADDRESSES_MAX, FAILURES_MAX, Failures};

    #[test]
    fn an_address_waits_after_so_many_and_no_other_does() {
        let failures = Failures::default();
        let address = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        for _ in 0..FAILURES_MAX {
            assert!(!failures.must_wait(address(1)));
            failures.count(address(1));
        }
        assert!(failures.must_wait(address(1)) && !failures.must_wait(address(2)));
        for n in 2..u32::try_from(2 * ADDRESSES_MAX).unwrap() {
            failures.count(address(n));
        }
        assert_eq!(failures.by_address.lock().unwrap().len(), ADDRESSES_MAX);
    }

    #[test]
    fn the_log_gets_one_line_for_many() {
        let failures = Failures::default();
        assert_eq!(failures.worth_a_line(), Some(0));
        assert_eq!(failures.worth_a_line(), None);
    }
}
