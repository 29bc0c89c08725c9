//! Collects what the receivers took into batches, writes them, and answers for each.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::intake::{Delivery, Intake, NotTaken};
use super::repeats::Repeats;
use super::{Store, StoreError};
use crate::clock::now_ns;
use crate::decode::Decoded;
use crate::fold::{Change, Fold, Outline, Settings as FoldSettings};
use crate::metrics::Metrics;

/// Bounds of the writer, and of what waits for it.
#[derive(Clone, Debug)]
pub(crate) struct WriterSettings {
    /// A batch is written when it has so many rows,
    pub(crate) rows_max: usize,
    /// or when its first row is so old.
    pub(crate) age_max: Duration,
    /// Bytes that may wait for their write, over all requests.
    pub(crate) waiting_bytes_max: usize,
    /// How long a batch is tried before its senders are told to come again.
    pub(crate) patience: Duration,
    /// Poll spans that are remembered to recognise repeats.
    pub(crate) repeats_max: usize,
    /// How polls become episodes.
    pub(crate) fold: FoldSettings,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            rows_max: 50_000,
            age_max: Duration::from_millis(200),
            waiting_bytes_max: 256 << 20,
            patience: Duration::from_secs(5),
            repeats_max: 250_000,
            fold: FoldSettings::default(),
        }
    }
}

/// How often episodes are closed when nothing comes in.
const FOLD_TICK: Duration = Duration::from_secs(1);
/// Stacks whose row need not be sent again,
const KNOWN_STACKS_MAX: usize = 100_000;
/// within a day: then it is, so that its time of being seen moves on.
const KNOWN_STACKS_AGE_MAX: Duration = Duration::from_secs(86_400);
/// Returns when it is told to stop, or nobody is left to tell it.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _told = stop.wait_for(|stop| *stop).await.is_ok();
}

/// How long reading back may take at the start.
const RECOVER_TIME_MAX: Duration = Duration::from_secs(60);

/// Writes batches, folds them into episodes, and writes those.
pub(crate) struct Writer {
    store: Store,
    settings: WriterSettings,
    metrics: Arc<Metrics>,
    deliveries: mpsc::Receiver<Delivery>,
    repeats: Repeats,
    fold: Fold,
    /// Episodes that ClickHouse has not taken yet, by id, and whether they are to be taken away.
    episodes_due: HashMap<u64, (Outline, bool)>,
    known_stacks: HashSet<u64>,
    known_stacks_since: Instant,
    batches: u64,
    started_ns: u64,
    revision: u64,
}

impl Writer {
    /// A writer, and the intake that feeds it.
    pub(crate) fn new(
        store: Store,
        settings: WriterSettings,
        metrics: Arc<Metrics>,
    ) -> (Intake, Self) {
        let (intake, deliveries) = Intake::new(settings.waiting_bytes_max);
        let writer = Self {
            repeats: Repeats::new(settings.repeats_max),
            fold: Fold::new(settings.fold.clone()),
            store,
            settings,
            metrics,
            deliveries,
            episodes_due: HashMap::new(),
            known_stacks: HashSet::new(),
            known_stacks_since: Instant::now(),
            batches: 0,
            started_ns: now_ns(),
            revision: 0,
        };
        (intake, writer)
    }

    /// Folds again what an earlier run stored, so that episodes go on where they were, and what
    /// that run had no time to write is written.
    pub(crate) async fn recover(&mut self) -> Result<(), StoreError> {
        match timeout(RECOVER_TIME_MAX, self.read_back()).await {
            Ok(done) => done,
            Err(_late) => Err(self.store.late(RECOVER_TIME_MAX)),
        }
    }

    async fn read_back(&mut self) -> Result<(), StoreError> {
        let memory = u64::try_from(self.settings.fold.memory.as_nanos()).unwrap_or(u64::MAX);
        let horizon = i64::try_from(now_ns().saturating_sub(memory)).unwrap_or(i64::MAX);
        let limit = self.settings.fold.polls_max;
        // Episodes first: one that another collector writes meanwhile must not look stale.
        let mut stale = self.store.recent_episodes(horizon).await?;
        let polls = self.store.recent_polls(horizon, limit).await?;
        for poll in &polls {
            self.fold.push(poll);
        }
        self.repeats.remember(&polls);
        self.collect_changes();
        if polls.len() >= limit {
            tracing::warn!(
                "more than {limit} polls are under way in episodes: those that began before them \
                 are left as they were written"
            );
            return Ok(());
        }
        stale.retain(|episode| !self.episodes_due.contains_key(&episode.id()));
        let revision = self.next_revision();
        self.store.remove_episodes(&stale, revision).await?;
        self.write_episodes().await;
        Ok(())
    }

    /// Runs until it is told to stop and all that was taken is written.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                first = self.deliveries.recv() => match first {
                    Some(first) => {
                        let batch = self.gather(first).await;
                        self.write(batch).await;
                    }
                    None => break,
                },
                // From here on nothing more is taken, and what was is still written.
                () = told(&mut stop), if !self.deliveries.is_closed() => {
                    self.deliveries.close();
                }
                () = sleep(FOLD_TICK) => {}
            }
            self.collect_changes();
            self.write_episodes().await;
            self.metrics.fold(self.fold.remembered(), self.fold.counts());
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
            match timeout_at(due, self.deliveries.recv()).await {
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
            // A sender that has gone will send again.
            if !delivery.answer.is_closed() {
                rows.append(delivery.rows);
                answers.push((delivery.answer, delivery.room));
            }
        }
        self.metrics.repeated(self.repeats.take_out(&mut rows.polls));
        if self.known_stacks_since.elapsed() > KNOWN_STACKS_AGE_MAX {
            self.known_stacks.clear();
            self.known_stacks_since = Instant::now();
        }
        rows.stacks.retain(|stack| !self.known_stacks.contains(&stack.id));
        let outcome = self.write_rows(&rows).await;
        let answer = outcome.map_err(|error| {
            tracing::warn!(%error, "a batch of {} rows was refused", rows.rows());
            NotTaken::Store
        });
        for (sender, _room) in answers {
            // A client that went away meanwhile needs no answer.
            let _gone = sender.send(answer);
        }
        if answer.is_ok() {
            tokio::task::block_in_place(|| self.take_in(&rows));
        }
    }

    /// Notes what is stored. A large batch takes milliseconds of work.
    fn take_in(&mut self, rows: &Decoded) {
        self.repeats.remember(&rows.polls);
        if self.known_stacks.len() + rows.stacks.len() > KNOWN_STACKS_MAX {
            self.known_stacks.clear();
        }
        self.known_stacks.extend(rows.stacks.iter().map(|stack| stack.id));
        for span in &rows.polls {
            self.fold.push(span);
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
            let outcome = match timeout_at(deadline, self.insert(rows, &token)).await {
                Ok(outcome) => outcome,
                Err(_late) => Err(self.store.late(self.settings.patience)),
            };
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

    async fn insert(&self, rows: &Decoded, token: &str) -> Result<(), StoreError> {
        let seen = u32::try_from(now_ns() / 1_000_000_000).unwrap_or(u32::MAX);
        self.store.insert_stacks(&rows.stacks, seen, token).await?;
        self.store.insert_suspects(&rows.suspects, token).await?;
        self.store.insert_measured(&rows.measured, token).await?;
        self.store.insert_polls(&rows.polls, token).await
    }

    fn collect_changes(&mut self) {
        for change in self.fold.changes(now_ns()) {
            let (episode, removed) = match change {
                Change::Upsert(episode) => (episode, false),
                Change::Remove(episode) => (episode, true),
            };
            // Of what ClickHouse has not taken yet, only the last form matters.
            self.episodes_due.insert(episode.id, (episode, removed));
        }
    }

    async fn write_episodes(&mut self) {
        if self.episodes_due.is_empty() {
            return;
        }
        let revision = self.next_revision();
        let written = self.store.upsert_episodes(self.episodes_due.values(), revision);
        match timeout(self.settings.patience, written).await {
            Ok(Ok(())) => self.episodes_due.clear(),
            Ok(Err(error)) => tracing::warn!(%error, "episodes wait for ClickHouse"),
            Err(_late) => tracing::warn!("episodes wait for ClickHouse, which is slow"),
        }
    }

    /// A number that grows with every write, also when the clock is set back.
    fn next_revision(&mut self) -> u64 {
        self.revision = now_ns().max(self.revision + 1);
        self.revision
    }
}
