//! Whether polls are timed at all, and the threshold of those sites that have none of their own.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::measure::buckets;
use crate::polling::clock;

/// In ticks; 0 means that nothing is timed. One load of it is all that a poll costs then.
static TICKS: AtomicU64 = AtomicU64::new(0);
static NANOSECONDS: AtomicU64 = AtomicU64::new(0);
/// The lowest threshold that any rule asks for.
static RULES_NS: AtomicU64 = AtomicU64::new(u64::MAX);

#[inline(always)]
pub(crate) fn is_on() -> bool {
    threshold_ticks() != 0
}

#[inline(always)]
pub(crate) fn threshold_ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

pub(crate) fn threshold_ns() -> u64 {
    NANOSECONDS.load(Ordering::Relaxed)
}

/// The lowest threshold that any poll may have, but for those that the code gives to functions.
pub(crate) fn floor_ticks() -> u64 {
    threshold_ticks().min(floor_ticks_of_rules())
}

/// The same of the rules alone.
pub(crate) fn floor_ticks_of_rules() -> u64 {
    clock::ticks(RULES_NS.load(Ordering::Relaxed))
}

/// Puts the threshold in force that everything without one of its own has, and the lowest that any
/// rule gives.
pub(crate) fn on(threshold_ns: u64, rules_ns: u64) {
    RULES_NS.store(rules_ns.max(1), Ordering::Relaxed);
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
