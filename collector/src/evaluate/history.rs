//! What became of alerts, on its way to ClickHouse: a bounded queue, and a task that empties it.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::counters::Counters;
use crate::store::{NotificationRow, Store, TransitionRow};

/// The most rows that wait while ClickHouse is away. More are lost, and counted.
const WAITING_MAX: usize = 10_000;
const BATCH_MAX: usize = 1_000;
/// After a failure it waits, at first so long and then longer.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A row of it.
#[derive(Debug)]
pub(super) enum Event {
    /// An alert entered a state.
    Transition(TransitionRow),
    /// A receiver was told, or not.
    Notification(NotificationRow),
}

/// The way into the history.
pub(super) struct History {
    events: mpsc::Sender<Event>,
    task: JoinHandle<()>,
    counters: Counters,
}

impl History {
    /// Starts the task.
    pub(super) fn start(store: Store, counters: Counters) -> Self {
        let (events, waiting) = mpsc::channel(WAITING_MAX);
        Self { events, task: tokio::spawn(keep(store, waiting)), counters }
    }

    /// Puts a row into the queue, if there is room.
    pub(super) fn put(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.counters.history_lost.inc();
        }
    }

    /// Ends when ClickHouse has what waits, or the time is over.
    pub(super) async fn stop(self, within: Duration) {
        let Self { events, mut task, counters } = self;
        let waiting = WAITING_MAX - events.capacity();
        drop(events);
        if timeout(within, &mut task).await.is_err() {
            task.abort();
            counters.history_lost.inc_by(u64::try_from(waiting).unwrap_or(u64::MAX));
        }
    }
}

async fn keep(store: Store, mut waiting: mpsc::Receiver<Event>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (mut transitions, mut notifications) = (Vec::new(), Vec::new());
        for event in batch.drain(..) {
            match event {
                Event::Transition(row) => transitions.push(row),
                Event::Notification(row) => notifications.push(row),
            }
        }
        // The tables replace a row that comes twice.
        let mut pause = PAUSE_MIN;
        while let Err(error) = insert(&store, &transitions, &notifications).await {
            tracing::warn!("the history of alerts waits for ClickHouse: {error}");
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
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
