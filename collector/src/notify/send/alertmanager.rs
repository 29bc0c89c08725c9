//! Alertmanager's API v2, `POST /api/v2/alerts`, in the way in which Prometheus uses it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use reqwest::Client;
use serde::Serialize;

use super::{Delivery, http, webhook};
use crate::notify::settings::{Alertmanager, Url};
use crate::notify::{Alert, message};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: BTreeMap<String, &'a str>,
    annotations: BTreeMap<String, &'a str>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

/// An alert as it is sent, with the end that Alertmanager is to assume when it hears nothing more.
fn posted<'a>(alert: &'a Alert, assumed_end: SystemTime, external_url: &str) -> Posted<'a> {
    Posted {
        labels: named(&alert.labels),
        annotations: named(&alert.annotations),
        starts_at: webhook::time(alert.starts_at),
        ends_at: webhook::time(alert.ends_at.unwrap_or(assumed_end).max(alert.starts_at)),
        generator_url: message::address(&alert.generator_url, external_url),
    }
}

/// With names that Alertmanager takes: letters, digits and underscores. It drops empty values.
fn named(pairs: &BTreeMap<String, String>) -> BTreeMap<String, &str> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let named = pairs.iter().filter(|(name, value)| !name.is_empty() && !value.is_empty());
    named
        .map(|(name, value)| {
            let digit = name.starts_with(|c: char| c.is_ascii_digit());
            let prefix = if digit { "_" } else { "" };
            (format!("{prefix}{}", name.chars().map(plain).collect::<String>()), value.as_str())
        })
        .collect()
}

/// After this time without a word an alert counts as resolved: four times the longest between two.
pub(in crate::notify) fn assumed_end(
    now: SystemTime,
    resend: Duration,
    update_interval_max: Duration,
) -> SystemTime {
    now + 4 * resend.max(update_interval_max)
}

/// Tells all Alertmanagers; one that took it is enough, for they tell each other.
pub(in crate::notify) async fn send_until(
    settings: &Alertmanager,
    client: &Client,
    alerts: &[Alert],
    assumed_end: SystemTime,
    external_url: &str,
) -> Delivery {
    let posted: Vec<Posted<'_>> =
        alerts.iter().map(|alert| posted(alert, assumed_end, external_url)).collect();
    let all = settings.urls.iter().map(|url| tell(settings, client, url, &posted));
    let mut worst = None;
    let mut taken = None;
    for (url, delivery) in settings.urls.iter().zip(join_all(all).await) {
        match delivery {
            Delivery::Taken(text) => taken = Some(text),
            Delivery::Refused(text) => {
                tracing::warn!("{} refuses alerts: {text}", url.as_str());
                worst.get_or_insert(Delivery::Refused(text));
            }
            Delivery::Again(text, retry) => {
                tracing::warn!("{} does not take alerts: {text}", url.as_str());
                worst = Some(Delivery::Again(text, retry));
            }
        }
    }
    match (taken, worst) {
        (Some(text), None) => Delivery::Taken(text),
        (Some(_), Some(Delivery::Refused(text) | Delivery::Again(text, _))) => {
            Delivery::Taken(format!("by one at least; another: {text}"))
        }
        (_, Some(worst)) => worst,
        (None, None) => Delivery::Taken("nobody to tell".into()),
    }
}

/// As it is, for a test.
pub(super) async fn send(
    settings: &Alertmanager,
    client: &Client,
    alerts: &[Alert],
    external_url: &str,
) -> Delivery {
    let minute = Duration::from_secs(60);
    let end = assumed_end(SystemTime::now(), minute, minute);
    send_until(settings, client, alerts, end, external_url).await
}

/// Tells one Alertmanager. What it refuses as a whole is sent one by one: a bad alert must not keep
/// the good ones away, and is named.
async fn tell(
    settings: &Alertmanager,
    client: &Client,
    url: &Url,
    alerts: &[Posted<'_>],
) -> Delivery {
    let url = format!("{}/api/v2/alerts", url.as_str().trim_end_matches('/'));
    let whole = post(settings, client, &url, alerts).await;
    let Delivery::Refused(_) = &whole else { return whole };
    if alerts.len() == 1 {
        return whole;
    }
    let mut refused = Vec::new();
    for alert in alerts {
        match post(settings, client, &url, std::slice::from_ref(alert)).await {
            Delivery::Taken(_) => {}
            Delivery::Refused(text) => {
                let name = alert.labels.get("alertname").copied().unwrap_or_default();
                refused.push(format!("{name}: {text}"));
            }
            again @ Delivery::Again(..) => return again,
        }
    }
    let text = refused.first().cloned().unwrap_or_default();
    if refused.len() == alerts.len() {
        return Delivery::Refused(text);
    }
    tracing::warn!("{} of {} alerts are refused: {text}", refused.len(), alerts.len());
    Delivery::Taken(format!("{} of {} refused: {text}", refused.len(), alerts.len()))
}

async fn post(
    settings: &Alertmanager,
    client: &Client,
    url: &str,
    alerts: &[Posted<'_>],
) -> Delivery {
    match serde_json::to_vec(alerts) {
        Ok(body) => http::post(client, url, &settings.http, body, &[]).await,
        Err(error) => Delivery::Refused(error.to_string()),
    }
}
