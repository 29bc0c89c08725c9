//! Grafana's alert rules: that Grafana would read them as they are meant, and that they find what the
//! collector's find.

use std::collections::{BTreeMap, BTreeSet};

use holdup_tests::yaml;
use serde_json::Value;

use super::expand::View;
use super::files::{dashboards, panels, root, text};
use super::seed::Seeded;

/// What Grafana knows of each level. It drops what is misspelt, without a word.
const OF_GROUP: [&str; 5] = ["orgId", "name", "folder", "interval", "rules"];
const OF_RULE: [&str; 13] = [
    "uid",
    "title",
    "condition",
    "data",
    "for",
    "keepFiringFor",
    "noDataState",
    "execErrState",
    "isPaused",
    "labels",
    "annotations",
    "dashboardUid",
    "panelId",
];
const OF_QUERY: [&str; 4] = ["refId", "relativeTimeRange", "datasourceUid", "model"];

fn committed() -> Value {
    yaml(&root().join("deploy/grafana/provisioning/alerting/holdup.yaml")).expect("YAML")
}

fn list<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    of[key].as_array().into_iter().flatten()
}

fn unknown<'a>(of: &'a Value, known: &'a [&str]) -> impl Iterator<Item = &'a String> {
    let keys = of.as_object().into_iter().flat_map(|object| object.keys());
    keys.filter(|key| !known.contains(&key.as_str()))
}

fn seconds(duration: &Value) -> Option<u64> {
    duration.as_str()?.strip_suffix('s')?.parse().ok()
}

/// All that is wrong with the file, one a line.
fn faults(file: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if file["apiVersion"] != 1 {
        faults.push("apiVersion is 1".to_owned());
    }
    let mut uids = BTreeSet::new();
    for group in list(file, "groups") {
        let name = text(group, "/name");
        faults.extend(unknown(group, &OF_GROUP).map(|key| format!("{name}: {key}?")));
        if seconds(&group["interval"]).is_none_or(|s| s == 0 || s % 10 != 0) {
            faults.push(format!("{name}: Grafana's scheduler has a tick of 10 s"));
        }
        for rule in list(group, "rules") {
            let title = text(rule, "/title");
            faults.extend(of_rule(rule).into_iter().map(|fault| format!("{title}: {fault}")));
            if !uids.insert(text(rule, "/uid").to_owned()) {
                faults.push(format!("{title}: another has its uid"));
            }
        }
    }
    faults
}

fn of_rule(rule: &Value) -> Vec<String> {
    let mut faults: Vec<String> = unknown(rule, &OF_RULE).map(|key| format!("{key}?")).collect();
    let mut say = |wrong: bool, fault: &str| wrong.then(|| faults.push(fault.to_owned()));
    let uid = text(rule, "/uid");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    say(uid.len() > 40 || !uid.chars().all(is_plain), "a uid has 40 letters, digits, - and _");
    say(rule["noDataState"] != "OK", "no rows would not be well");
    say(rule["execErrState"] != "Error", "an error would look like an alert");
    for key in ["for", "keepFiringFor"] {
        say(seconds(&rule[key]).is_none(), &format!("{key} is no duration"));
    }
    say(rule["labels"]["severity"].is_null(), "no severity");
    // Grafana takes a $ there for a variable of its environment.
    let labels = rule["labels"].as_object().into_iter().flatten();
    say(labels.into_iter().any(|(_, v)| v.to_string().contains('$')), "a $ in a label");
    let told = rule["annotations"].to_string();
    say(told.contains("$info") || told.contains("$value "), "a value that Grafana does not have");
    say(rule["annotations"]["summary"].is_null(), "no summary");
    say(!told.contains("http"), "the runbook's link leads nowhere");
    let ids: Vec<&str> = list(rule, "data").map(|query| text(query, "/refId")).collect();
    say(!ids.contains(&text(rule, "/condition")), "its condition is no query");
    for query in list(rule, "data") {
        say(unknown(query, &OF_QUERY).next().is_some(), "a query has a key that Grafana drops");
        say(query["model"]["refId"] != query["refId"], "a model has another refId");
        if query["datasourceUid"] == "__expr__" {
            let asks = text(&query["model"], "/expression");
            say(!ids.contains(&asks), "its expression asks for what is not there");
            let params = &query["model"]["conditions"][0]["evaluator"]["params"];
            say(!params[0].is_number(), "no threshold");
        } else {
            let [from, to] = ["from", "to"].map(|key| query["relativeTimeRange"][key].as_u64());
            say(from <= to, "its range is empty");
            say(query["model"]["format"] != 1, "only a table has labels");
        }
    }
    say(!is_shown(rule), "it leads to a panel that is not there");
    faults
}

fn is_shown(rule: &Value) -> bool {
    dashboards().iter().any(|(_, dashboard)| {
        dashboard["uid"] == rule["dashboardUid"]
            && panels(dashboard).any(|panel| panel["id"] == rule["panelId"])
    })
}

#[test]
fn grafana_reads_the_alert_rules_as_they_are_meant() {
    let faults = faults(&committed());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn each_fault_of_an_alert_rule_is_found() {
    let good = committed();
    let rule = "/groups/0/rules/0";
    let cases: [(&str, Value, &str); 12] = [
        ("/apiVersion", 2.into(), "apiVersion"),
        ("/groups/0/interval", "15s".into(), "tick"),
        (
            "/groups/0/rules/1/uid",
            text(&good, &format!("{rule}/uid")).into(),
            "another has its uid",
        ),
        ("/groups/0/rules/0/uid", "a b".into(), "a uid has"),
        ("/groups/0/rules/0/keepFiringFor", Value::Null, "keepFiringFor"),
        ("/groups/0/rules/0/execErrState", "".into(), "error"),
        ("/groups/0/rules/0/labels/severity", "{{ $labels.x }}".into(), "$ in a label"),
        ("/groups/0/rules/0/annotations/summary", "{{ $info.x }}".into(), "does not have"),
        ("/groups/0/rules/0/condition", "C".into(), "condition"),
        ("/groups/0/rules/0/data/1/model/expression", "C".into(), "not there"),
        ("/groups/0/rules/0/data/0/relativeTimeRange/from", 0.into(), "empty"),
        ("/groups/0/rules/0/panelId", 99.into(), "panel"),
    ];
    for (pointer, value, expected) in cases {
        let mut broken = good.clone();
        *broken.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        let faults = faults(&broken);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{pointer}: {faults:?}");
    }
}

/// The rules of `queries/alerts/` that ask ClickHouse, by their names.
fn originals() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(root().join("queries/alerts")).expect("a folder");
    let mut all = BTreeMap::new();
    for file in files {
        let file = yaml(&file.expect("an entry").path()).expect("YAML");
        let rules = list(&file, "groups").flat_map(|group| list(group, "rules"));
        for rule in rules.filter(|rule| rule["expr"].is_string()) {
            all.insert(text(rule, "/alert").to_owned(), rule.clone());
        }
    }
    all
}

/// Rows as labels and values.
fn rows(answer: &Value, labels: &[String]) -> BTreeSet<(Vec<String>, String)> {
    let row = |row: &Value| {
        let named = labels.iter().map(|name| row[name].as_str().expect("text").to_owned());
        let value = match &row["value"] {
            Value::String(digits) => digits.parse().expect("a number"),
            number => number.as_f64().expect("a number"),
        };
        (named.collect(), format!("{value:.6}"))
    };
    list(answer, "data").map(row).collect()
}

/// Names of an answer's columns that are texts.
fn texts(answer: &Value) -> Vec<String> {
    let kinds = ["String", "LowCardinality(String)"];
    let texts = list(answer, "meta").filter(|column| kinds.contains(&text(column, "/type")));
    texts.map(|column| text(column, "/name").to_owned()).collect()
}

/// What the collector finds at this time: names that tell alerts apart, and rows.
fn found(seeded: &Seeded, rule: &Value, at_ms: u64) -> Value {
    let time = |ms: u64| format!("fromUnixTimestamp64Milli({ms}, 'UTC')");
    let sql = text(rule, "/expr")
        .replace("{now:DateTime64(3, 'UTC')}", &time(at_ms))
        .replace("{to:DateTime64(3, 'UTC')}", &time(at_ms));
    let least = &rule["min_volume"];
    let enough = if least.is_null() { "true".into() } else { format!("volume >= {least}") };
    seeded.ask(&format!("SELECT * FROM ({sql}) WHERE {enough}"))
}

/// What each rule finds something in that the made-up polls have nothing for, before a time.
const TROUBLE: [&str; 9] = [
    // Since an hour ago a function blocks that was not there before.
    "INSERT INTO poll_spans (start, duration_ns, self_ns, service, environment, service_version, \
     instance, function, cause, span_id) SELECT {at} - toIntervalMillisecond(number * 1790 + 2000), \
     500000000, 500000000, 'service-0', 'production', '1.1.0', 'service-0-0', 'app_0::fresh', 'cpu', \
     unhex(leftPad(hex(number + 1), 16, '0')) FROM numbers(2000)",
    "INSERT INTO poll_histograms (minute, service, function, instance, calls, sum_ns, buckets) \
     SELECT toStartOfMinute({at}) - toIntervalMinute(number + 1), 'service-0', 'app_0::fresh', \
     'service-0-0', 1000, 0, map(-58, 900, 0, 100) FROM numbers(10)",
    "INSERT INTO poll_histograms (minute, service, function, instance, calls, sum_ns, buckets) \
     SELECT toStartOfMinute({at}) - toIntervalHour(168) - toIntervalMinute(number + 1), 'service-0', \
     'app_0::fresh', 'service-0-0', 1000, 0, map(-58, 990, 0, 10) FROM numbers(10)",
    // One that has one worker only, which does not return.
    "INSERT INTO poll_spans (start, duration_ns, self_ns, service, environment, instance, function, \
     runtime, thread_id, cause, stall, span_id) VALUES ({at} - toIntervalSecond(60), 59000000000, \
     59000000000, 'stuck', 'production', 'stuck-0', 'stuck::f', 'main', 7, 'lock', true, 'abcdefgh')",
    "INSERT INTO runtime_gauges (time, service, instance, runtime, metric, value) VALUES \
     ({at} - toIntervalSecond(30), 'stuck', 'stuck-0', 'main', 'holdup.runtime.workers', 1)",
    "INSERT INTO runtime_gauges (time, service, instance, runtime, metric, value) SELECT \
     {at} - toIntervalSecond(number * 10 + 1), 'late', 'late-0', 'main', 'holdup.runtime.lag', 0.9 \
     FROM numbers(6)",
    "INSERT INTO runtime_gauges (time, service, instance, runtime, metric, value) VALUES \
     ({at} - toIntervalSecond(30), 'late', 'late-0', '', 'holdup.poll.dropped', 5)",
    "INSERT INTO heartbeats (service, environment, service_version, instance, first_seen, last_seen) \
     VALUES ('quiet', 'production', '1', 'quiet-0', {at} - toIntervalHour(3), \
     {at} - toIntervalMinute(10))",
    "INSERT INTO tasks (time, service, instance, dump_id, state, name, since_ns) VALUES \
     ({at} - toIntervalSecond(1), 'late', 'late-0', 1, 'ready', 'late::job', 45000000000)",
];

#[test]
fn grafanas_alert_rules_find_what_the_collectors_find() {
    let seeded = Seeded::new();
    let at = format!("fromUnixTimestamp64Milli({}, 'UTC')", seeded.to_ms);
    for statement in TROUBLE {
        seeded.collector.sql(&statement.replace("{at}", &at));
    }
    let originals = originals();
    let file = committed();
    let rules = list(&file, "groups").flat_map(|group| list(group, "rules"));
    let mut compared = 0;
    for rule in rules {
        let title = text(rule, "/title");
        let original = originals.get(title).unwrap_or_else(|| panic!("{title} is no rule of ours"));
        let range = |key: &str| rule["data"][0]["relativeTimeRange"][key].as_u64().expect("s");
        let before = |s: u64| seeded.to_ms - s * 1_000;
        let (from_ms, to_ms) = (before(range("from")), before(range("to")));
        let view = View { from_ms, to_ms, chosen: BTreeMap::new() };
        let sql = view.expand(text(rule, "/data/0/model/rawSql"), 1);
        let theirs = seeded.ask(&sql.replace("now64(3, 'UTC')", &at));
        let ours = found(&seeded, original, seeded.to_ms);

        // Texts that tell alerts apart, and one number: what Grafana makes labels of.
        let labels = texts(&theirs);
        assert_eq!(labels.len() + 1, list(&theirs, "meta").count(), "{title}: {theirs}");
        assert_eq!(theirs["meta"][labels.len()]["type"], "Float64", "{title}");
        let summary = text(original, "/annotations/summary");
        let info = |name: &String| list(original, "info").any(|info| info == name);
        let wanted = texts(&ours);
        let wanted =
            wanted.iter().filter(|name| !info(name) || summary.contains(&format!("$info.{name}")));
        assert_eq!(labels.iter().collect::<Vec<_>>(), wanted.collect::<Vec<_>>(), "{title}");
        let found = rows(&theirs, &labels);
        assert_eq!(found, rows(&ours, &labels), "{title}\n{sql}");
        assert!(!found.is_empty(), "{title} finds nothing");
        compared += 1;
    }
    assert_eq!(compared, originals.len());
}
