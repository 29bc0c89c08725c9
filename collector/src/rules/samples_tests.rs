use serde_json::{Value, json};

use super::super::Rule;
use super::super::parse::parse;
use super::{Answer, Column, Kind, Level, problems_of_columns, samples};

fn rule(keys: &str) -> Rule {
    let text = format!(
        "groups:\n- name: a\n  rules:\n  - alert: A\n    expr: x\n    info: [cause]\n    {keys}\n"
    );
    parse("a.yaml", &text, false).unwrap().remove(0)
}

const TYPES: [(&str, &str); 6] = [
    ("service", "LowCardinality(String)"),
    ("cause", "LowCardinality(Nullable(String))"),
    ("frames", "Array(String)"),
    ("value", "Float64"),
    ("volume", "UInt64"),
    ("since", "DateTime64(3, 'UTC')"),
];

fn columns() -> Vec<Column> {
    let column =
        |(name, of_type): (&str, &str)| Column { name: name.to_owned(), kind: Kind::of(of_type) };
    TYPES.map(column).to_vec()
}

fn answer(rows: &[(&str, Value, u64)]) -> Answer {
    let row = |(service, value, volume): &(&str, Value, u64)| {
        let frames = json!(["a::b", "c::d"]);
        vec![json!(service), json!("disk"), frames, value.clone(), json!(volume), json!("12.5")]
    };
    Answer { columns: columns(), rows: rows.iter().map(row).collect() }
}

#[test]
fn a_row_becomes_a_sample() {
    let rule = rule(
        "labels: {severity: critical}\n    annotations: {summary: '{{ $labels.service }} \
         {{ $labels.severity }} {{ $info.cause }} {{ $value }}', frames: '{{ $info.frames }}'}",
    );
    let found = samples(&rule, &answer(&[("shop", json!(1.5), 9)]), None).unwrap();
    let labels: Vec<(&str, &str)> =
        found[0].labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(labels, [("alertname", "A"), ("service", "shop"), ("severity", "critical")]);
    assert_eq!(found[0].annotations["summary"], "shop critical disk 1.5");
    assert_eq!(found[0].annotations["frames"], "a::b\nc::d");
    assert_eq!((found[0].value, found[0].began_ms), (1.5, Some(12_500)));
    assert!(problems_of_columns(&rule, &columns()).is_empty());
}

#[test]
fn thresholds_say_what_a_row_means() {
    let rule = rule("threshold: 5\n    resolve_threshold: 3");
    let rows = [("a", json!(5), 1), ("b", json!(3.0), 1), ("c", json!(2.9), 1)];
    let found = samples(&rule, &answer(&rows), None).unwrap();
    assert_eq!(found.iter().map(|s| s.level).collect::<Vec<_>>(), [Level::Over, Level::Holding]);
    let bare = self::rule("for: 0s");
    let found = samples(&bare, &answer(&rows[2..]), Some(&answer(&rows))).unwrap();
    let levels: Vec<_> = found.iter().map(|s| (s.labels["service"].as_str(), s.level)).collect();
    assert_eq!(levels, [("c", Level::Over), ("a", Level::Holding), ("b", Level::Holding)]);
}

#[test]
fn rows_of_little_volume_or_without_a_value_say_nothing() {
    let rows = [("a", json!(1), 10), ("b", json!(1), 9), ("c", Value::Null, 99)];
    let found = samples(&rule("min_volume: 10"), &answer(&rows), None).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].labels["service"], "a");
}

#[test]
fn two_rows_with_one_identity_are_an_error() {
    let rows = [("a", json!(1), 1), ("a", json!(2), 1)];
    let error = samples(&rule("for: 0s"), &answer(&rows), None).unwrap_err();
    assert!(error.contains("same labels"), "{error}");
}

#[test]
fn what_does_not_fit_the_columns_is_told() {
    let rule = rule(
        "min_volume: 5\n    annotations: {a: '{{ $labels.servcie }}', b: '{{ $info.frmaes }}', \
         c: '{{ $labels.cause }}'}",
    );
    let without = |name: &str| {
        let columns: Vec<Column> = columns().into_iter().filter(|c| c.name != name).collect();
        problems_of_columns(&rule, &columns).join("\n")
    };
    let told = without("none");
    assert!(told.contains("a: there is no `$labels.servcie` (did you mean `service`?)"), "{told}");
    assert!(told.contains("b: there is no `$info.frmaes` (did you mean `frames`?)"), "{told}");
    assert!(told.contains("c: there is no `$labels.cause`"), "it is told only: {told}");
    assert!(without("value").contains("no column `value`"));
    assert!(without("volume").contains("`min_volume` needs"));
    assert!(without("cause").contains("info: there is no column `cause`"));
}

#[test]
fn long_values_are_cut() {
    let long = "ä".repeat(2_000);
    let found = samples(&rule("for: 0s"), &answer(&[(&long, json!(1), 1)]), None).unwrap();
    let label = &found[0].labels["service"];
    assert!(label.len() <= 1_024 && label.ends_with("ä…"), "{}", label.len());
}
