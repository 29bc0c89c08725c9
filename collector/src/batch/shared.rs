//! Episodes whose polls come to several collectors: each reads what the others wrote of them, and
//! folds the polls that the others have stored.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::batcher::Batcher;
use crate::fold::{Disputed, Fold, Others};
use crate::store::StoreError;

/// How often what others wrote is read.
const INTERVAL: Duration = Duration::from_secs(5);
/// Of the time, reading takes this part at most.
const PART: u32 = 10;
/// How long it may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// A row may be seen so long after the time that it says it was stored at.
const SEEN_LATE: Duration = Duration::from_secs(30);
/// How often is looked for episodes that were left open.
const CLOSE_INTERVAL: Duration = Duration::from_secs(60);
/// So many functions in instances are asked for at once,
const KEYS: usize = 50;
/// in so many statements, before more is written.
const STATEMENTS_MAX: usize = 20;

/// How far what others wrote is read.
pub(super) struct Shared {
    others: Others,
    /// When it is to be read next.
    due: Instant,
    /// When it was read last.
    read: Option<Instant>,
    closed: Instant,
    /// The number of the last write of this run.
    pub(super) wrote: u64,
}

impl Shared {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { others: Others::default(), due: now, read: None, closed: now, wrote: 0 }
    }
}

impl Batcher {
    /// Takes in what others have written of episodes that have polls here. When ClickHouse does not
    /// answer, the next time reads what this one would have.
    pub(super) async fn share(&mut self) {
        let began = Instant::now();
        if began < self.shared.due {
            return;
        }
        match timeout(TIME_MAX, self.read_others()).await {
            Ok(Ok(())) => self.shared.read = Some(began),
            Ok(Err(error)) => tracing::warn!(%error, "what others wrote is read later"),
            Err(_late) => tracing::warn!("what others wrote is read later: ClickHouse is slow"),
        }
        self.shared.due = Instant::now() + INTERVAL.max(began.elapsed() * PART);
    }

    async fn read_others(&mut self) -> Result<(), StoreError> {
        let memory = self.settings.fold.memory;
        let since = self.shared.read.map_or(memory, |read| read.elapsed());
        for written in self.store.others_episodes(self.run, since + SEEN_LATE).await? {
            // What is written next is to hold over it, whatever the clocks say.
            self.revision = self.revision.max(written.revision);
            self.shared.others.take(&written);
        }
        let memory_ns = u64::try_from(memory.as_nanos()).unwrap_or(u64::MAX);
        self.shared.others.forget(self.folded_ns.saturating_sub(memory_ns));
        let disputed = self.fold.disputed(&mut self.shared.others);
        for some in disputed.chunks(KEYS).take(STATEMENTS_MAX) {
            self.settle_disputed(some).await?;
        }
        if self.shared.closed.elapsed() >= CLOSE_INTERVAL {
            self.store.close_left_open(self.run, memory * 2).await?;
            self.shared.closed = Instant::now();
        }
        Ok(())
    }

    async fn settle_disputed(&mut self, disputed: &[Disputed]) -> Result<(), StoreError> {
        let limit = self.settings.fold.polls_max / 10;
        let polls = self.store.polls_of(disputed, limit).await?;
        for one in disputed {
            if polls.len() >= limit && disputed.len() > 1 {
                Box::pin(self.settle_disputed(std::slice::from_ref(one))).await?;
            } else if polls.len() >= limit {
                let function = &one.function;
                tracing::warn!(
                    "an episode of {function} has polls at several collectors and more than \
                     {limit}: it stays in parts"
                );
                Fold::leave(one, &mut self.shared.others);
            } else {
                let polls: Vec<_> = polls.iter().filter(|poll| one.has(poll)).cloned().collect();
                self.fold.settle(one, &polls, &mut self.shared.others, self.shared.wrote);
            }
        }
        Ok(())
    }
}
