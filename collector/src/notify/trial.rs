//! A sample for one receiver: `holdup alerts test`.

use std::time::{Duration, SystemTime};

use super::dispatch::{GroupId, Notification};
use super::route::no_receiver;
use super::secret::SecretError;
use super::send::http::ClientError;
use super::send::{Delivery, Sender};
use super::{Outcome, Settings, Status, message};

/// Sends a sample to a receiver.
pub(crate) struct Trial {
    sender: Sender,
    began: SystemTime,
}

/// What became of one of the two messages.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) status: Status,
    /// None: it would be tried again.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) detail: String,
    pub(crate) took: Duration,
}

/// Why nothing can be sent: the configuration has to be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrialError {
    /// No such name.
    #[error("{0}")]
    Unknown(String),
    /// A secret that is not there.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Certificates.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Trial {
    /// For a receiver of these settings.
    pub(crate) fn new(settings: &Settings, receiver: &str) -> Result<Self, TrialError> {
        let found = settings.receivers.iter().find(|it| it.name == receiver);
        let Some(receiver) = found else {
            let names: Vec<&str> = settings.receivers.iter().map(|it| it.name.as_str()).collect();
            return Err(TrialError::Unknown(no_receiver(receiver, &names)));
        };
        receiver.check_secrets()?;
        let sender = Sender::new(receiver.clone(), settings.external_url.clone())?;
        Ok(Self { sender, began: SystemTime::now() })
    }

    /// The receiver's way.
    pub(crate) fn way(&self) -> &'static str {
        self.sender.receiver.way.kind()
    }

    /// Whether it is told when an alert is over.
    pub(crate) fn sends_resolved(&self) -> bool {
        self.sender.receiver.send_resolved
    }

    /// Sends the sample, firing or resolved, once.
    pub(crate) async fn send(&self, status: Status) -> Step {
        let now = SystemTime::now();
        let mut alert = message::sample(self.began);
        alert.ends_at = (status == Status::Resolved).then_some(now);
        let only = ["alertname", "service"];
        let labels = alert.labels.iter().filter(|(name, _)| only.contains(&name.as_str()));
        let notification = Notification {
            group: GroupId {
                receiver: self.sender.receiver.name.clone(),
                // Each trial is an incident of its own.
                key: format!("{{}}/test:{}", humantime::format_rfc3339_millis(self.began)),
            },
            labels: labels.map(|(name, value)| (name.clone(), value.clone())).collect(),
            alerts: vec![alert],
            left_out: 0,
            at: now,
            repeat: Duration::ZERO,
        };
        let began = std::time::Instant::now();
        let delivery = self.sender.send(&notification).await;
        let took = began.elapsed();
        let (outcome, detail) = match delivery {
            Delivery::Taken(text) => (Some(Outcome::Sent), text),
            Delivery::Refused(text) => (Some(Outcome::Refused), text),
            Delivery::Again(text, _) => (None, text),
        };
        Step { status, outcome, detail, took }
    }
}
