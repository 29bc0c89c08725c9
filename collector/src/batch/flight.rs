//! Batches on their way to ClickHouse, several at a time, so that what an outage left is stored
//! faster than more comes in.
//!
//! They end in the order in which they began, whichever is stored first: what the log says of how
//! far all is stored has no holes.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::repeats::identities;
use super::send::{Batch, Sender, Sent, Stopped};
use super::source::Taken;
use super::spans::{Spans, sought};

/// So many batches are under way at most. Each has a connection, and a thread of ClickHouse works
/// for it: more of them wait for each other in its merges, and take memory here.
const BATCHES_MAX: usize = 4;
/// With so many bytes of rows there is no room for another, either.
const BYTES_MAX: usize = 128 << 20;

/// The batches that are under way, the oldest first.
#[derive(Default)]
pub(super) struct Flight {
    batches: VecDeque<UnderWay>,
}

struct UnderWay {
    /// When the first of its entries came, ns since 1970.
    time_ns: u64,
    /// How much memory its rows take.
    bytes: usize,
    /// Its polls.
    polls: Spans,
    sending: JoinHandle<Result<Sent, Stopped>>,
}

impl Flight {
    /// Begins to send a batch with these polls.
    pub(super) fn send(
        &mut self,
        (batch, polls): (Batch, Spans),
        sender: &Arc<Sender>,
        stop: &watch::Receiver<bool>,
    ) {
        let time_ns = batch.entries.first().map_or(0, |entry| entry.time_ns);
        let bytes = batch.entries.iter().map(|entry| entry.rows.bytes).sum();
        let (sender, mut stop) = (Arc::clone(sender), stop.clone());
        let sending = tokio::spawn(async move { sender.send(batch, &mut stop).await });
        self.batches.push_back(UnderWay { time_ns, bytes, polls, sending });
    }

    /// The oldest and its polls, once it is stored; none is ever where none is under way. What it
    /// waits for goes on when the caller does not wait any longer.
    pub(super) async fn stored(&mut self) -> Result<(Sent, Spans), Stopped> {
        let Some(oldest) = self.batches.front_mut() else { return pending().await };
        let sent = (&mut oldest.sending).await;
        let polls = self.batches.pop_front().map(|oldest| oldest.polls).unwrap_or_default();
        let sent = sent.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(_cancelled) => Err(Stopped),
        })?;
        Ok((sent, polls))
    }

    /// Whether one of these entries has a poll that is on its way already. It is no repeat before
    /// ClickHouse took the first: that may be refused.
    pub(super) fn has_polls_of(&self, entries: &[Taken]) -> bool {
        let batches = || self.batches.iter().map(|batch| &batch.polls);
        let mut found = false;
        if !self.batches.is_empty() {
            sought(identities(entries).map(|poll| ((), poll)), |some| {
                batches().for_each(|spans| spans.fetch(some));
                found = some.iter().any(|(_, poll)| batches().any(|spans| spans.has(poll)));
                found
            });
        }
        found
    }

    /// When the first entry came that is under way, ns since 1970.
    pub(super) fn oldest_ns(&self) -> Option<u64> {
        self.batches.front().map(|oldest| oldest.time_ns)
    }

    /// Whether none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether there is no room for another.
    pub(super) fn is_full(&self) -> bool {
        let bytes: usize = self.batches.iter().map(|batch| batch.bytes).sum();
        self.batches.len() >= BATCHES_MAX || bytes >= BYTES_MAX
    }
}
