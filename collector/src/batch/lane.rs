//! A way through the log: entries from a place on, and the batches of them that are under way.

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::batcher::{PAUSE, Settings};
use super::flight::Flight;
use super::send::{Sender, Stopped, wait};
use super::source::{Next, Source, Taken};

/// A batch is as many times as large as usual, at most.
const GROWTH_MAX: usize = 4;

/// One way through the log.
pub(super) struct Lane {
    pub(super) source: Source,
    pub(super) flight: Flight,
    /// The sequence number after the last entry that was taken out.
    pub(super) next: u64,
    /// Where it ends, when another lane has what follows.
    pub(super) until: Option<u64>,
    /// When the last batch was sent.
    pub(super) sent: Instant,
    /// How many times as large as usual the next batch may be.
    growth: usize,
    /// Whether the last was full, so that more waits.
    pub(super) was_full: bool,
}

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

impl Lane {
    /// One whose entries come out of `source`, which begins at a sequence number.
    pub(super) fn new(source: Source, next: u64) -> Self {
        let (flight, sent) = (Flight::default(), Instant::now());
        Self { source, flight, next, until: None, sent, growth: 1, was_full: false }
    }

    /// Has it end before a sequence number that the log already has.
    pub(super) fn end_at(&mut self, until: u64) {
        self.until = Some(until);
        self.source.end_at(until);
    }

    /// Of what its next batch is full.
    pub(super) fn bounds(&self, settings: &Settings) -> Bounds {
        settings.bounds(self.growth)
    }

    /// Batches that are full before their time grow, so that their number does not: each makes a
    /// part in every table. They shrink when they are less than half full.
    pub(super) fn grow(&mut self, gathered: &Gathered, bounds: Bounds) {
        self.was_full = gathered.is_full(bounds);
        if self.was_full {
            self.growth = (self.growth * 2).min(GROWTH_MAX);
        } else if !gathered.is_full(Bounds { rows: bounds.rows / 2, bytes: bounds.bytes / 2 }) {
            self.growth = (self.growth / 2).max(1);
        }
    }

    /// Adds what is there until that is full.
    pub(super) async fn fill(
        &mut self,
        gathered: &mut Gathered,
        bounds: Bounds,
        sender: &Sender,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        while !gathered.is_full(bounds)
            && let Some(next) = self.next_entry(sender, stop).await?
        {
            let Some(taken) = next else { continue };
            gathered.rows += taken.rows.rows();
            gathered.bytes += taken.rows.bytes;
            gathered.entries.push(taken);
        }
        Ok(())
    }

    /// The next entry; `Some(None)` for one of which no rows can be made.
    pub(super) async fn next_entry(
        &mut self,
        sender: &Sender,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Option<Taken>>, Stopped> {
        loop {
            match block_in_place(|| self.source.next()) {
                Ok(None) => return Ok(None),
                Ok(Some((Next::Rows(taken), from_disk))) => {
                    self.next = taken.sequence + 1;
                    sender.metrics.taken_out(from_disk);
                    return Ok(Some(Some(taken)));
                }
                Ok(Some((Next::Unreadable(sequence, entry, reason), _))) => {
                    self.next = sequence + 1;
                    sender.keep(sequence, &entry, ("", 0), &reason, stop).await?;
                    return Ok(Some(None));
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the log; trying until it works");
                    wait(PAUSE, stop).await?;
                }
            }
        }
    }
}
