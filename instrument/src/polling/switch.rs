//! Whether polls are timed at all, and the threshold of those sites that have none of their own.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::measure::buckets;
use crate::polling::clock;

/// In ticks; 0 means that nothing is timed. One load of it is all that a poll costs then.
static TICKS: AtomicU64 = AtomicU64::new(0);
static NANOSECONDS: AtomicU64 = AtomicU64::new(0);

#[inline(always)]
pub(crate) fn threshold_ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

pub(crate) fn threshold_ns() -> u64 {
    NANOSECONDS.load(Ordering::Relaxed)
}

pub(crate) fn on(threshold_ns: u64) {
    NANOSECONDS.store(threshold_ns.max(1), Ordering::Relaxed);
    refresh();
}

pub(crate) fn off() {
    NANOSECONDS.store(0, Ordering::Relaxed);
    TICKS.store(0, Ordering::Relaxed);
}

/// Converts the threshold and the buckets' unit again, after the clock was calibrated better.
pub(crate) fn refresh() {
    buckets::refresh();
    let threshold = threshold_ns();
    if threshold > 0 {
        TICKS.store(clock::ticks(threshold), Ordering::Relaxed);
    }
}

/// For tests, which share the switch and the queue.
#[cfg(test)]
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
