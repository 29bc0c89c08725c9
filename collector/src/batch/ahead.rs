//! What is live goes ahead of what an outage left: while a backlog is stored, entries that come in
//! have a lane of their own, from a place in the log on, which is in the log as well. When the
//! backlog is stored there is one lane again.
//!
//! Either lane has its batches and its marks, so that after a crash each goes on where it was. Episodes
//! come out the same: the fold takes polls in any order, and its time is that of the backlog
//! until that is stored.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep_until};

use super::batcher::Batcher;
use super::lane::Lane;
use super::mark::Mark;
use super::pace::{GATHER, Gathered};
use super::send::{Sent, Stopped};
use super::source::Taken;
use super::spans::Spans;
use crate::clock::now_ns;

/// What was stored so many intervals after it came is of a backlog: less is what a slow insert takes.
const LATE_INTERVALS: u32 = 5;

/// The lane of what is live.
pub(super) struct Ahead {
    pub(super) lane: Lane,
    /// Its first sequence number: the backlog stands before it.
    pub(super) from: u64,
    /// From there to this one ClickHouse has everything.
    pub(super) stored: u64,
    /// When its next batch is due.
    due: Instant,
}

impl Ahead {
    pub(super) fn new(lane: Lane, from: u64) -> Self {
        let stored = lane.next;
        Self { lane, from, stored, due: Instant::now() }
    }
}

impl Batcher {
    /// Whether what is stored now, the last of it having come at a time, is late.
    pub(super) fn is_late(&self, time_ns: u64) -> bool {
        let late = self.settings.interval * LATE_INTERVALS;
        Duration::from_nanos(now_ns().saturating_sub(time_ns)) > late
    }

    /// Begins a lane for what comes in from here on.
    pub(super) async fn go_ahead(&mut self) {
        let from = *self.log.end().borrow();
        // A restart has to know of it before a batch of it is sent.
        if let Err(error) = self.log.mark(Mark::Ahead { from, to: from }.bytes()).await {
            tracing::warn!("{error}; what is live waits for what came before");
            return;
        }
        tracing::info!("a backlog is stored; what comes in goes ahead of it");
        self.lane.end_at(from);
        self.ahead = Some(Ahead::new(Lane::new(self.source(from), from), from));
        self.progress.live(0);
    }

    /// All of the backlog is under way. Once it is stored, what is live is all that there is.
    pub(super) async fn join(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        while !self.lane.flight.is_empty() {
            self.settle(stop).await?;
        }
        let Some(ahead) = self.ahead.take() else { return Ok(()) };
        self.log.note(Mark::Stored(ahead.stored).bytes());
        block_in_place(|| self.log.release(ahead.stored));
        self.progress.stored(ahead.stored);
        self.progress.one_lane();
        self.lane = ahead.lane;
        tracing::info!("the backlog is stored");
        Ok(())
    }

    /// Waits until the oldest batch of a lane is stored, and notes that. What is live is sent
    /// meanwhile when it is due.
    pub(super) async fn settle(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        let idle = self.ahead.as_ref().filter(|ahead| ahead.lane.flight.is_empty());
        let Some(due) = idle.map(|ahead| ahead.due) else { return self.settle_one().await };
        tokio::select! {
            stored = self.stored() => self.note_stored(stored?),
            () = sleep_until(due) => self.send_ahead(stop).await?,
        }
        Ok(())
    }

    /// Sends what is live if it is due.
    pub(super) async fn look_ahead(
        &mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        let idle = self.ahead.as_ref().filter(|ahead| ahead.lane.flight.is_empty());
        if idle.is_some_and(|ahead| ahead.due <= Instant::now()) {
            self.send_ahead(stop).await?;
        }
        Ok(())
    }

    async fn send_ahead(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        let Some(ahead) = &mut self.ahead else { return Ok(()) };
        let (bounds, mut gathered) = (self.settings.bounds_max(), Gathered::default());
        ahead.lane.fill(&mut gathered, bounds, &self.sender, stop).await?;
        ahead.due = Instant::now();
        if !gathered.is_full(bounds) {
            ahead.due += self.settings.interval.max(GATHER);
        }
        let (entries, to) = (gathered.entries, ahead.lane.next);
        let Some(first) = entries.first() else { return Ok(()) };
        self.progress.live(first.time_ns);
        while block_in_place(|| self.is_under_way(&entries)) {
            self.settle_one().await?;
        }
        let batch = self.form(entries, to, stop).await?;
        if let Some(ahead) = &mut self.ahead {
            block_in_place(|| ahead.lane.flight.send(batch, &self.sender, stop));
        }
        Ok(())
    }

    /// Whether a poll of these is on its way in either lane.
    pub(super) fn is_under_way(&self, entries: &[Taken]) -> bool {
        self.lane.flight.has_polls_of(entries)
            || self.ahead.as_ref().is_some_and(|ahead| ahead.lane.flight.has_polls_of(entries))
    }

    async fn settle_one(&mut self) -> Result<(), Stopped> {
        let stored = self.stored().await?;
        self.note_stored(stored);
        Ok(())
    }

    /// The oldest batch of a lane, once it is stored, and whether the lane is that of what is live.
    async fn stored(&mut self) -> Result<((Sent, Spans), bool), Stopped> {
        let Some(ahead) = &mut self.ahead else {
            return Ok((self.lane.flight.stored().await?, false));
        };
        tokio::select! {
            sent = self.lane.flight.stored() => Ok((sent?, false)),
            sent = ahead.lane.flight.stored() => Ok((sent?, true)),
        }
    }

    fn note_stored(&mut self, (sent, is_ahead): ((Sent, Spans), bool)) {
        let Some(ahead) = self.ahead.as_mut().filter(|_| is_ahead) else {
            return self.take_in(sent);
        };
        let (sent, polls) = sent;
        ahead.stored = sent.batch.mark.to;
        self.log.note(Mark::Ahead { from: ahead.from, to: ahead.stored }.bytes());
        self.progress.live(0);
        self.metrics.batch(sent.batch.rows());
        block_in_place(|| self.take_in_stored(&sent, polls));
    }
}
