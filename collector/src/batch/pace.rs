//! How large batches are and when they are due: each makes a part in every table, so that few rows
//! wait for more, and many make larger batches.

use std::time::Duration;

use tokio::time::Instant;

use super::batcher::Settings;
use super::source::Taken;

/// How long the first entry of a batch waits for others, at most.
pub(super) const GATHER: Duration = Duration::from_millis(100);
/// A batch is as many times as large as usual, at most.
const GROWTH_MAX: usize = 4;

/// Rows and bytes of which a batch is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    rows: usize,
    bytes: usize,
}

/// What is to be a batch.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) entries: Vec<Taken>,
    rows: usize,
    bytes: usize,
}

impl Gathered {
    /// Adds an entry.
    pub(super) fn push(&mut self, taken: Taken) {
        self.count(taken.rows.rows(), taken.rows.bytes);
        self.entries.push(taken);
    }

    fn count(&mut self, rows: usize, bytes: usize) {
        self.rows += rows;
        self.bytes += bytes;
    }

    /// Whether it is as large as it may be.
    pub(super) fn is_full(&self, bounds: Bounds) -> bool {
        self.rows >= bounds.rows || self.bytes >= bounds.bytes
    }
}

impl Settings {
    /// Of what a batch is full that may be so many times as large as usual.
    fn bounds(&self, growth: usize) -> Bounds {
        let bytes = self.bytes_max.saturating_mul(growth).min(self.grown_bytes_max);
        Bounds { rows: self.rows_max.saturating_mul(growth), bytes }
    }

    /// The same for the largest.
    pub(super) fn bounds_max(&self) -> Bounds {
        self.bounds(GROWTH_MAX)
    }
}

/// The pace of the batches of one lane.
pub(super) struct Pace {
    /// When the last batch was sent.
    sent: Instant,
    /// How many times as large as usual the next batch may be.
    growth: usize,
    /// Whether the last was full, so that more waits.
    was_full: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { sent: Instant::now(), growth: 1, was_full: false }
    }

    /// Of what the next batch is full.
    pub(super) fn bounds(&self, settings: &Settings) -> Bounds {
        settings.bounds(self.growth)
    }

    /// When the next batch is due, the first of it having come at a time.
    pub(super) fn due(&self, first: Instant, settings: &Settings) -> Instant {
        (first + GATHER).max(self.sent + settings.interval)
    }

    /// Batches that are full before their time grow, so that their number does not. They shrink when
    /// they are less than half full.
    pub(super) fn gathered(&mut self, gathered: &Gathered, bounds: Bounds) {
        self.was_full = gathered.is_full(bounds);
        if self.was_full {
            self.growth = (self.growth * 2).min(GROWTH_MAX);
        } else if !gathered.is_full(Bounds { rows: bounds.rows / 2, bytes: bounds.bytes / 2 }) {
            self.growth = (self.growth / 2).max(1);
        }
    }

    /// Notes that a batch is sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// Whether the last batch was full, so that more waits.
    pub(super) fn was_full(&self) -> bool {
        self.was_full
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
