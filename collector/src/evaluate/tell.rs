//! Alerts as receivers and the history take them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdup::advice;

use super::silences;
use crate::alerts::{self, Labels, Told, Transition};
use crate::notify::{Alert, AlreadyTold, Fingerprint, Last, Sent, Status};
use crate::store::{LastTold, NotificationRow, TransitionRow};

/// An alert as receivers are told of it.
pub(super) fn alert(told: &Told<'_>, external_url: &str) -> Alert {
    Alert {
        labels: told.alert.labels.clone(),
        annotations: annotations(told.alert, external_url),
        starts_at: time(told.fired_ms),
        ends_at: told.resolved_ms.map(time),
        generator_url: page(&told.alert.labels, external_url),
    }
}

/// A change as the history keeps it.
pub(super) fn transition(
    change: &Transition,
    evaluator: &str,
    external_url: &str,
) -> TransitionRow {
    let Transition { to, alert, at_ms, flaps } = change;
    let annotations = annotations(alert, external_url);
    TransitionRow { flaps: *flaps, ..row(alert, to.name(), &annotations, *at_ms, evaluator) }
}

/// A silence as the history keeps it: a state beside that of the alert.
pub(super) fn silence(change: &silences::Change, at_ms: u64, evaluator: &str) -> TransitionRow {
    let silences::Change { alert, why } = change;
    let state = if why.is_some() { "silenced" } else { "unsilenced" };
    let mut annotations = alert.annotations.clone();
    annotations.extend(why.iter().map(|why| ("silence".to_owned(), why.clone())));
    row(alert, state, &annotations, at_ms, evaluator)
}

fn row(
    alert: &alerts::Alert,
    state: &str,
    annotations: &Labels,
    at_ms: u64,
    evaluator: &str,
) -> TransitionRow {
    let pairs = |of: &Labels| of.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    TransitionRow {
        time: i64::try_from(at_ms).unwrap_or(i64::MAX),
        alert: alert.labels.get("alertname").cloned().unwrap_or_default(),
        fingerprint: fingerprint(&alert.labels),
        labels: pairs(&alert.labels),
        annotations: pairs(annotations),
        state: state.to_owned(),
        flaps: false,
        value: alert.value,
        evaluator: evaluator.to_owned(),
    }
}

/// A notification as the history keeps it.
pub(super) fn notification(sent: &Sent, evaluator: &str) -> NotificationRow {
    NotificationRow {
        time: i64::try_from(unix_ms(sent.at)).unwrap_or(i64::MAX),
        receiver: sent.receiver.clone(),
        group_key: sent.group_key.clone(),
        fingerprints: sent.alerts.iter().map(|(of, _)| of.to_string()).collect(),
        statuses: sent.alerts.iter().map(|(_, status)| status.name().to_owned()).collect(),
        outcome: sent.outcome.name().to_owned(),
        attempts: sent.tries,
        reason: sent.detail.clone(),
        evaluator: evaluator.to_owned(),
    }
}

/// Identity of an alert with these labels, in 16 hex digits.
pub(super) fn fingerprint(labels: &Labels) -> String {
    let alert = Alert {
        labels: labels.clone(),
        annotations: Labels::new(),
        starts_at: UNIX_EPOCH,
        ends_at: None,
        generator_url: String::new(),
    };
    alert.fingerprint().to_string()
}

/// What the rule says, with the value, links that lead somewhere and, where there is a stack, what to
/// write instead.
fn annotations(alert: &alerts::Alert, external_url: &str) -> Labels {
    let mut all = alert.annotations.clone();
    all.insert("value".into(), alert.value.to_string());
    all.insert("page_url".into(), page(&alert.labels, external_url));
    if let Some(runbook) = all.get_mut("runbook_url")
        && !runbook.contains("://")
    {
        *runbook = format!("{external_url}/{runbook}");
    }
    let frames: Vec<&str> =
        all.get("stack").map(|stack| stack.lines().collect()).unwrap_or_default();
    let cause = all.get("cause").map_or("", String::as_str);
    if let Some(advice) = advice::for_stall(&frames, cause) {
        all.entry("advice".into()).or_insert(advice.sentence.to_owned());
    }
    all
}

/// The page about a function or a service.
fn page(labels: &Labels, external_url: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    match (labels.get("service"), labels.get("function")) {
        (Some(service), Some(function)) => {
            query.append_pair("view", "function");
            query.append_pair("function", function).append_pair("in", service);
        }
        (Some(service), None) => drop(query.append_pair("service", service)),
        _ => return format!("{external_url}/"),
    }
    format!("{external_url}/?{}", query.finish())
}

/// What the history knows that a receiver was told.
pub(super) fn add(told: &mut AlreadyTold, row: LastTold) {
    let LastTold { receiver, group_key, fingerprint, status, time_ms, ended_ms } = row;
    let status = [Status::Firing, Status::Resolved].into_iter().find(|it| it.name() == status);
    let fingerprint = u64::from_str_radix(&fingerprint, 16).map(Fingerprint);
    if let (Some(status), Ok(fingerprint)) = (status, fingerprint) {
        let at = |ms: i64| u64::try_from(ms).ok().filter(|ms| *ms > 0).map(time);
        let last = Last { status, at: at(time_ms).unwrap_or(UNIX_EPOCH), ended: at(ended_ms) };
        told.add((receiver, group_key), fingerprint, last);
    }
}

/// Unix ms as a time.
pub(super) fn time(unix_ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(unix_ms)
}

/// A time as unix ms.
pub(super) fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{annotations, page};
    use crate::alerts::{Level, Machine, Observed, Sample, Timing};

    fn pairs(of: &[(&str, &str)]) -> super::Labels {
        of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn links_lead_to_the_page_and_the_runbook() {
        let labels = pairs(&[("service", "shop & co"), ("function", "shop::pay")]);
        assert_eq!(
            page(&labels, "http://h:1"),
            "http://h:1/?view=function&function=shop%3A%3Apay&in=shop+%26+co"
        );
        assert_eq!(page(&pairs(&[("service", "shop")]), "http://h"), "http://h/?service=shop");
        assert_eq!(page(&pairs(&[]), "http://h"), "http://h/");
    }

    #[test]
    fn an_alert_with_a_stack_has_advice() {
        let sample = Sample {
            labels: pairs(&[("service", "shop")]),
            annotations: pairs(&[
                ("stack", "clock_nanosleep\nstd::thread::sleep\nshop::pay at src/pay.rs:7"),
                ("cause", "sleep"),
                ("runbook_url", "docs/runbooks/poll-stalled.md"),
            ]),
            value: 7.5,
            level: Level::Over,
            began_ms: None,
        };
        let timing = Timing { for_ms: 0, keep_firing_ms: 0, gap_ms: 1, alerts_max: 1 };
        let mut machine = Machine::default();
        machine.step(&timing, 1, Observed::Rows { samples: vec![sample], complete: true });
        let told = annotations(machine.alerts().next().unwrap(), "https://h");
        let sleep = holdup::advice::by_id("thread-sleep").unwrap();
        assert_eq!(told["advice"], sleep.sentence);
        assert_eq!(told["runbook_url"], "https://h/docs/runbooks/poll-stalled.md");
        assert_eq!(told["value"], "7.5");
    }
}
