//! The rules and silences that a collector goes by, as its API tells them.

use std::path::Path;

use holdup_tests::collector::{Collector, eventually, get, signal};
use serde_json::{Value, json};

use super::{SWITCH, Webhook};

const RULES: &str = "groups:
- name: listed
  interval: 1s
  rules:
  - alert: Fires
    expr: SELECT service, value FROM switch
    labels: {severity: critical, team: '<script>alert(1)</script>'}
    annotations: {runbook_url: 'javascript:alert(2)'}
  - alert: Waits
    expr: SELECT service, value FROM switch
    for: 1h
  - alert: Broken
    expr: SELECT service, value FROM no_such_table
  - alert: Quiet
    measure: alerts_left_out
    threshold: 1
  - alert: Off
    expr: SELECT 1 AS value
    enabled: false
";
const SILENCES: &str = "[[silences]]\nmatchers = ['service=\"<b>\"', 'alertname=~\"F.*\"']\n\
    until = 2099-01-31T08:30:00Z\ncreated_by = 'Ann'\ncomment = '\"it\" is <i>moved</i>'\n\
    [[silences]]\nmatchers = ['service=\"old\"']\nuntil = 2020-01-01T00:00:00Z\ncomment = ''\n";

fn asked(collector: &Collector, path: &str) -> Value {
    let answer = get(&format!("{}/api/v1/{path}", collector.page()));
    assert_eq!(answer.status, 200, "{}", answer.text);
    serde_json::from_str(&answer.text).expect("JSON")
}

fn rule(collector: &Collector, name: &str) -> Value {
    let rules = asked(collector, "rules")["rules"].take();
    let rules = rules.as_array().expect("rules");
    rules.iter().find(|rule| rule["alert"] == name).expect("it is listed").clone()
}

/// The states of silences, in their order.
fn states(collector: &Collector) -> Vec<Value> {
    let silences = asked(collector, "silences")["silences"].take();
    silences.as_array().expect("silences").iter().map(|it| it["state"].clone()).collect()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
}

#[test]
fn rules_are_listed_with_their_states_and_silences_with_their_ends() {
    let data = tempfile::tempdir().expect("a folder");
    let hook = Webhook::start();
    let file = data.path().join("rules.yaml");
    write(&file, RULES);
    let config = hook.at_once(data.path());
    let of_receivers = std::fs::read_to_string(&config).expect("the configuration");
    write(Path::new(&config), &format!("{SILENCES}{of_receivers}"));
    let rules = file.display().to_string();
    let collector = Collector::start(data.path(), &["--alert-rules", &rules, "--config", &config]);
    assert!(asked(&collector, "rules")["rules"].as_array().expect("rules").len() > 5, "built in");
    collector.sql(SWITCH);
    collector.sql("INSERT INTO switch VALUES ('<b>', 1), ('b', 1)");

    let comes = |name: &str, state: &str| {
        eventually(&format!("{name} is {state}"), || {
            Some(rule(&collector, name)).filter(|rule| rule["state"] == state)
        })
    };
    let fires = comes("Fires", "firing");
    assert_eq!((&fires["firing"], &fires["pending"]), (&json!(2), &json!(0)));
    assert_eq!(fires["question"]["expr"], "SELECT service, value FROM switch");
    assert_eq!((&fires["interval_s"], &fires["severity"]), (&json!(1.0), &json!("critical")));
    assert_eq!(fires["labels"]["team"], "<script>alert(1)</script>");
    assert!(fires["file"].as_str().expect("a place").ends_with("rules.yaml:5"), "{fires}");
    let evaluated = fires["last_evaluation_ms"].as_u64().expect("a time");
    eventually("it is evaluated again", || {
        (rule(&collector, "Fires")["last_evaluation_ms"].as_u64() > Some(evaluated)).then_some(())
    });
    assert_eq!(comes("Waits", "pending")["for_s"], 3_600.0);
    assert_eq!(comes("Off", "off")["last_evaluation_ms"], Value::Null);
    assert_eq!(comes("Quiet", "inactive")["question"]["measure"], "alerts_left_out");
    let broken = eventually("it fails", || {
        Some(rule(&collector, "Broken")).filter(|rule| rule["failing_since_ms"].is_number())
    });
    let error = broken["error"].as_str().expect("a reason");
    assert!(error.contains("no_such_table"), "{error}");

    assert_eq!(states(&collector), ["active", "ended"]);
    let first = asked(&collector, "silences")["silences"][0].take();
    assert_eq!(first["matchers"], json!(["service=\"<b>\"", "alertname=~\"F.*\""]));
    assert_eq!(first["comment"], "\"it\" is <i>moved</i>");
    assert_eq!(
        (&first["created_by"], &first["ends_ms"]),
        (&json!("Ann"), &json!(4073531400000_u64))
    );

    // Both are read again; what can't be read changes nothing that is listed.
    write(&file, &RULES.replace("for: 1h", "for: 2h"));
    write(Path::new(&config), &of_receivers);
    signal(collector.pid(), "HUP");
    eventually("the rule changed", || {
        (rule(&collector, "Waits")["for_s"] == 7_200.0).then_some(())
    });
    assert_eq!(states(&collector), [""; 0]);
    assert_eq!(rule(&collector, "Fires")["state"], "firing");
    write(&file, "groups: [{name: g, rules: [{alert: A, exprr: x}]}]");
    signal(collector.pid(), "HUP");
    eventually("it was refused", || collector.log().contains("exprr").then_some(()));
    assert_eq!(rule(&collector, "Waits")["for_s"], 7_200.0);
}
