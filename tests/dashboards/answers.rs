//! Every statement of every dashboard, for all and for one of each: columns, types, order, rows.

use std::collections::BTreeMap;

use holdup_tests::collector::{Collector, get};
use serde_json::Value;

use super::expand::{Chosen, View};
use super::files::{dashboards, panels, root, text};
use super::seed::Seeded;
use crate::alerts::hostile::{is_offered, names};

/// Where there is nothing to see in the made-up data.
const EMPTY: [&str; 2] = ["Suspects", "Live tasks"];

/// What rules made of it meanwhile depends on the time of the test, so that their rows are not
/// looked at.
const ALERTS: [&str; 2] = ["Alerts", "History of alerts"];

/// `name | unit | meaning` of the panel with this title.
fn columns(title: &str) -> Vec<(String, String)> {
    let folder = root().join("queries/panels");
    let files = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("text"));
    let wanted = format!("-- title: {title}");
    let found = files.into_iter().find(|text| text.lines().next() == Some(wanted.as_str()));
    let found = found.unwrap_or_else(|| panic!("no query is called {title:?}"));
    let columns = found.lines().filter_map(|line| line.strip_prefix("-- column: "));
    columns
        .map(|column| {
            let parts: Vec<&str> = column.split(" | ").collect();
            (parts[0].to_owned(), if parts.len() > 2 { parts[1] } else { "" }.to_owned())
        })
        .collect()
}

/// Whether values of a ClickHouse type can have this unit.
fn fits(unit: &str, kind: &str) -> bool {
    let number = |kind: &str| {
        ["UInt", "Int", "Float"].iter().any(|of| kind.starts_with(of)) && !kind.contains('(')
    };
    match unit {
        "time" => kind.starts_with("DateTime"),
        "share" => kind == "Float64",
        "unix ms" => kind == "Int64" || kind == "UInt64",
        "" => true,
        _ => number(kind),
    }
}

fn is_label(kind: &str) -> bool {
    kind == "String" || kind == "LowCardinality(String)"
}

/// All of everything, and one of each.
fn views(seeded: &Seeded) -> [View; 2] {
    let all = ["environment", "service", "version", "instance"]
        .map(|name| (name.to_owned(), Chosen::All("''")));
    let function = "app_0::handlers::handler_0".to_owned();
    let one = [
        ("environment", "production"),
        ("service", "service-0"),
        ("version", "1.1.0"),
        ("instance", "service-0-0"),
    ]
    .map(|(name, value)| (name.to_owned(), Chosen::These(vec![value.to_owned()])));
    [all, one].map(|chosen| {
        let mut chosen: BTreeMap<String, Chosen> = chosen.into();
        chosen.insert("function".into(), Chosen::These(vec![function.clone()]));
        View { from_ms: seeded.from_ms, to_ms: seeded.to_ms, chosen }
    })
}

/// Asks as the data source does, and checks what it relies on.
fn check(seeded: &Seeded, view: &View, panel: &Value) {
    let title = text(panel, "/title");
    let target = &panel["targets"][0];
    let interval_s = view.interval_s(panel["maxDataPoints"].as_u64().expect("a number"));
    let sql = view.expand(text(target, "/rawSql"), interval_s);
    assert!(!sql.contains('$'), "{title}: {sql}");
    let answer = seeded.ask(&sql);
    let meta: Vec<(&str, &str)> = answer["meta"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|column| (text(column, "/name"), text(column, "/type")))
        .collect();
    let wanted = columns(title);
    let names: Vec<&str> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(meta.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names, "{title}");
    for ((name, unit), (_, kind)) in wanted.iter().zip(&meta) {
        assert!(fits(unit, kind), "{title}: {name} is a {kind}, which has no unit {unit:?}");
    }
    if target["format"] == 0 {
        // A time, labels, then numbers: what is made wide from long.
        assert!(meta[0].0 == "time" && meta[0].1.starts_with("DateTime"), "{title}: {meta:?}");
        let labels = meta.iter().skip(1).take_while(|(_, kind)| is_label(kind)).count();
        let numbers = meta.iter().skip(1 + labels).all(|(_, kind)| fits("count", kind));
        assert!(numbers && meta.len() > 1 + labels, "{title}: {meta:?}");
        let times: Vec<&str> = rows(&answer).map(|row| text(row, "/time")).collect();
        assert!(times.is_sorted(), "{title}: the times are not in order");
    }
    if ALERTS.contains(&title) {
        return;
    }
    let is_empty = rows(&answer).next().is_none();
    assert_eq!(is_empty, EMPTY.contains(&title), "{title}: {} rows\n{sql}", answer["rows"]);
}

fn rows(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["data"].as_array().into_iter().flatten()
}

#[test]
fn every_statement_answers_for_all_and_for_one() {
    let seeded = Seeded::new();
    for view in views(&seeded) {
        for (_, dashboard) in dashboards() {
            for panel in panels(&dashboard) {
                check(&seeded, &view, panel);
            }
            let marks = text(&dashboard, "/annotations/list/0/target/rawSql");
            let answer = seeded.ask(&view.expand(marks, 60));
            let first: Vec<&str> = answer["meta"]
                .as_array()
                .expect("columns")
                .iter()
                .map(|c| text(c, "/name"))
                .collect();
            assert_eq!(first[..3], ["time", "text", "tags"]);
            for variable in dashboard["templating"]["list"].as_array().expect("variables") {
                if variable["type"] == "query" {
                    let answer = seeded.ask(&view.expand(text(variable, "/query"), 60));
                    assert_eq!(answer["meta"].as_array().map(Vec::len), Some(1), "{variable}");
                    assert!(rows(&answer).next().is_some(), "{variable}");
                }
            }
        }
    }
}

#[test]
fn any_name_that_can_be_chosen_is_a_value_in_every_statement() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start_in(data, &[]);
    let names: Vec<String> =
        names().into_iter().filter(|it| is_offered(it) && it.len() < 1_100).collect();
    assert!(names.iter().any(|name| name.contains("'] OR 1=1")), "{names:?}");
    let mut chosen: BTreeMap<String, Chosen> = ["environment", "service", "version", "instance"]
        .map(|name| (name.to_owned(), Chosen::These(names.clone())))
        .into();
    let function = names.iter().find(|name| name.contains('\'')).expect("one has a quote");
    chosen.insert("function".into(), Chosen::These(vec![function.clone()]));
    let view = View { from_ms: 0, to_ms: 3_600_000, chosen };
    let ask = |sql: &str| -> Value {
        let answer = collector.sql(&format!("{}\nFORMAT JSON", view.expand(sql, 60)));
        serde_json::from_str(&answer).expect("JSON")
    };
    let chosen = ask("SELECT [${service:singlequote}] AS services, ${function:singlequote} AS it");
    assert_eq!(chosen["data"][0]["services"], serde_json::json!(names));
    assert_eq!(chosen["data"][0]["it"], function.as_str());
    for (_, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let answer = ask(text(&panel["targets"][0], "/rawSql"));
            assert!(answer["meta"].is_array(), "{}", text(panel, "/title"));
        }
    }
}

#[test]
fn every_query_has_the_columns_that_its_header_names() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start_in(data, &[]);
    for entry in std::fs::read_dir(root().join("queries/panels")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let header = std::fs::read_to_string(&path).expect("text");
        let lines = header.lines().filter_map(|line| line.strip_prefix("-- column: "));
        let named: Vec<&str> = lines.filter_map(|line| line.split(" | ").next()).collect();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let answer = get(&format!("{}/api/v1/query/{name}", collector.page()));
        let answer: Value = serde_json::from_str(&answer.text).expect("JSON");
        let given = answer["meta"].as_array().expect("columns").iter();
        assert_eq!(given.map(|it| text(it, "/name")).collect::<Vec<_>>(), named, "{name}");
    }
}
