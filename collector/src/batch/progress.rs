//! How far the batcher is, for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sequence numbers and times that move on.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last entry that was acknowledged.
    last: AtomicU64,
    /// ClickHouse has all below this.
    stored: AtomicU64,
    /// When the oldest entry came that is not stored, ns since 1970; 0 when there is none.
    oldest_ns: AtomicU64,
}

impl Progress {
    /// An entry was acknowledged.
    pub(super) fn acknowledged(&self, sequence: u64) {
        self.last.fetch_max(sequence, Ordering::Release);
    }

    /// All below a sequence number is stored.
    pub(super) fn stored(&self, below: u64) {
        self.stored.fetch_max(below, Ordering::Release);
        self.oldest_ns.store(0, Ordering::Relaxed);
    }

    /// The oldest entry that is not stored came then, ns since 1970.
    pub(super) fn oldest(&self, time_ns: u64) {
        self.oldest_ns.store(time_ns, Ordering::Relaxed);
    }

    /// Whether all that was acknowledged is stored.
    pub(crate) fn all_stored(&self) -> bool {
        // In this order: what is acknowledged in between is not called stored.
        let last = self.last.load(Ordering::Acquire);
        self.stored.load(Ordering::Acquire) > last
    }

    /// How long ago the oldest entry came that is not stored, ns.
    pub(crate) fn oldest_age_ns(&self, now_ns: u64) -> u64 {
        match self.oldest_ns.load(Ordering::Relaxed) {
            0 => 0,
            oldest_ns => now_ns.saturating_sub(oldest_ns),
        }
    }
}
