//! The ways to receivers. Each sends one notification once; the courier tries again.

pub(super) mod alertmanager;
mod command;
mod email;
pub(super) mod http;
mod pagerduty;
mod slack;
mod webhook;

use std::time::Duration;

use super::dispatch::Notification;
use super::queue::Retry;
use super::settings::{Receiver, Way};

/// How long a receiver may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(15);

/// What became of a try. Texts have one line, and no secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It was taken.
    Taken(String),
    /// It never will be.
    Refused(String),
    /// Another time it may.
    Again(String, Retry),
}

/// A receiver, ready to be told.
pub(super) struct Sender {
    pub(super) receiver: Receiver,
    /// For those that are reached over HTTP.
    pub(super) client: Option<reqwest::Client>,
    pub(super) external_url: String,
}

impl Sender {
    /// # Errors
    ///
    /// Where certificates can't be read.
    pub(super) fn new(receiver: Receiver, external_url: String) -> Result<Self, http::ClientError> {
        let client = match &receiver.way {
            Way::Alertmanager(it) => Some(http::client(&it.http)?),
            Way::Pagerduty(it) => Some(http::client(&it.http)?),
            Way::Slack(it) => Some(http::client(&it.http)?),
            Way::Webhook(it) => Some(http::client(&it.http)?),
            Way::Email(_) | Way::Command(_) => None,
        };
        Ok(Self { receiver, client, external_url })
    }

    /// Notifications that are under way at a time.
    pub(super) fn side_by_side(&self) -> usize {
        match &self.receiver.way {
            Way::Pagerduty(_) | Way::Webhook(_) => 4,
            // In the order in which people are to read them.
            Way::Alertmanager(_) | Way::Slack(_) | Way::Email(_) | Way::Command(_) => 1,
        }
    }

    /// The least time from one notification to the next.
    pub(super) fn pause(&self) -> Duration {
        match &self.receiver.way {
            // About one a second is what Slack takes.
            Way::Slack(_) => Duration::from_secs(1),
            _ => Duration::ZERO,
        }
    }

    /// Tells it.
    pub(super) async fn send(&self, notification: &Notification) -> Delivery {
        match (&self.receiver.way, &self.client) {
            (Way::Pagerduty(it), Some(client)) => {
                pagerduty::send(it, client, notification, &self.external_url).await
            }
            (Way::Slack(it), Some(client)) => {
                slack::send(it, client, notification, &self.external_url).await
            }
            (Way::Webhook(it), Some(client)) => {
                webhook::send(it, client, notification, &self.external_url).await
            }
            (Way::Email(it), _) => email::send(it, notification, &self.external_url).await,
            (Way::Command(it), _) => command::send(it, notification, &self.external_url).await,
            // It is told by its stream.
            (Way::Alertmanager(it), Some(client)) => {
                alertmanager::send(it, client, &notification.alerts, &self.external_url).await
            }
            (_, None) => Delivery::Refused("there is no client, which is a bug in holdup".into()),
        }
    }
}

/// A text without any of the secrets, in one short line.
fn detail(text: &str, secrets: &[&str]) -> String {
    let mut text = super::message::one_line(text);
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(secret, "(secret)");
    }
    super::message::cut(&text, 300)
}
