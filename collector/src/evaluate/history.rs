//! What became of alerts, on its way to ClickHouse: a bounded queue, and a task that empties it. What
//! alerts became is on disk with their state until ClickHouse has it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::counters::Counters;
use crate::store::{NotificationRow, Store, TransitionRow};

/// The most rows that wait while ClickHouse is away. More are lost, and counted.
const WAITING_MAX: usize = 10_000;
const BATCH_MAX: usize = 1_000;
/// The most rows that are kept with the state of alerts, the last ones.
const KEPT_MAX: usize = 1_000;
/// After a failure it waits, at first so long and then longer.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A row of it.
#[derive(Debug)]
enum Event {
    /// An alert entered a state: the next of those that wait.
    Transition,
    /// A receiver was told, or not.
    Notification(NotificationRow),
}

/// States that alerts entered, in order, until ClickHouse has them.
#[derive(Debug, Default)]
struct Transitions(Mutex<VecDeque<TransitionRow>>);

impl Transitions {
    fn rows(&self) -> MutexGuard<'_, VecDeque<TransitionRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way into the history.
pub(super) struct History {
    events: mpsc::Sender<Event>,
    transitions: Arc<Transitions>,
    /// How many of them, the last, wait for the state of alerts to be kept.
    held: usize,
    task: JoinHandle<()>,
    counters: Counters,
}

impl History {
    /// Starts the task, with what an earlier run could not note for certain.
    pub(super) fn start(store: Store, counters: Counters, unnoted: Vec<TransitionRow>) -> Self {
        let (events, waiting) = mpsc::channel(WAITING_MAX);
        let transitions = Arc::new(Transitions::default());
        let task = tokio::spawn(keep(store, waiting, Arc::clone(&transitions)));
        let mut history = Self { events, transitions, held: 0, task, counters };
        history.hold(unnoted);
        history.release();
        history
    }

    /// Takes states that alerts entered. They are noted once they are released.
    pub(super) fn hold(&mut self, rows: Vec<TransitionRow>) {
        self.held += rows.len();
        self.transitions.rows().extend(rows);
    }

    /// What ClickHouse may not have yet, to be kept with the state of alerts.
    pub(super) fn unnoted(&self) -> Vec<TransitionRow> {
        let rows = self.transitions.rows();
        rows.iter().skip(rows.len().saturating_sub(KEPT_MAX)).cloned().collect()
    }

    /// Has what is held noted, as far as there is room.
    pub(super) fn release(&mut self) {
        for left in (0..std::mem::take(&mut self.held)).rev() {
            if self.events.try_send(Event::Transition).is_err() {
                let mut rows = self.transitions.rows();
                let kept = rows.len().saturating_sub(left + 1);
                rows.truncate(kept);
                drop(rows);
                self.lost(left + 1);
                return;
            }
        }
    }

    /// Puts into the queue what a receiver was told, if there is room.
    pub(super) fn put(&self, row: NotificationRow) {
        if self.events.try_send(Event::Notification(row)).is_err() {
            self.lost(1);
        }
    }

    fn lost(&self, rows: usize) {
        self.counters.history_lost.inc_by(u64::try_from(rows).unwrap_or(u64::MAX));
    }

    /// Ends when ClickHouse has what waits, or the time is over.
    pub(super) async fn stop(self, within: Duration) {
        let Self { events, mut task, counters, .. } = self;
        let waiting = WAITING_MAX - events.capacity();
        drop(events);
        if timeout(within, &mut task).await.is_err() {
            task.abort();
            counters.history_lost.inc_by(u64::try_from(waiting).unwrap_or(u64::MAX));
        }
    }
}

async fn keep(store: Store, mut waiting: mpsc::Receiver<Event>, transitions: Arc<Transitions>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (mut entered, mut notifications) = (0, Vec::new());
        for event in batch.drain(..) {
            match event {
                Event::Transition => entered += 1,
                Event::Notification(row) => notifications.push(row),
            }
        }
        let first: Vec<TransitionRow> = transitions.rows().iter().take(entered).cloned().collect();
        // The tables replace a row that comes twice.
        let mut pause = PAUSE_MIN;
        while let Err(error) = insert(&store, &first, &notifications).await {
            tracing::warn!("the history of alerts waits for ClickHouse: {error}");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        transitions.rows().drain(..first.len());
    }
}

async fn insert(
    store: &Store,
    transitions: &[TransitionRow],
    notifications: &[NotificationRow],
) -> Result<(), crate::store::StoreError> {
    store.keep_transitions(transitions).await?;
    store.keep_notifications(notifications).await
}
