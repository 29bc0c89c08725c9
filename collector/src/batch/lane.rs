//! A way through the log: entries from a place on, and the batches of them that are under way.

use tokio::sync::watch;
use tokio::task::block_in_place;

use super::batcher::PAUSE;
use super::flight::Flight;
use super::pace::{Bounds, Gathered, Pace};
use super::send::{Sender, Stopped, wait};
use super::source::{Next, Source, Taken};

/// One way through the log.
pub(super) struct Lane {
    pub(super) source: Source,
    pub(super) flight: Flight,
    /// The sequence number after the last entry that was taken out.
    pub(super) next: u64,
    /// Where it ends, when another lane has what follows.
    pub(super) until: Option<u64>,
    pub(super) pace: Pace,
}

impl Lane {
    /// One whose entries come out of `source`, which begins at a sequence number.
    pub(super) fn new(source: Source, next: u64) -> Self {
        Self { source, flight: Flight::default(), next, until: None, pace: Pace::new() }
    }

    /// Has it end before a sequence number that the log already has.
    pub(super) fn end_at(&mut self, until: u64) {
        self.until = Some(until);
        self.source.end_at(until);
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
            gathered.push(taken);
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
                    return Ok(Some(Some(*taken)));
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
