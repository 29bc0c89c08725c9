//! `PagerDuty`'s Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>.
//!
//! A group of alerts is one incident: its key is made of the group's, so that a repeat joins the
//! incident and the last alert's end resolves it.

use reqwest::Client;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Delivery, http, webhook};
use crate::notify::dispatch::Notification;
use crate::notify::message::{self, cut};
use crate::notify::queue::Retry;
use crate::notify::settings::Pagerduty;
use crate::notify::{Alert, Status};

const SUMMARY_CHARS_MAX: usize = 1_024;
const EVENT_BYTES_MAX: usize = 512 * 1_024;
/// Alerts whose details are in an event, as far as they fit.
const ALERTS_SHOWN: [usize; 4] = [20, 5, 1, 0];

/// Names an incident: the same group has the same.
fn dedup_key(notification: &Notification) -> String {
    let group = &notification.group;
    let hash = Sha256::digest(format!("{}\n{}", group.receiver, group.key).as_bytes());
    let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("holdup-{hex}")
}

/// The event, within `PagerDuty`'s bound.
fn event(notification: &Notification, external_url: &str, key: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for shown in ALERTS_SHOWN {
        bytes = of(notification, external_url, key, shown).to_string().into_bytes();
        if bytes.len() <= EVENT_BYTES_MAX {
            break;
        }
    }
    bytes
}

fn of(notification: &Notification, external_url: &str, key: &str, shown: usize) -> Value {
    let action = match notification.status() {
        Status::Firing => "trigger",
        Status::Resolved => {
            return json!({
                "routing_key": key,
                "event_action": "resolve",
                "dedup_key": dedup_key(notification),
            });
        }
    };
    let worst = worst(notification);
    let first = worst.or(notification.alerts.first());
    let label = |key| first.and_then(|alert| message::text(alert, key)).map(|text| cut(text, 255));
    let source = label("instance").or_else(|| label("service")).unwrap_or_else(|| "holdup".into());
    let links = first.map(|alert| message::links(alert, external_url)).unwrap_or_default();
    let links: Vec<Value> =
        links.iter().map(|(text, href)| json!({"href": href, "text": text})).collect();
    let mut payload = json!({
        "summary": cut(&message::title(notification), SUMMARY_CHARS_MAX),
        "source": source,
        "severity": worst.map_or("error", severity),
        "custom_details": details(notification, shown),
    });
    if let Value::Object(payload) = &mut payload {
        let since = notification.firing().map(|alert| alert.starts_at).min();
        payload.extend(since.map(|since| ("timestamp".into(), webhook::time(since).into())));
        let parts = [("component", "function"), ("group", "service"), ("class", "alertname")];
        payload.extend(
            parts
                .iter()
                .filter_map(|(name, key)| Some(((*name).to_owned(), Value::from(label(key)?)))),
        );
    }
    json!({
        "routing_key": key,
        "event_action": action,
        "dedup_key": dedup_key(notification),
        "client": "Holdup",
        "client_url": format!("{external_url}/"),
        "payload": payload,
        "links": links,
    })
}

/// The alert that is told as the incident's.
fn worst(notification: &Notification) -> Option<&Alert> {
    const ORDER: [&str; 4] = ["critical", "error", "warning", "info"];
    let rank = |alert: &&Alert| ORDER.iter().position(|it| *it == severity(alert));
    notification.firing().min_by_key(rank)
}

/// `PagerDuty` knows four.
fn severity(alert: &Alert) -> &'static str {
    match alert.labels.get("severity").map(String::as_str) {
        Some("critical" | "page") => "critical",
        Some("warning" | "ticket") => "warning",
        Some("info" | "none") => "info",
        _ => "error",
    }
}

fn details(notification: &Notification, shown: usize) -> Value {
    let mut details = Map::new();
    details.insert("firing".into(), notification.firing().count().into());
    let resolved = notification.alerts.len() - notification.firing().count();
    details.insert("resolved".into(), resolved.into());
    let all: Vec<Value> = notification
        .firing()
        .take(shown)
        .map(|alert| {
            let mut facts = Map::new();
            facts.insert("summary".into(), message::headline(alert).into());
            let known = message::facts(alert, notification.at);
            facts.extend(known.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
            for key in ["description", "advice"] {
                let text = message::text(alert, key);
                facts.extend(text.map(|text| (key.to_owned(), text.into())));
            }
            let frames = message::frames(alert);
            if !frames.is_empty() {
                facts.insert("stack".into(), frames.join("\n").into());
            }
            facts.into()
        })
        .collect();
    details.insert("alerts".into(), all.into());
    details.into()
}

/// Sends it.
pub(super) async fn send(
    settings: &Pagerduty,
    client: &Client,
    notification: &Notification,
    external_url: &str,
) -> Delivery {
    let key = match settings.routing_key_file.read() {
        Ok(key) => key,
        Err(error) => return Delivery::Again(error.to_string(), Retry::Receiver(None)),
    };
    let event = event(notification, external_url, key.expose());
    http::post(client, settings.url.as_str(), &settings.http, event, &[key.expose()]).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::hostile;

    #[test]
    fn whatever_an_alert_says_the_event_is_within_pagerdutys_bounds() {
        for count in [1, 500] {
            let bytes = event(&hostile(count), "https://h.example", "key");
            assert!(bytes.len() <= EVENT_BYTES_MAX, "{}", bytes.len());
            let event: Value = serde_json::from_slice(&bytes).unwrap();
            let summary = event["payload"]["summary"].as_str().unwrap().chars().count();
            assert!(summary <= SUMMARY_CHARS_MAX, "{summary}");
            assert!(event["payload"]["source"].as_str().unwrap().chars().count() <= 255);
            assert!(event["dedup_key"].as_str().unwrap().len() <= 255);
        }
    }
}
