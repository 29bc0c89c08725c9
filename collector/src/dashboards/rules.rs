//! The alert rules that come along as Grafana's own: a file for its provisioning.
//!
//! Grafana gets what it can hold: texts that tell alerts apart and one number a row, a threshold to
//! fire at and one to go on above. What a rule tells beside that is left to the collector's alerts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{DATA_SOURCE_TYPE, DATA_SOURCE_UID, Exported, panel, statement};
use crate::rules::{Question, Rule, Template, Variable};
use crate::store::catalog;
use statement::StatementError;

/// Grafana's scheduler wakes up so often, and takes intervals that are multiples of it.
const TICK_S: u64 = 10;
/// Columns that tell alerts apart, where a rule has them.
const LABELS: [&str; 7] =
    ["service", "environment", "version", "instance", "runtime", "function", "task"];
/// Which dashboard shows what a group of rules is about, and with which query.
const SHOWN: [(&str, &str, &str); 4] = [
    ("holdup-stalls", "fleet", "stalled"),
    ("holdup-budget", "fleet", "blocked_rate"),
    ("holdup-changes", "service", "versions"),
    ("holdup-runtimes", "service", "loop_lag"),
];
const HEAD: &str = "\
# The alert rules of queries/alerts as Grafana-managed ones; `holdup dashboards export` makes this file.
# Either these or the collector tell of alerts, not both: leave the file out, or give the collector no receiver.
";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File {
    api_version: u32,
    groups: Vec<Group>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    org_id: u32,
    name: String,
    folder: &'static str,
    interval: String,
    rules: Vec<Managed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Managed {
    uid: String,
    title: String,
    condition: &'static str,
    data: Vec<Query>,
    #[serde(rename = "for")]
    for_: String,
    keep_firing_for: String,
    no_data_state: &'static str,
    exec_err_state: &'static str,
    is_paused: bool,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dashboard_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    panel_id: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    ref_id: &'static str,
    relative_time_range: Range,
    datasource_uid: &'static str,
    model: Value,
}

/// Seconds before the evaluation.
#[derive(Serialize)]
struct Range {
    from: u64,
    to: u64,
}

/// The panels of the dashboards that are exported: uid, query's title and id.
pub(super) type Panels = BTreeMap<String, (String, BTreeMap<String, u64>)>;

/// The file, for these rules. Runbooks are at this address.
pub(super) fn of(rules: &[Rule], shown: &Panels, page: &str) -> Result<Exported, StatementError> {
    let mut groups: Vec<Group> = Vec::new();
    for rule in rules {
        // What the collector knows of itself is not in ClickHouse: deploy/prometheus asks for that.
        let Question::Sql(sql) = &rule.question else { continue };
        let managed = managed(rule, &sql.text, shown, page)?;
        match groups.iter_mut().find(|group| group.name == rule.group) {
            Some(group) => group.rules.push(managed),
            None => groups.push(Group {
                org_id: 1,
                name: rule.group.clone(),
                folder: "Holdup",
                interval: seconds(rule.interval.as_secs().max(1).next_multiple_of(TICK_S)),
                rules: vec![managed],
            }),
        }
    }
    let file = File { api_version: 1, groups };
    let text =
        serde_saphyr::to_string(&file).map_err(|e| StatementError::Unwritable(e.to_string()));
    Ok(Exported {
        path: "provisioning/alerting/holdup.yaml".into(),
        text: format!("{HEAD}{}", text?),
    })
}

fn managed(rule: &Rule, expr: &str, shown: &Panels, page: &str) -> Result<Managed, StatementError> {
    let panel = SHOWN.iter().find(|(group, ..)| *group == rule.group);
    let panel = panel.and_then(|(_, dashboard, query)| {
        let (uid, panels) = shown.get(*dashboard)?;
        Some((uid.clone(), *panels.get(*query)?))
    });
    let (dashboard_uid, panel_id) = panel.unzip();
    Ok(Managed {
        uid: uid(&rule.name),
        title: rule.name.clone(),
        condition: "B",
        data: vec![question(rule, expr)?, condition(rule)],
        for_: seconds(rule.for_.as_secs()),
        keep_firing_for: seconds(rule.keep_firing_for.as_secs()),
        // Without a row all is well: that nothing is heard is a rule of its own.
        no_data_state: "OK",
        exec_err_state: "Error",
        is_paused: !rule.enabled,
        labels: rule.labels.iter().map(|(name, text)| (name.clone(), text.text())).collect(),
        annotations: annotations(rule, page),
        dashboard_uid,
        panel_id,
    })
}

/// What ClickHouse is asked.
fn question(rule: &Rule, expr: &str) -> Result<Query, StatementError> {
    let expr = statement::of(expr, &[], 0)?;
    let expr: Vec<String> = expr.lines().map(|line| format!("    {line}")).collect();
    let enough = rule.min_volume.map_or("true".to_owned(), |least| format!("volume >= {least}"));
    let sql = catalog::rule_statement()
        .replace("{labels}", &labels(rule).join("|"))
        .replace("{condition}", &enough)
        .replace("{expr}", &expr.join("\n"));
    let mut model = panel::target(sql.trim(), false);
    model["datasource"] = json!({"type": DATA_SOURCE_TYPE, "uid": DATA_SOURCE_UID});
    model["queryType"] = "table".into();
    let to = rule.lag.as_secs();
    let range = Range { from: to + rule.window.as_secs(), to };
    Ok(Query { ref_id: "A", relative_time_range: range, datasource_uid: DATA_SOURCE_UID, model })
}

/// When its rows are alerts.
fn condition(rule: &Rule) -> Query {
    // A rule without a threshold fires for each row, and the value of each is over 0.
    let fires = rule.threshold.unwrap_or(0.0);
    let mut condition = json!({"type": "query", "evaluator": {"type": "gt", "params": [fires]}});
    if let Some(goes_on) = rule.resolve_threshold {
        condition["unloadEvaluator"] = json!({"type": "lt", "params": [goes_on]});
    }
    Query {
        ref_id: "B",
        relative_time_range: Range { from: 0, to: 0 },
        datasource_uid: "__expr__",
        model: json!({
            "refId": "B",
            "type": "threshold",
            "datasource": {"type": "__expr__", "uid": "__expr__"},
            "expression": "A",
            "conditions": [condition],
        }),
    }
}

/// Columns that tell its alerts apart: beside those that do so for the collector, what its summary says.
fn labels(rule: &Rule) -> Vec<&str> {
    let said = rule.annotations.get("summary").into_iter().flat_map(Template::variables);
    let said = said.filter_map(|variable| match variable {
        Variable::Info(name) => Some(name.as_str()),
        _ => None,
    });
    let known = LABELS.into_iter().filter(|name| !rule.info.iter().any(|info| info == name));
    known.chain(said).collect()
}

/// The texts that Grafana can fill in, with links that lead somewhere.
fn annotations(rule: &Rule, page: &str) -> BTreeMap<String, String> {
    let labels = labels(rule);
    let written = |variable: &Variable| match variable {
        Variable::Value => Some("$values.A.Value".to_owned()),
        Variable::Label(name) => Some(format!("$labels.{name}")),
        Variable::Info(name) => labels.contains(&name.as_str()).then(|| format!("$labels.{name}")),
    };
    let texts = rule.annotations.iter();
    let texts = texts.filter_map(|(name, text)| Some((name.clone(), text.rewritten(&written)?)));
    let mut all: BTreeMap<String, String> = texts.collect();
    if let Some(runbook) = all.get_mut("runbook_url").filter(|url| !url.contains("://")) {
        *runbook = format!("{}/{runbook}", page.trim_end_matches('/'));
    }
    all
}

/// `HoldupPollStalled` as an id: `holdup-poll-stalled`.
fn uid(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

fn seconds(seconds: u64) -> String {
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::uid;

    #[test]
    fn ids_are_words() {
        assert_eq!(uid("HoldupPollStalled"), "holdup-poll-stalled");
    }
}
