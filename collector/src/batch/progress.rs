//! How far the batcher is, for whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Sequence numbers and times that move on.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The last entry that was acknowledged.
    last: AtomicU64,
    /// ClickHouse has the rows of all below this,
    stored: AtomicU64,
    /// and their episodes of all below this.
    folded: AtomicU64,
    /// When the oldest entry came that is not stored, ns since 1970; 0 when there is none.
    oldest_ns: AtomicU64,
    /// The same of what goes ahead of a backlog; [`ONE_LANE`] when nothing does.
    live_ns: AtomicU64,
}

/// No backlog is stored, so that there is one order for all.
const ONE_LANE: u64 = u64::MAX;

impl Default for Progress {
    fn default() -> Self {
        let [last, stored, folded, oldest_ns] = [const { AtomicU64::new(0) }; 4];
        Self { last, stored, folded, oldest_ns, live_ns: AtomicU64::new(ONE_LANE) }
    }
}

impl Progress {
    /// An entry was acknowledged.
    pub(super) fn acknowledged(&self, sequence: u64) {
        self.last.fetch_max(sequence, Ordering::Release);
    }

    /// The rows of all below a sequence number are stored.
    pub(super) fn stored(&self, below: u64) {
        self.stored.fetch_max(below, Ordering::Release);
        self.oldest_ns.store(0, Ordering::Relaxed);
    }

    /// The episodes of all whose rows are stored are stored as well.
    pub(super) fn episodes_stored(&self) {
        self.folded.fetch_max(self.stored.load(Ordering::Relaxed), Ordering::Release);
    }

    /// The oldest entry that is not stored came then, ns since 1970.
    pub(super) fn oldest(&self, time_ns: u64) {
        self.oldest_ns.store(time_ns, Ordering::Relaxed);
    }

    /// The oldest entry of what goes ahead of a backlog, and is not stored, came then, ns since 1970;
    /// 0 when there is none.
    pub(super) fn live(&self, time_ns: u64) {
        self.live_ns.store(time_ns, Ordering::Relaxed);
    }

    /// Nothing goes ahead of anything.
    pub(super) fn one_lane(&self) {
        self.live_ns.store(ONE_LANE, Ordering::Relaxed);
    }

    /// Whether the rows of all that was acknowledged are stored.
    pub(super) fn rows_stored(&self) -> bool {
        self.is_past_the_last(&self.stored)
    }

    /// Whether all that was acknowledged is stored, episodes and all.
    pub(crate) fn all_stored(&self) -> bool {
        self.is_past_the_last(&self.folded)
    }

    fn is_past_the_last(&self, below: &AtomicU64) -> bool {
        // In this order: what is acknowledged in between is not called stored.
        let last = self.last.load(Ordering::Acquire);
        below.load(Ordering::Acquire) > last
    }

    /// How long ago the oldest entry came that is not stored, ns.
    pub(crate) fn oldest_age_ns(&self, now_ns: u64) -> u64 {
        match self.oldest_ns.load(Ordering::Relaxed) {
            0 => 0,
            oldest_ns => now_ns.saturating_sub(oldest_ns),
        }
    }

    /// The same of what is live, which goes ahead of a backlog.
    pub(crate) fn live_age_ns(&self, now_ns: u64) -> u64 {
        match self.live_ns.load(Ordering::Relaxed) {
            ONE_LANE => self.oldest_age_ns(now_ns),
            0 => 0,
            live_ns => now_ns.saturating_sub(live_ns),
        }
    }
}
