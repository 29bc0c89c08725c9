use std::time::Duration;

use super::super::{Question, Rule};
use super::parse;

fn rules(text: &str) -> Vec<Rule> {
    parse("a.yaml", text, false).unwrap()
}

/// What is wrong with a group of these rules, as it is printed.
fn wrong(text: &str) -> String {
    let problems = parse("a.yaml", text, false).unwrap_err();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

const GOOD: &str = "groups:
- name: stalls
  interval: 2s
  rules:
  - alert: Stalled
    expr: |
      SELECT service, value
      FROM polls;
    for: 1m30s
    keep_firing_for: 5m
    threshold: 5
    resolve_threshold: 2.5
    labels: {severity: critical, team: \"{{ $labels.service }}\"}
    info: [cause]
    annotations:
      summary: '{{ $labels.service }} stalled'
- name: own
  rules:
  - alert: Watchdog
    measure: always
  - alert: Off
    enabled: false
";

#[test]
fn a_rule_is_read_in_prometheus_s_shape() {
    let rules = rules(GOOD);
    let stalled = &rules[0];
    assert_eq!((stalled.name.as_str(), stalled.group.as_str()), ("Stalled", "stalls"));
    let Question::Sql(sql) = &stalled.question else { panic!("{stalled:?}") };
    assert_eq!((sql.text.as_str(), sql.line), ("SELECT service, value\nFROM polls", 7));
    assert_eq!(stalled.interval, Duration::from_secs(2));
    assert_eq!(stalled.timeout, Duration::from_secs(2), "no longer than the interval");
    assert_eq!(stalled.for_, Duration::from_secs(90));
    assert_eq!((stalled.threshold, stalled.resolve_threshold), (Some(5.0), Some(2.5)));
    assert_eq!(rules[1].interval, Duration::from_secs(60));
    assert!(rules[0].enabled && !rules[2].enabled);
}

#[test]
fn unknown_keys_have_a_line_and_the_one_that_was_meant() {
    let told = wrong("groups:\n- name: a\n  rules:\n  - alert: X\n    exprr: y\n");
    assert!(told.starts_with("a.yaml:5: unknown field `exprr`"), "{told}");
    assert!(told.ends_with("(did you mean `expr`?)"), "{told}");
    let told = wrong("groups:\n- name: a\n  rulez: []\n");
    assert!(told.contains("a.yaml:3:") && told.contains("`rules`?"), "{told}");
    let told = wrong("group: []\n");
    assert!(told.contains("`groups`?"), "{told}");
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_lines() {
    let text = "groups:
- name: a
  interval: 5 parsecs
  rules:
  - alert: Has-dash
    expr: x
    annotations:
      summary: '{{ $labels.service'
      other: '{{ $value | humanizeDuratoin }}'
    labels:
      value: '{{ $value }}'
      alertname: y
  - alert: Both
    expr: x
    measure: always
  - alert: Neither
  - alert: Measured
    measure: alwyas
    resolve_threshold: 5
";
    let told = wrong(text);
    for expected in [
        "a.yaml:3: interval: `5 parsecs` is no duration",
        "a.yaml:5: `Has-dash` is no name of an alert",
        "a.yaml:8: summary: a {{ without its }}",
        "a.yaml:9: other: unknown function `humanizeDuratoin`",
        "(did you mean `humanizeDuration`?)",
        "a.yaml:11: label `value`: labels say which alert it is",
        "a.yaml:12: label `alertname`",
        "a.yaml:14: a rule has `expr` or `measure`, not both",
        "a.yaml:16: a rule has either `expr`",
        "a.yaml:18: unknown measure `alwyas`",
        "(did you mean `always`?)",
        "a.yaml:17: `resolve_threshold` without `threshold`",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in\n{told}");
    }
}

#[test]
fn yaml_that_is_none_has_a_line() {
    assert!(
        wrong("groups: [\n").starts_with("a.yaml:1: unclosed bracket"),
        "{}",
        wrong("groups: [")
    );
    assert!(wrong("groups:\n\t- a").starts_with("a.yaml:2: tabs"));
    assert!(wrong("groups:\n- name: a\n  rules:\n  - expr: x\n").contains("missing field `alert`"));
    let twice = wrong("groups:\n- name: a\n  rules:\n  - alert: X\n    alert: Y\n");
    assert_eq!(twice, "a.yaml:5: duplicate mapping key: alert");
}

#[test]
fn bounds_of_time_hold() {
    let group = |keys: &str| format!("groups:\n- name: a\n  {keys}\n  rules: []\n");
    assert!(wrong(&group("interval: 10ms")).contains("less than a second"));
    assert!(wrong(&group("timeout: 5m")).contains("at most 30s"));
    let twice = wrong("groups:\n- name: a\n- name: a\n");
    assert!(twice.contains("a.yaml:3: a second group `a`"), "{twice}");
}
