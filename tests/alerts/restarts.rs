//! A collector that is killed in the middle of each state, and one that takes over from another.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use holdup_tests::collector::{Collector, eventually};
use serde_json::Value;

use super::{Webhook, alert, is, number};
use crate::durable::engine::Engine;

/// Rules over a table of the test: what waits waits for ten seconds.
const RULES: &str = "groups:
- name: slow
  interval: 1s
  rules:
  - alert: Slow
    expr: SELECT service, value FROM switch
    for: 10s
  - alert: Kept
    expr: SELECT service, value FROM switch
    keep_firing_for: 10s
  - alert: Fast
    expr: SELECT service, value FROM switch
";
const WAIT_MS: u64 = 10_000;
/// A collector is killed when so much of it is over.
const WAITED_MS: u64 = 6_000;
const SWITCH: &str = "CREATE TABLE switch (service String, value Float64) ENGINE = MergeTree \
                      ORDER BY service";

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    since.as_millis().try_into().expect("it fits")
}

/// The configuration with one of the rules, and a webhook that is told of it alone.
fn configuration(data: &Path, hook: &Webhook, rule: &str) -> String {
    let rules = data.join("rules.yaml");
    std::fs::write(&rules, RULES).expect("written");
    let path = data.join("holdup.toml");
    let text = format!(
        "alert_rules = ['{}']\n[[receivers]]\nname = 'hook'\nwebhook = {{ url = '{}' }}\n\
         [[receivers]]\nname = 'nobody'\ncommand = {{ argv = ['true'] }}\n\
         [route]\nreceiver = 'nobody'\n[[route.routes]]\nmatchers = ['alertname=\"{rule}\"']\n\
         receiver = 'hook'\ngroup_wait = '0s'\ngroup_interval = '1s'\n",
        rules.display(),
        hook.url,
    );
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// When an alert entered a state, unix ms, each time.
fn entered(collector: &Collector, rule: &str, state: &str) -> Vec<u64> {
    let sql = format!(
        "SELECT toUnixTimestamp64Milli(time) FROM alert_transitions FINAL \
         WHERE alert = '{rule}' AND state = '{state}' ORDER BY time"
    );
    collector.sql(&sql).lines().map(|line| line.parse().expect("a time")).collect()
}

/// Waits for so many more evaluations.
fn evaluated(collector: &Collector, more: f64) {
    let count = || number(collector, "holdup_rule_evaluations_total{outcome=\"ok\"}");
    let before = count();
    eventually("rules are evaluated", || (count() >= before + more).then_some(()));
}

/// What it keeps of the alerts of a rule.
fn kept(data: &Path, rule: &str) -> Option<Value> {
    let text = std::fs::read(data.join("alerts/evaluation.json")).ok()?;
    let kept: Value = serde_json::from_slice(&text).ok()?;
    Some(kept["rules"][rule]["alerts"].clone())
}

/// Waits until there is nothing left to be sent, as the disk has it.
fn all_sent(data: &Path) {
    eventually("it is on disk that all is sent", || {
        let text = std::fs::read(data.join("alerts/notifications.json")).ok()?;
        let kept: Value = serde_json::from_slice(&text).ok()?;
        (kept["waiting"] == Value::Array(Vec::new())).then_some(())
    });
}

#[test]
fn killed_while_an_alert_waits_to_fire_it_fires_when_its_time_is_over() {
    let data = tempfile::tempdir().expect("a folder");
    let hook = Webhook::start();
    let config = configuration(data.path(), &hook, "Slow");
    let collector = Collector::start(data.path(), &["--config", &config]);
    collector.sql(SWITCH);
    collector.sql("INSERT INTO switch VALUES ('waits', 1)");
    let pending = eventually("it is pending", || entered(&collector, "Slow", "pending").pop());
    eventually("it has waited", || (now_ms() >= pending + WAITED_MS).then_some(()));
    assert!(entered(&collector, "Slow", "firing").is_empty());
    collector.kill();

    let collector = Collector::start(data.path(), &["--config", &config]);
    let started = now_ms();
    eventually("a page", || (hook.told("waits", "firing") > 0).then_some(()));
    let fired = eventually("it fires", || entered(&collector, "Slow", "firing").pop());
    assert!(fired >= pending + WAIT_MS, "it fired early");
    assert!(fired < started + WAITED_MS, "it waited anew: {} ms", fired - started);
    evaluated(&collector, 20.0);
    assert_eq!(hook.told("waits", "firing"), 1);
    assert_eq!(entered(&collector, "Slow", "pending"), [pending]);
}

#[test]
fn killed_while_an_alert_is_kept_firing_it_is_over_when_its_time_is_and_stays_so() {
    let data = tempfile::tempdir().expect("a folder");
    let hook = Webhook::start();
    let config = configuration(data.path(), &hook, "Kept");
    let collector = Collector::start(data.path(), &["--config", &config]);
    collector.sql(SWITCH);
    collector.sql("INSERT INTO switch VALUES ('kept', 1)");
    eventually("a page", || (hook.told("kept", "firing") > 0).then_some(()));
    all_sent(data.path());
    collector.sql("TRUNCATE TABLE switch");
    let absent = eventually("it is on disk that its row is gone", || {
        kept(data.path(), "Kept")?[0]["firing"]["absent_ms"].as_u64()
    });
    eventually("it has waited", || (now_ms() >= absent + WAITED_MS).then_some(()));
    collector.kill();

    let collector = Collector::start(data.path(), &["--config", &config]);
    let started = now_ms();
    eventually("its end", || (hook.told("kept", "resolved") > 0).then_some(()));
    let over = eventually("it is over", || entered(&collector, "Kept", "resolved").pop());
    assert!(over >= absent + WAIT_MS, "it was over early");
    assert!(over < started + WAITED_MS, "it waited anew: {} ms", over - started);
    all_sent(data.path());
    collector.kill();

    // Once more, while receivers would still be told that it is over.
    let collector = Collector::start(data.path(), &["--config", &config]);
    evaluated(&collector, 20.0);
    assert_eq!((hook.told("kept", "firing"), hook.told("kept", "resolved")), (1, 1));
    let entered = |state| entered(&collector, "Kept", state).len();
    assert_eq!((entered("firing"), entered("resolved")), (1, 1));
}

#[test]
fn killed_while_a_page_waits_for_its_receiver_it_is_told_once() {
    let data = tempfile::tempdir().expect("a folder");
    let hook = Webhook::start();
    let config = configuration(data.path(), &hook, "Fast");
    hook.refuse("queued");
    let collector = Collector::start(data.path(), &["--config", &config]);
    collector.sql(SWITCH);
    collector.sql("INSERT INTO switch VALUES ('queued', 1)");
    eventually("it is tried", || (hook.refused() > 0).then_some(()));
    collector.kill();

    let collector = Collector::start(data.path(), &["--config", &config]);
    let before = hook.refused();
    eventually("it is tried again", || (hook.refused() > before).then_some(()));
    hook.refuse("nobody");
    eventually("a page", || (hook.told("queued", "firing") > 0).then_some(()));
    evaluated(&collector, 20.0);
    assert_eq!(hook.told("queued", "firing"), 1);
    assert_eq!(entered(&collector, "Fast", "firing").len(), 1);
}

/// Starts a collector that has this id among those that evaluate.
fn start_as(id: &str, folder: &Path, arguments: &[&str]) -> Collector {
    let state = folder.join("alerts");
    std::fs::create_dir_all(&state).expect("a folder");
    let kept = format!(r#"{{"version": 1, "evaluator": "{id}", "rules": {{}}}}"#);
    std::fs::write(state.join("evaluation.json"), kept).expect("written");
    Collector::start(folder, arguments)
}

#[test]
fn what_a_leader_could_not_tell_before_it_died_another_tells_and_nothing_twice() {
    let data = tempfile::tempdir().expect("a folder");
    let engine = Engine::start(&data.path().join("engine"));
    let url = engine.url();
    let hook = Webhook::start();
    let [one, two] = ["one", "two"].map(|name| data.path().join(name));
    for folder in [&one, &two] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let config = configuration(&one, &hook, "Fast");
    let arguments = ["--clickhouse-url", &url, "--config", &config];
    let leads = |collector: &Collector| number(collector, "holdup_alerts_leader") > 0.0;

    let second = start_as("b", &two, &arguments);
    second.sql(SWITCH);
    second.sql("INSERT INTO switch VALUES ('told', 1)");
    eventually("a page", || (hook.told("told", "firing") > 0).then_some(()));
    let noted = "SELECT count() FROM alert_notifications WHERE receiver = 'hook'";
    eventually("the history has it", || (second.sql(noted) == "1").then_some(()));
    // The lowest id leads: this one takes over although the other is well.
    let first = start_as("a", &one, &arguments);
    eventually("one leads", || (leads(&first) && !leads(&second)).then_some(()));
    hook.refuse("untold");
    first.sql("INSERT INTO switch VALUES ('untold', 1)");
    eventually("it is tried", || (hook.refused() > 0).then_some(()));
    eventually("the other knows of it", || {
        (number(&second, "holdup_alerts{state=\"firing\"}") > 5.0).then_some(())
    });
    first.kill();
    hook.refuse("nobody");
    eventually("the other tells it", || (hook.told("untold", "firing") > 0).then_some(()));
    assert!(leads(&second));
    evaluated(&second, 20.0);
    assert_eq!((hook.told("told", "firing"), hook.told("untold", "firing")), (1, 1));
    second.sql("TRUNCATE TABLE switch");
    eventually("all is over", || (hook.told("told", "resolved") > 0).then_some(()));
    eventually("all is over", || (hook.told("untold", "resolved") > 0).then_some(()));
    assert!(is(alert(&second, "Fast", "told").as_ref(), "resolved"));
}
