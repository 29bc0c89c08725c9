//! What really happened, measured by the functions themselves, independently of Holdup.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{faults, innocents};

/// Totals of one function.
#[derive(Debug)]
pub(crate) struct Meter {
    function: &'static str,
    culprit: bool,
    calls: AtomicU64,
    blocked_ns: AtomicU64,
    elapsed_ns: AtomicU64,
}

impl Meter {
    /// For a function that blocks.
    pub(crate) const fn culprit(function: &'static str) -> Self {
        Self::of(function, true)
    }

    /// For a function that takes long and doesn't block.
    pub(crate) const fn innocent(function: &'static str) -> Self {
        Self::of(function, false)
    }

    const fn of(function: &'static str, culprit: bool) -> Self {
        Self {
            function,
            culprit,
            calls: AtomicU64::new(0),
            blocked_ns: AtomicU64::new(0),
            elapsed_ns: AtomicU64::new(0),
        }
    }

    /// Counts a call whose blocking section began at `since` and ends here.
    pub(crate) fn blocked(&self, since: Instant) {
        let nanoseconds = nanoseconds(since.elapsed());
        self.blocked_ns.fetch_add(nanoseconds, Ordering::Relaxed);
        self.elapsed_ns.fetch_add(nanoseconds, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that began at `since`, ends here and blocked nothing.
    pub(crate) fn awaited(&self, since: Instant) {
        self.elapsed_ns.fetch_add(nanoseconds(since.elapsed()), Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Truth {
        Truth {
            function: self.function,
            calls: self.calls.load(Ordering::Relaxed),
            blocked_ns: self.blocked_ns.load(Ordering::Relaxed),
            elapsed_ns: self.elapsed_ns.load(Ordering::Relaxed),
            culprit: self.culprit,
        }
    }
}

/// Totals of one function at one time.
#[derive(Debug, Serialize)]
pub(crate) struct Truth {
    /// The name that Holdup must report it under.
    pub(crate) function: &'static str,
    pub(crate) calls: u64,
    /// Time that its blocking sections held their threads; 0 for an innocent.
    pub(crate) blocked_ns: u64,
    /// Time from a call to its end, which is what naive tools go by.
    pub(crate) elapsed_ns: u64,
    pub(crate) culprit: bool,
}

/// The totals of every function.
pub(crate) fn all() -> Vec<Truth> {
    faults::METERS.into_iter().chain(innocents::METERS).map(Meter::read).collect()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
