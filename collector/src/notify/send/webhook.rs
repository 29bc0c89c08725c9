//! The generic webhook: Alertmanager's body, version "4". Commands get the same on stdin.

use std::collections::BTreeMap;
use std::time::SystemTime;

use reqwest::Client;
use serde::Serialize;

use super::{Delivery, http};
use crate::notify::dispatch::Notification;
use crate::notify::message;
use crate::notify::queue::Retry;
use crate::notify::settings::{Webhook, WebhookUrl};
use crate::notify::{Alert, Status};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: &'static str,
    group_key: &'a str,
    truncated_alerts: usize,
    status: Status,
    receiver: &'a str,
    group_labels: &'a BTreeMap<String, String>,
    common_labels: BTreeMap<&'a str, &'a str>,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<BodyAlert<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodyAlert<'a> {
    status: Status,
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// What Go writes for a time that there is not.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// The body of a notification.
pub(super) fn body(
    notification: &Notification,
    external_url: &str,
) -> Result<Vec<u8>, serde_json::Error> {
    let alerts = &notification.alerts;
    serde_json::to_vec(&Body {
        version: "4",
        group_key: &notification.group.key,
        truncated_alerts: notification.left_out,
        status: notification.status(),
        receiver: &notification.group.receiver,
        group_labels: &notification.labels,
        common_labels: in_common(alerts.iter().map(|alert| &alert.labels)),
        common_annotations: in_common(alerts.iter().map(|alert| &alert.annotations)),
        external_url,
        alerts: alerts.iter().map(|alert| of_alert(alert, external_url)).collect(),
    })
}

fn of_alert<'a>(alert: &'a Alert, external_url: &str) -> BodyAlert<'a> {
    BodyAlert {
        status: alert.status(),
        labels: &alert.labels,
        annotations: &alert.annotations,
        starts_at: time(alert.starts_at),
        ends_at: alert.ends_at.map_or_else(|| NO_TIME.to_owned(), time),
        generator_url: message::address(&alert.generator_url, external_url).unwrap_or_default(),
        fingerprint: alert.fingerprint().to_string(),
    }
}

/// A time as RFC 3339 has it.
pub(super) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// What all have alike.
fn in_common<'a>(
    mut all: impl Iterator<Item = &'a BTreeMap<String, String>>,
) -> BTreeMap<&'a str, &'a str> {
    let first = all.next().into_iter().flatten();
    let mut common: BTreeMap<&str, &str> =
        first.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    for other in all {
        common.retain(|name, value| other.get(*name).is_some_and(|it| it == value));
    }
    common
}

/// Sends it.
pub(super) async fn send(
    settings: &Webhook,
    client: &Client,
    notification: &Notification,
    external_url: &str,
) -> Delivery {
    let body = match body(notification, external_url) {
        Ok(body) => body,
        Err(error) => return Delivery::Refused(error.to_string()),
    };
    match &settings.url {
        WebhookUrl::Known(url) => http::post(client, url.as_str(), &settings.http, body, &[]).await,
        WebhookUrl::Secret(file) => match file.read() {
            Ok(url) => {
                http::post(client, url.expose(), &settings.http, body, &[url.expose()]).await
            }
            Err(error) => Delivery::Again(error.to_string(), Retry::Receiver(None)),
        },
    }
}
