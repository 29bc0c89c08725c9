//! What vendors publish of what they take, as checks: each gives what is wrong.

use serde_json::Value;

fn check(problems: &mut Vec<String>, holds: bool, what: &str) {
    if !holds {
        problems.push(what.to_owned());
    }
}

fn chars(value: &Value) -> Option<usize> {
    value.as_str().map(|text| text.chars().count())
}

fn is_time(value: &Value) -> bool {
    // RFC 3339, as all of them want it.
    value
        .as_str()
        .is_some_and(|text| text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z'))
}

fn is_link(value: &Value) -> bool {
    value.as_str().is_some_and(|url| url.starts_with("http://") || url.starts_with("https://"))
}

/// <https://developer.pagerduty.com/docs/send-alert-event>
pub(crate) fn pagerduty(event: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut want = |holds, what: &str| check(&mut problems, holds, what);
    want(chars(&event["routing_key"]) == Some(32), "routing_key has 32 characters");
    want(event.to_string().len() <= 512 * 1024, "an event has 512 KB at most");
    want(chars(&event["dedup_key"]).is_some_and(|n| (1..=255).contains(&n)), "dedup_key");
    let known = [
        "routing_key",
        "event_action",
        "dedup_key",
        "payload",
        "client",
        "client_url",
        "links",
        "images",
    ];
    let keys = event.as_object().into_iter().flatten();
    keys.for_each(|(key, _)| want(known.contains(&key.as_str()), key));
    match event["event_action"].as_str() {
        Some("resolve" | "acknowledge") => return problems,
        Some("trigger") => {}
        _ => want(false, "event_action"),
    }
    let payload = &event["payload"];
    want(chars(&payload["summary"]).is_some_and(|n| (1..=1024).contains(&n)), "summary");
    want(chars(&payload["source"]).is_some_and(|n| n > 0), "source");
    let severities = ["critical", "error", "warning", "info"];
    want(payload["severity"].as_str().is_some_and(|it| severities.contains(&it)), "severity");
    want(payload["timestamp"].is_null() || is_time(&payload["timestamp"]), "timestamp");
    want(payload["custom_details"].is_object(), "custom_details");
    for link in event["links"].as_array().into_iter().flatten() {
        want(is_link(&link["href"]) && link["text"].is_string(), "a link has href and text");
    }
    problems
}

/// <https://docs.slack.dev/reference/block-kit/blocks>
pub(crate) fn slack(message: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut want = |holds, what: &str| check(&mut problems, holds, what);
    want(chars(&message["text"]).is_some_and(|n| n > 0), "text is the fallback");
    let blocks = message["blocks"].as_array().cloned().unwrap_or_default();
    want((1..=50).contains(&blocks.len()), "1 to 50 blocks");
    for block in &blocks {
        let text = &block["text"];
        match block["type"].as_str() {
            Some("header") => {
                want(text["type"] == "plain_text", "a header is plain text");
                want(chars(&text["text"]).is_some_and(|n| (1..=150).contains(&n)), "header");
            }
            Some("section") => {
                want(text["type"] == "mrkdwn", "a section is mrkdwn");
                want(chars(&text["text"]).is_some_and(|n| (1..=3000).contains(&n)), "section");
                want(is_escaped(text["text"].as_str().unwrap_or_default()), "escapes");
            }
            Some("context") => {
                let elements = block["elements"].as_array().map_or(0, Vec::len);
                want((1..=10).contains(&elements), "1 to 10 elements");
            }
            _ => want(false, "a block of another type"),
        }
    }
    problems
}

/// `&`, `<` and `>` stand for themselves only as entities; else they make links.
fn is_escaped(text: &str) -> bool {
    let entities = ["&amp;", "&lt;", "&gt;"];
    let ampersands = text
        .match_indices('&')
        .all(|(at, _)| entities.iter().any(|entity| text[at..].starts_with(entity)));
    let links = text.match_indices('<').all(|(at, _)| text[at..].starts_with("<http"));
    ampersands && links && text.matches('<').count() == text.matches('>').count()
}

/// <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>
pub(crate) fn webhook(body: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let mut want = |holds, what: &str| check(&mut problems, holds, what);
    want(body["version"] == "4", "version");
    for key in ["groupKey", "status", "receiver", "externalURL"] {
        want(body[key].is_string(), key);
    }
    for key in ["groupLabels", "commonLabels", "commonAnnotations"] {
        let strings = body[key].as_object().is_some_and(|it| it.values().all(Value::is_string));
        want(strings, key);
    }
    want(body["truncatedAlerts"].is_u64(), "truncatedAlerts");
    let alerts = body["alerts"].as_array().cloned().unwrap_or_default();
    want(!alerts.is_empty(), "alerts");
    for alert in &alerts {
        want(alert["status"] == "firing" || alert["status"] == "resolved", "an alert's status");
        want(is_time(&alert["startsAt"]) && is_time(&alert["endsAt"]), "an alert's times");
        want(alert["generatorURL"].is_string(), "generatorURL");
        want(chars(&alert["fingerprint"]) == Some(16), "fingerprint");
        want(alert["labels"]["alertname"].is_string(), "alertname");
    }
    problems
}

#[test]
fn what_vendors_refuse_is_found() {
    let event =
        serde_json::json!({"routing_key": "x", "event_action": "trigger", "eventAction": 1});
    assert!(pagerduty(&event).len() > 4);
    let block =
        serde_json::json!({"type": "section", "text": {"type": "mrkdwn", "text": "a & <b>"}});
    assert_eq!(slack(&serde_json::json!({"text": "a", "blocks": [block]})), ["escapes"]);
    assert!(webhook(&serde_json::json!({"version": "3"})).contains(&"version".to_owned()));
}
