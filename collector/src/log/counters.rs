//! What the log counts of itself.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// Counters and gauges; copies count together.
#[derive(Clone)]
pub(crate) struct Counters {
    appended: Counter,
    known: Counter,
    refused: Counter,
    damaged: Counter,
    torn_bytes: Counter,
    /// Writes and syncs that failed.
    pub(super) failed: Counter,
    /// Time of one write and its sync.
    pub(super) sync_seconds: Histogram,
    /// Bytes of all files.
    pub(super) bytes: Gauge<u64, AtomicU64>,
    /// Files.
    pub(super) segments: Gauge<u64, AtomicU64>,
    /// 1 while entries are taken.
    pub(super) taking: Gauge,
}

impl Counters {
    /// All at zero, each described where operators read it.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let counters = Self {
            appended: Counter::default(),
            known: Counter::default(),
            refused: Counter::default(),
            damaged: Counter::default(),
            torn_bytes: Counter::default(),
            failed: Counter::default(),
            sync_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            bytes: Gauge::default(),
            segments: Gauge::default(),
            taking: Gauge::default(),
        };
        counters.taking.set(1);
        let all = counters.clone();
        registry.register("log_appended", "Requests written to the log.", all.appended);
        registry.register("log_known", "Requests that were in the log already.", all.known);
        registry.register("log_refused", "Requests that the log did not take.", all.refused);
        registry.register("log_damaged", "Requests lost because the disk changed.", all.damaged);
        let help = "Bytes cut off at a start: written, and never acknowledged.";
        registry.register("log_torn_bytes", help, all.torn_bytes);
        registry.register("log_failed", "Writes and syncs of the log that failed.", all.failed);
        let help = "Time of one group's write and sync.";
        registry.register_with_unit("log_sync", help, Unit::Seconds, all.sync_seconds);
        registry.register("log_bytes", "Bytes of the log's files.", all.bytes);
        registry.register("log_segments", "Files of the log.", all.segments);
        registry.register("log_taking", "1 while the log takes requests.", all.taking);
        counters
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub(super) fn appended(&self, entries: u64, known: u64) {
        self.appended.inc_by(entries);
        self.known.inc_by(known);
    }

    pub(super) fn refused(&self, entries: usize) {
        self.refused.inc_by(u64::try_from(entries).unwrap_or(u64::MAX));
    }

    pub(super) fn damaged(&self, entries: u64) {
        self.damaged.inc_by(entries);
    }

    pub(super) fn torn(&self, bytes: u64) {
        self.torn_bytes.inc_by(bytes);
    }
}
