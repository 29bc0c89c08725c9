//! Alerts that nobody is told of: the history and the page say so.

use std::path::Path;

use holdup_tests::collector::{Collector, eventually};
use serde_json::Value;

use super::{SWITCH, Webhook, alert, switched};

const SILENCE: &str = "[[silences]]\nmatchers = ['service=\"quiet\"']\n\
                       until = 2099-01-31T08:30:00Z\ncreated_by = 'Ann'\ncomment = 'it is moved'\n";

fn configuration(data: &Path, hook: &Webhook, silences: &str) -> String {
    let path = hook.at_once(data);
    let text = std::fs::read_to_string(&path).expect("the configuration");
    std::fs::write(&path, format!("{silences}{text}")).expect("written");
    path
}

/// What happened to the alert, the newest first, as the page has it.
fn events(collector: &Collector) -> Vec<(String, String)> {
    let rows = collector.ask("alert_history?service=quiet");
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(row, "event"), text(row, "reason"))).collect()
}

#[test]
fn an_alert_that_is_silenced_says_until_when_by_whom_and_why() {
    let data = tempfile::tempdir().expect("a folder");
    let hook = Webhook::start();
    let rules = switched(data.path());
    let config = configuration(data.path(), &hook, SILENCE);
    let arguments = ["--alert-rules", &rules, "--config", &config];
    let collector = Collector::start(data.path(), &arguments);
    collector.sql(&SWITCH.replace("Memory", "MergeTree ORDER BY service"));
    collector.sql("INSERT INTO switch VALUES ('quiet', 1), ('loud', 1)");
    let why = "until 2099-01-31 08:30 UTC, by Ann: it is moved";
    let silenced =
        |service: &str| Some(alert(&collector, "Switched", service)?["silenced"].clone());
    eventually("it is silenced", || (silenced("quiet")? == why).then_some(()));
    eventually("the other is told", || (hook.told("loud", "firing") > 0).then_some(()));
    assert_eq!(silenced("loud").expect("it fires"), "");
    let event = |event: &str, reason: &str| (event.to_owned(), reason.to_owned());
    assert_eq!(events(&collector), [event("silenced", why), event("firing", "")]);
    assert!(collector.stop().success());
    assert_eq!(hook.told("quiet", "firing"), 0);

    // The silence is taken away; what is known of it is not told again.
    let config = configuration(data.path(), &hook, "");
    let collector = Collector::start(data.path(), &["--alert-rules", &rules, "--config", &config]);
    eventually("it is told", || (hook.told("quiet", "firing") > 0).then_some(()));
    let told = ["notified: sent", "unsilenced", "silenced", "firing"];
    eventually("the history says so", || {
        let events = events(&collector);
        let names: Vec<&str> = events.iter().map(|(event, _)| event.as_str()).collect();
        (names == told).then_some(())
    });
    let row = alert(&collector, "Switched", "quiet").expect("it fires");
    assert_eq!((&row["state"], &row["silenced"]), (&"firing".into(), &"".into()));
}
