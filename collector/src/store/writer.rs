//! Collects what the receivers took into batches, writes them, and answers for each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::{Store, StoreError};
use crate::clock::now_ns;
use crate::decode::Decoded;
use crate::fold::{Change, Episode, Fold, Settings as FoldSettings};
use crate::metrics::Metrics;
use crate::span::{PollSpan, Stack, Suspect};

/// Bounds of the writer, and of what waits for it.
#[derive(Clone, Debug)]
pub(crate) struct WriterSettings {
    /// A batch is written when it has so many rows,
    pub(crate) rows_max: usize,
    /// or when its first row is so old.
    pub(crate) age_max: Duration,
    /// Rows that may wait for their write, over all requests.
    pub(crate) waiting_rows_max: u32,
    /// How long a batch is tried before its senders are told to come again.
    pub(crate) patience: Duration,
    /// How polls become episodes.
    pub(crate) fold: FoldSettings,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            rows_max: 50_000,
            age_max: Duration::from_millis(200),
            waiting_rows_max: 500_000,
            patience: Duration::from_secs(5),
            fold: FoldSettings::default(),
        }
    }
}

/// Requests that may wait for the writer.
const REQUESTS_MAX: usize = 4_096;
/// How often episodes are closed when nothing comes in.
const FOLD_TICK: Duration = Duration::from_secs(1);
/// Stacks whose row need not be sent again.
const KNOWN_STACKS_MAX: usize = 100_000;

/// Why rows were not taken. The sender should come again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// More waits already than may.
    #[error("holdup is overloaded: {0} rows wait for ClickHouse; send again later")]
    Overloaded(u32),
    /// ClickHouse did not take them in time.
    #[error("ClickHouse did not take the rows ({0}); send again later")]
    Store(String),
    /// The collector stops.
    #[error("holdup is shutting down; send again to its successor")]
    Stopping,
}

struct Delivery {
    rows: Decoded,
    _room: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<(), NotTaken>>,
}

/// Where the receivers hand over what they decoded.
#[derive(Clone)]
pub(crate) struct Intake {
    deliveries: mpsc::Sender<Delivery>,
    room: Arc<Semaphore>,
    room_max: u32,
}

impl Intake {
    /// Returns once the rows are in ClickHouse, or with the reason why none of them is.
    pub(crate) async fn store(&self, rows: Decoded) -> Result<(), NotTaken> {
        let count = u32::try_from(rows.rows()).unwrap_or(u32::MAX).clamp(1, self.room_max);
        let overloaded = NotTaken::Overloaded(self.room_max);
        let room = Arc::clone(&self.room)
            .try_acquire_many_owned(count)
            .map_err(|_full| overloaded.clone())?;
        let (answer, answered) = oneshot::channel();
        let delivery = Delivery { rows, _room: room, answer };
        match self.deliveries.try_send(delivery) {
            Ok(()) => answered.await.unwrap_or(Err(NotTaken::Stopping)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(NotTaken::Stopping),
        }
    }

    /// Rows that wait for their write.
    pub(crate) fn waiting_rows(&self) -> u64 {
        let free = u64::try_from(self.room.available_permits()).unwrap_or(0);
        u64::from(self.room_max).saturating_sub(free)
    }
}

/// Writes batches, folds them into episodes, and writes those.
pub(crate) struct Writer {
    store: Store,
    settings: WriterSettings,
    metrics: Arc<Metrics>,
    deliveries: mpsc::Receiver<Delivery>,
    fold: Fold,
    /// Episodes that ClickHouse has not taken yet.
    episodes_due: HashMap<u64, (Episode, bool)>,
    known_stacks: HashSet<u64>,
    batches: u64,
    started_ns: u64,
}

impl Writer {
    /// A writer, and the intake that feeds it. It ends when every intake is gone.
    pub(crate) fn new(
        store: Store,
        settings: WriterSettings,
        metrics: Arc<Metrics>,
    ) -> (Intake, Self) {
        let (sender, deliveries) = mpsc::channel(REQUESTS_MAX);
        let room_max = settings.waiting_rows_max;
        let room = Arc::new(Semaphore::new(usize::try_from(room_max).unwrap_or(usize::MAX)));
        let writer = Self {
            fold: Fold::new(settings.fold.clone()),
            store,
            settings,
            metrics,
            deliveries,
            episodes_due: HashMap::new(),
            known_stacks: HashSet::new(),
            batches: 0,
            started_ns: now_ns(),
        };
        (Intake { deliveries: sender, room, room_max }, writer)
    }

    /// Folds again what an earlier run stored, so that episodes go on where they were, and what
    /// that run had no time to write is written.
    pub(crate) async fn recover(&mut self) -> Result<(), StoreError> {
        let memory = u64::try_from(self.settings.fold.memory.as_nanos()).unwrap_or(u64::MAX);
        let horizon = i64::try_from(now_ns().saturating_sub(memory)).unwrap_or(i64::MAX);
        let limit = u64::try_from(self.settings.fold.polls_max).unwrap_or(u64::MAX);
        for poll in self.store.recent_polls(horizon, limit).await? {
            self.fold.push(&poll);
        }
        self.collect_changes();
        let mut stale = self.store.recent_episodes(horizon).await?;
        stale.retain(|episode| !self.episodes_due.contains_key(&episode.id()));
        self.store.remove_episodes(&stale, now_ns()).await?;
        self.write_episodes().await;
        Ok(())
    }

    /// Runs until every intake is gone and all that it took is written.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                first = self.deliveries.recv() => match first {
                    Some(first) => {
                        let batch = self.gather(first).await;
                        self.write(batch).await;
                    }
                    None => break,
                },
                () = sleep(FOLD_TICK) => {}
            }
            self.collect_changes();
            self.write_episodes().await;
            self.metrics.fold(self.fold.remembered(), self.fold.overflowed());
        }
        self.collect_changes();
        self.write_episodes().await;
        if !self.episodes_due.is_empty() {
            let count = self.episodes_due.len();
            tracing::warn!("{count} episodes were not written; the next start makes them again");
        }
    }

    /// Waits for more to write along with the first, within the bounds on rows and age.
    async fn gather(&mut self, first: Delivery) -> Vec<Delivery> {
        let mut rows = first.rows.rows();
        let mut batch = vec![first];
        let due = Instant::now() + self.settings.age_max;
        while rows < self.settings.rows_max {
            let left = due.saturating_duration_since(Instant::now());
            match timeout(left, self.deliveries.recv()).await {
                Ok(Some(next)) => {
                    rows += next.rows.rows();
                    batch.push(next);
                }
                Ok(None) | Err(_) => break,
            }
        }
        batch
    }

    async fn write(&mut self, batch: Vec<Delivery>) {
        let mut rows = Decoded::default();
        let mut answers = Vec::with_capacity(batch.len());
        for delivery in batch {
            rows.append(delivery.rows);
            answers.push((delivery.answer, delivery._room));
        }
        rows.stacks.retain(|stack| !self.known_stacks.contains(&stack.id));
        let outcome = self.write_rows(&rows).await;
        if outcome.is_ok() {
            self.remember_stacks(&rows.stacks);
            for span in &rows.polls {
                self.fold.push(span);
            }
        }
        let answer = outcome.map_err(|error| {
            tracing::warn!(%error, "a batch of {} rows was refused", rows.rows());
            NotTaken::Store(error.to_string())
        });
        for (sender, _room) in answers {
            // A client that went away needs no answer.
            let _gone = sender.send(answer.clone());
        }
    }

    /// Tries until ClickHouse takes the rows, or patience ends.
    async fn write_rows(&mut self, rows: &Decoded) -> Result<(), StoreError> {
        self.batches += 1;
        let token = format!("{:x}-{:x}", self.started_ns, self.batches);
        let deadline = Instant::now() + self.settings.patience;
        let mut pause = Duration::from_millis(100);
        loop {
            let began = Instant::now();
            let outcome = self.insert(&rows.polls, &rows.stacks, &rows.suspects, &token).await;
            self.metrics.insert(rows.rows(), began.elapsed(), outcome.is_ok());
            match outcome {
                Err(error) if Instant::now() + pause < deadline => {
                    tracing::debug!(%error, "insert failed, trying again in {pause:?}");
                    sleep(pause).await;
                    pause *= 2;
                }
                done => return done,
            }
        }
    }

    async fn insert(
        &self,
        polls: &[PollSpan],
        stacks: &[Stack],
        suspects: &[Suspect],
        token: &str,
    ) -> Result<(), StoreError> {
        let seen = u32::try_from(now_ns() / 1_000_000_000).unwrap_or(u32::MAX);
        self.store.insert_stacks(stacks, seen, token).await?;
        self.store.insert_suspects(suspects, token).await?;
        self.store.insert_polls(polls, token).await
    }

    fn remember_stacks(&mut self, stacks: &[Stack]) {
        if self.known_stacks.len() + stacks.len() > KNOWN_STACKS_MAX {
            self.known_stacks.clear();
        }
        self.known_stacks.extend(stacks.iter().map(|stack| stack.id));
    }

    fn collect_changes(&mut self) {
        for change in self.fold.changes(now_ns()) {
            let (episode, removed) = match change {
                Change::Upsert(episode) => (episode, false),
                Change::Remove(episode) => (episode, true),
            };
            // Of what ClickHouse has not taken yet, only the last form matters.
            self.episodes_due.insert(episode.id(), (episode, removed));
        }
    }

    async fn write_episodes(&mut self) {
        if self.episodes_due.is_empty() {
            return;
        }
        match self.store.upsert_episodes(self.episodes_due.values(), now_ns()).await {
            Ok(()) => self.episodes_due.clear(),
            Err(error) => tracing::warn!(%error, "episodes wait for ClickHouse"),
        }
    }
}
