//! The time in which a worker of a watched runtime is not parked.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::polling::record::{self, Place, Record, Timing};
use crate::polling::site::Site;
use crate::polling::slot::Slot;
use crate::polling::{attention, clock, switch};

/// How long after the end of what was held its record may come, in nanoseconds.
const LATE_NS: u64 = 1_000_000_000;

/// Written by the worker's thread; what was held is written by the watchdog, while it lasts.
pub(crate) struct Turn {
    /// When it began, in ticks; 0 while the worker is parked, and for all other threads.
    since: AtomicU64,
    runtime: AtomicU32,
    worker: AtomicU32,
    /// From when to when the watchdog reported it as held; 0 where not.
    held_since: AtomicU64,
    held_until: AtomicU64,
}

impl Turn {
    pub(super) const fn new() -> Self {
        Self {
            since: AtomicU64::new(0),
            runtime: AtomicU32::new(0),
            worker: AtomicU32::new(0),
            held_since: AtomicU64::new(0),
            held_until: AtomicU64::new(0),
        }
    }

    pub(crate) fn since(&self) -> u64 {
        self.since.load(Ordering::Acquire)
    }

    pub(crate) fn runtime(&self) -> u32 {
        self.runtime.load(Ordering::Relaxed)
    }

    pub(crate) fn worker(&self) -> usize {
        self.worker.load(Ordering::Relaxed) as usize
    }

    /// The worker goes on after it was parked.
    #[cfg_attr(tokio_unstable, allow(dead_code))]
    pub(crate) fn begin(&self, runtime: u32, worker: usize) {
        if !switch::is_on() {
            return;
        }
        self.runtime.store(runtime, Ordering::Relaxed);
        self.worker.store(u32::try_from(worker).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.since.store(clock::now(), Ordering::Release);
        attention::wake();
    }

    /// For the watchdog: the turn is held since then. Whether it still goes on.
    pub(crate) fn hold(&self, turn: u64, since: u64) -> bool {
        self.held_since.store(since, Ordering::Release);
        let goes_on = self.since() == turn;
        if !goes_on {
            self.held_since.store(0, Ordering::Release);
        }
        goes_on
    }

    /// For the watchdog: what was held since then is over, though the worker has not parked.
    pub(crate) fn is_over(&self, since: u64, now: u64) {
        if self.held_since.load(Ordering::Acquire) == since && since != 0 {
            let _ = self.held_until.compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Whether something else was held in the same turn, whose record is still to come.
    pub(crate) fn was_held_before(&self, since: u64) -> bool {
        let held = self.held_since.load(Ordering::Acquire);
        held != 0 && held != since
    }

    fn clear(&self) -> Option<(u64, u64)> {
        self.since.store(0, Ordering::Release);
        let since = self.held_since.swap(0, Ordering::AcqRel);
        let until = self.held_until.swap(0, Ordering::AcqRel);
        (since != 0).then_some((since, until))
    }

    /// The worker parks. A turn that was reported as held gets its record.
    pub(crate) fn end(&self, slot: &Slot, site: impl FnOnce() -> Option<&'static Site>) {
        let Some((start, until)) = self.clear().filter(|_| switch::is_on()) else { return };
        let now = clock::now();
        // What ended longer ago had its end told without a record.
        if until != 0 && now.saturating_sub(until) > clock::ticks(LATE_NS) {
            return;
        }
        let end = if until == 0 { now } else { until };
        let duration = end.saturating_sub(start);
        slot.note_slow(start, duration);
        let timing = Timing { start, duration, own: duration };
        let threshold_ns = switch::threshold_ns();
        let record = site()
            .and_then(|site| Record::gather(slot, Place::Site(site), timing, threshold_ns, None));
        if let Some(record) = record {
            // The task that was polled last need not be the one that took long.
            record::push(Record { task: None, ..record });
        }
    }
}
