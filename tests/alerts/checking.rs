//! What `holdup rules check` says of rules that can be evaluated, and surely mean something else.

use super::{holdup, text};

const RULES: &str = "groups:
- name: g
  rules:
  - alert: Clock
    expr: |
      SELECT service, count() AS value
      FROM poll_spans
      WHERE start > now() - toIntervalMinute(5)
      GROUP BY service
  - alert: Number
    expr: |
      SELECT service, line, max(self_ns) AS value
      FROM poll_spans
      GROUP BY service,
        line
    annotations: {summary: '{{ $info.line }}'}
  - alert: Changes
    expr: |
      SELECT service, toString(max(start)) AS seen_at, count() AS value
      FROM poll_spans
      GROUP BY service
";

#[test]
fn what_a_rule_surely_does_not_mean_is_warned_of_with_line_and_suggestion() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yaml");
    std::fs::write(&path, RULES).expect("written");
    let path = path.display().to_string();
    let ran = holdup(&["rules", "check", &path]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let told = text(&ran.stderr);
    for expected in [
        "rules.yaml:8: warning: Clock: `now()` is the clock of ClickHouse",
        "write {now:DateTime64(3)}\n",
        "rules.yaml:15: warning: Number: rows are grouped by `line`, which is no label",
        "select `toString(line) AS line`",
        "rules.yaml:19: warning: Changes: column `seen_at` is text, so it is a label",
        "put it into `info`",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in\n{told}");
    }
    assert_eq!(told.lines().count(), 3, "{told}");
    assert_eq!(holdup(&["rules", "check", "--strict", &path]).status.code(), Some(1));

    // A number that is taken for a label is told as what it is.
    let label = RULES.replace("{{ $info.line }}", "{{ $labels.line }}");
    std::fs::write(&path, label).expect("written");
    let ran = holdup(&["rules", "check", &path]);
    let told = text(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{told}");
    let expected = "there is no `$labels.line`: `line` is a number, which is told and no label; \
                    write `$info.line`, or select `toString(line) AS line`";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn rules_that_come_along_are_without_a_warning() {
    let ran = holdup(&["rules", "check", "--strict"]);
    assert!(ran.status.success() && ran.stderr.is_empty(), "{}", text(&ran.stderr));
}
