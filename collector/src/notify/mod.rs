//! Who is told of an alert, when and how: see `docs/alerting-receivers.md`.
//!
//! The rules say what fires (`Notifier::update`). `dispatch`, a pure state machine, says what is
//! sent to whom: by routes, groups, times and silences. What it decided is on disk before it is
//! sent, and is tried until a receiver took or refused it.
//!
//! A message is made of labels and annotations. Everything in them is optional:
//!
//! | label | is |
//! |---|---|
//! | `alertname` | the rule |
//! | `severity` | `critical`, `error`, `warning` or `info`; also `page` and `ticket` |
//! | `service`, `instance`, `function`, `runtime` | where |
//!
//! | annotation | is |
//! |---|---|
//! | `summary` | one line: what is wrong, where |
//! | `description` | some sentences |
//! | `blame` | the function to blame, with its crate |
//! | `cause` | why the poll took long |
//! | `duration` | for how long, as people write it |
//! | `victims` | tasks that had to wait |
//! | `stack` | frames, leaf first, one a line; the first are shown |
//! | `advice` | what to write instead |
//! | `value` | the value of the rule's expression |
//! | `page_url`, `trace_url`, `runbook_url`, `dashboard_url` | links; those that begin with `/` lead to our page |
//! | `trace_id` | 32 hex digits: with the setting `trace_url`, a link |
//! | `version`, `lock_holder` | shown as they are |
//!
//! Other annotations are sent along where a receiver takes them.

mod alert;
mod counters;
mod courier;
mod dispatch;
mod followed;
mod matcher;
mod message;
mod queue;
mod reached;
mod route;
mod secret;
mod send;
mod settings;
mod state;
mod stream;
mod told;
mod trial;
mod window;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub(crate) use alert::{Alert, Fingerprint, Outcome, Sent, Status};
pub(crate) use counters::Counters;
use courier::Courier;
pub(crate) use reached::Reached;
pub(crate) use route::RouteKeys;
use send::Sender;
use settings::Way;
pub(crate) use settings::{Keys, Receiver, Settings};
use state::StateFile;
pub(crate) use told::{AlreadyTold, Last, Lead};
pub(crate) use trial::{Step, Trial, TrialError};
pub(crate) use window::{Maintenance, Silence, Window};

/// Why nobody would be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A secret that is not there.
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
    /// A receiver that can't be reached safely.
    #[error(transparent)]
    Client(#[from] send::http::ClientError),
    /// The file of what was sent and what waits.
    #[error("cannot use {path}: {source}")]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What fires, at a time.
type Update = (Vec<Alert>, SystemTime);

/// Tells receivers of alerts.
pub(crate) struct Notifier {
    settings: Settings,
    updates: watch::Sender<Option<Update>>,
    task: JoinHandle<()>,
}

impl Notifier {
    /// Starts with what an earlier run left in `state_dir`. While it does not lead, another collector
    /// sends.
    ///
    /// # Errors
    ///
    /// Where a secret or the state can't be read.
    pub(crate) fn start(
        settings: Settings,
        state_dir: PathBuf,
        lead: watch::Receiver<Lead>,
        sent: mpsc::Sender<Sent>,
        counters: Counters,
    ) -> Result<Self, StartError> {
        settings.check_secrets()?;
        let senders = settings.receivers.iter().map(|receiver| {
            counters.begin(&receiver.name, &receiver.way);
            Sender::new(receiver.clone(), settings.external_url.clone())
        });
        let senders = senders.collect::<Result<Vec<_>, _>>()?;
        let state = StateFile::open(&state_dir)
            .map_err(|source| StartError::State { path: state_dir, source })?;
        let (updates, updated) = watch::channel(None);
        let courier = Courier::new(settings.clone(), senders, state, sent, counters);
        Ok(Self { settings, updates, task: tokio::spawn(courier.run(updated, lead)) })
    }

    /// Whether it could start with these settings.
    ///
    /// # Errors
    ///
    /// Where a secret or a certificate can't be read.
    pub(crate) fn check(settings: &Settings) -> Result<(), StartError> {
        settings.check_secrets()?;
        for receiver in &settings.receivers {
            Sender::new(receiver.clone(), settings.external_url.clone())?;
        }
        Ok(())
    }

    /// Takes all alerts that fire, and those resolved in the last 15 minutes. What was told of and
    /// is not among them for five minutes is taken for resolved: give nothing rather than a part
    /// when a query failed.
    pub(crate) fn update(&self, mut alerts: Vec<Alert>, now: SystemTime) {
        alerts.iter_mut().for_each(|alert| self.settings.link_trace(alert));
        self.updates.send_replace(Some((alerts, now)));
    }

    /// Ends after what is being sent, or when the time is over. What waits is on disk.
    pub(crate) async fn stop(self, within: Duration) {
        let Self { updates, mut task, .. } = self;
        drop(updates);
        if tokio::time::timeout(within, &mut task).await.is_err() {
            task.abort();
        }
    }
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
