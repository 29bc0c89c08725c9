//! What a person reads: made of labels and annotations, as far as there are any.

use std::time::{Duration, SystemTime};

use super::dispatch::Notification;
use super::{Alert, Status};

/// Frames of a stack that are shown; the page has the rest.
const FRAMES_SHOWN: usize = 8;
/// What a cut text ends with.
const CUT: char = '…';

/// Annotations and labels that are shown as a line each, with what they are called.
const FACTS: [(&str, &str); 13] = [
    ("service", "Service"),
    ("environment", "Environment"),
    ("instance", "Instance"),
    ("version", "Version"),
    ("runtime", "Runtime"),
    ("function", "Function"),
    ("blame", "Blame"),
    ("cause", "Cause"),
    ("duration", "Blocked for"),
    ("victims", "Tasks that wait"),
    ("lock_holder", "Lock held by"),
    ("value", "Value"),
    ("trace_id", "Trace id"),
];

/// Annotations that are addresses.
const LINKS: [(&str, &str); 4] = [
    ("page_url", "Page"),
    ("trace_url", "Trace"),
    ("runbook_url", "Runbook"),
    ("dashboard_url", "Dashboard"),
];

/// One line that says whether it fires, how many, what and where.
pub(super) fn title(notification: &Notification) -> String {
    let fires = notification.firing().count();
    let of_status = if fires == 0 { notification.alerts.len() } else { fires };
    let count = of_status + notification.left_out;
    let status = match notification.status() {
        Status::Firing => "FIRING",
        Status::Resolved => "RESOLVED",
    };
    let number = if count > 1 { format!(":{count}") } else { String::new() };
    let what = match notification.alerts.as_slice() {
        [only] => headline(only),
        alerts => {
            let labels: Vec<&str> = notification.labels.values().map(String::as_str).collect();
            match (labels.is_empty(), alerts.first()) {
                (true, Some(first)) => headline(first),
                _ => labels.join(" "),
            }
        }
    };
    one_line(&format!("[{status}{number}] {what}"))
}

/// What one alert is about, in one line.
pub(super) fn headline(alert: &Alert) -> String {
    let name = alert.labels.get("alertname").map_or("alert", String::as_str);
    match (text(alert, "summary"), text(alert, "service")) {
        (Some(summary), _) => one_line(summary),
        (None, Some(service)) => one_line(&format!("{name} {service}")),
        (None, None) => one_line(name),
    }
}

/// What is known of an alert, with its name.
pub(super) fn facts(alert: &Alert, now: SystemTime) -> Vec<(&'static str, String)> {
    let mut facts: Vec<_> =
        FACTS.iter().filter_map(|(key, name)| Some((*name, one_line(text(alert, key)?)))).collect();
    let since = humantime::format_rfc3339_seconds(alert.starts_at);
    let until = alert.ends_at.unwrap_or(now);
    let lasted = until.duration_since(alert.starts_at).unwrap_or_default();
    let lasted = humantime::format_duration(Duration::from_secs(lasted.as_secs()));
    facts.push(match alert.status() {
        Status::Firing => ("Firing since", format!("{since} ({lasted})")),
        Status::Resolved => ("Fired", format!("from {since} for {lasted}")),
    });
    facts
}

/// The first frames of the stack, leaf first.
pub(super) fn frames(alert: &Alert) -> Vec<&str> {
    let lines = alert.annotations.get("stack").map(String::as_str).unwrap_or_default().lines();
    lines.map(str::trim).filter(|line| !line.is_empty()).take(FRAMES_SHOWN).collect()
}

/// Where there is more, with what it is called. What begins with a slash is on our page.
pub(super) fn links(alert: &Alert, external_url: &str) -> Vec<(&'static str, String)> {
    let annotated = LINKS.iter().filter_map(|(key, name)| Some((*name, text(alert, key)?)));
    let generator = Some(alert.generator_url.as_str()).filter(|url| !url.is_empty());
    let mut links: Vec<(&'static str, String)> = Vec::new();
    for (name, url) in annotated.chain(generator.map(|url| ("Rule", url))) {
        let Some(url) = address(url, external_url) else { continue };
        // The page of an alert may also be that of its rule.
        if links.iter().all(|(_, known)| *known != url) {
            links.push((name, url));
        }
    }
    links
}

/// A whole address, if it is one.
pub(super) fn address(url: &str, external_url: &str) -> Option<String> {
    let url = url.trim();
    let whole = match url.strip_prefix('/') {
        Some(path) => format!("{external_url}/{path}"),
        None => url.to_owned(),
    };
    let parsed = reqwest::Url::parse(&whole).ok()?;
    let is_http = matches!(parsed.scheme(), "http" | "https") && parsed.host().is_some();
    is_http.then(|| parsed.into())
}

/// An annotation, or else a label of that name.
pub(super) fn text<'a>(alert: &'a Alert, key: &str) -> Option<&'a str> {
    let found = alert.annotations.get(key).or_else(|| alert.labels.get(key))?.trim();
    (!found.is_empty()).then_some(found)
}

/// All of a notification as plain text.
pub(super) fn plain(notification: &Notification, external_url: &str, alerts_max: usize) -> String {
    let mut lines = Vec::new();
    for alert in notification.alerts.iter().take(alerts_max) {
        let status = alert.status().name().to_uppercase();
        lines.push(format!("[{status}] {}", headline(alert)));
        lines.extend(text(alert, "description").map(str::to_owned));
        let facts = facts(alert, notification.at);
        lines.extend(facts.into_iter().map(|(name, value)| format!("{name}: {value}")));
        lines.extend(text(alert, "advice").map(|advice| format!("Advice: {}", one_line(advice))));
        let frames = frames(alert);
        if !frames.is_empty() {
            lines.push("Stack, leaf first:".into());
            lines.extend(frames.iter().map(|frame| format!("  {frame}")));
        }
        let links = links(alert, external_url);
        lines.extend(links.into_iter().map(|(name, url)| format!("{name}: {url}")));
        lines.push(String::new());
    }
    lines.extend(more(notification, alerts_max));
    lines.push(format!("All of it: {external_url}/"));
    lines.join("\n") + "\n"
}

/// That there are more than are shown.
pub(super) fn more(notification: &Notification, shown_max: usize) -> Option<String> {
    let all = notification.alerts.len() + notification.left_out;
    (all > shown_max).then(|| format!("… and {} more alerts", all - shown_max))
}

/// Without ends of lines and other signs that nobody sees.
pub(super) fn one_line(text: &str) -> String {
    let visible = text.split(|c: char| c.is_control() || c.is_whitespace());
    visible.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// At most so many characters; that it was cut is seen.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept = text.chars().take(chars_max.saturating_sub(1));
    kept.chain([CUT]).collect()
}

/// What is sent by `holdup alerts test`.
pub(super) fn sample(now: SystemTime) -> Alert {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Alert {
        labels: pairs(&[
            ("alertname", "HoldupTest"),
            ("severity", "warning"),
            ("service", "checkout"),
            ("function", "checkout::pay"),
        ]),
        annotations: pairs(&[
            ("summary", "This is a test: checkout::pay would block checkout"),
            (
                "description",
                "Sent by `holdup alerts test`. Nothing is wrong, nothing is to be done.",
            ),
            ("blame", "ledger::read_all (crate ledger)"),
            ("cause", "disk"),
            ("duration", "5.2s"),
            ("victims", "12"),
            ("stack", "std::fs::read\nledger::read_all\ncheckout::pay\ntokio::runtime::task::core"),
            ("advice", "Read with tokio::fs, or move the call into spawn_blocking"),
            ("page_url", "/"),
        ]),
        starts_at: now,
        ends_at: None,
        generator_url: "/".into(),
    }
}

/// A notification of alerts that were not written for people.
#[cfg(test)]
pub(super) fn hostile(count: usize) -> Notification {
    let long = "<@channel> & ```*_|\u{202e}ä \n".repeat(300);
    let url = format!("http://h/?{}", "&|<>".repeat(600));
    let mut alert = sample(SystemTime::UNIX_EPOCH);
    for text in alert.annotations.values_mut().chain(alert.labels.values_mut()) {
        text.clone_from(&long);
    }
    for (key, _) in LINKS {
        alert.annotations.insert(key.into(), format!("{url}{key}"));
    }
    let group = super::dispatch::GroupId { receiver: "a".into(), key: long };
    Notification {
        labels: alert.labels.clone(),
        alerts: vec![alert; count],
        group,
        left_out: 7,
        at: SystemTime::UNIX_EPOCH,
        repeat: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::super::dispatch::GroupId;
    use super::*;
    use std::time::UNIX_EPOCH;

    fn of(alerts: Vec<Alert>) -> Notification {
        let labels = alerts[0].labels.clone();
        let labels = labels.into_iter().filter(|(name, _)| name == "alertname").collect();
        let group = GroupId { receiver: "a".into(), key: "k".into() };
        Notification {
            group,
            labels,
            alerts,
            left_out: 0,
            at: UNIX_EPOCH + Duration::from_secs(60),
            repeat: Duration::ZERO,
        }
    }

    #[test]
    fn one_can_act_on_it() {
        let text = plain(&of(vec![sample(UNIX_EPOCH)]), "https://h.example", 10);
        for part in [
            "[FIRING] This is a test",
            "Function: checkout::pay\nBlame: ledger::read_all (crate ledger)\nCause: disk\n",
            "Blocked for: 5.2s\nTasks that wait: 12\n",
            "Firing since: 1970-01-01T00:00:00Z (1m)",
            "Advice: Read with tokio::fs",
            "  std::fs::read\n  ledger::read_all\n",
            "Page: https://h.example/\n",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
    }

    #[test]
    fn titles_count_and_have_one_line() {
        let mut one = sample(UNIX_EPOCH);
        one.annotations.insert("summary".into(), "a\r\nBcc: b\u{7}".into());
        assert_eq!(title(&of(vec![one.clone()])), "[FIRING] a Bcc: b");
        let mut over = one.clone();
        over.ends_at = Some(UNIX_EPOCH);
        assert_eq!(
            title(&of(vec![one.clone(), one.clone(), over.clone()])),
            "[FIRING:2] HoldupTest"
        );
        assert_eq!(title(&of(vec![over])), "[RESOLVED] a Bcc: b");
    }

    #[test]
    fn only_addresses_are_links() {
        let of = |url| address(url, "https://h.example");
        assert_eq!(of("/f?x=1").as_deref(), Some("https://h.example/f?x=1"));
        assert_eq!(of("javascript:alert(1)"), None);
        assert_eq!(of("nothing"), None);
    }

    #[test]
    fn what_is_cut_is_seen_to_be() {
        assert_eq!((cut("äöü", 3), cut("äöü", 2)), ("äöü".into(), "ä…".into()));
    }
}
