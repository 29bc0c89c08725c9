//! What a dashboard must have, so that whoever is woken by it need not guess.

use std::collections::BTreeSet;

use serde_json::Value;

use super::files::{dashboards, panels, text};

const MACROS: [&str; 3] = ["$__fromTime_ms", "$__toTime_ms", "$__interval_s"];

/// All that is wrong with a dashboard, one a line.
fn faults(dashboard: &Value, uids: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    if dashboard["schemaVersion"] != 42 {
        faults.push("schemaVersion: 42 is what provisioning takes in every version".into());
    }
    let variables = variables(dashboard, &mut faults);
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        if !ids.insert(panel["id"].as_u64()) {
            faults.push(format!("two panels have the id {}", panel["id"]));
        }
    }
    for panel in panels(dashboard) {
        let title = text(panel, "/title");
        let mut say = |fault: &str| faults.push(format!("{title}: {fault}"));
        if panel["description"].as_str().is_none_or(|description| description.len() < 40) {
            say("no description");
        }
        if panel.pointer("/fieldConfig/defaults/unit").is_none() {
            say("no unit");
        }
        if is_table(panel) && panel["fieldConfig"]["defaults"]["unit"] != "short" {
            say("a column without a unit would be written in that of another");
        }
        if panel.pointer("/datasource/uid").and_then(Value::as_str) != Some("${datasource}") {
            say("the data source is no variable");
        }
        if panel.pointer("/fieldConfig/defaults/custom/stacking/mode").is_some_and(|m| m != "none")
        {
            say("stacked");
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            for fault in of_statement(text(target, "/rawSql"), &variables) {
                say(&fault);
            }
        }
        for url in links(panel) {
            let uid = url.strip_prefix("/d/").and_then(|rest| rest.split('?').next());
            if uid.is_some_and(|uid| !uids.contains(uid)) {
                say(&format!("{url} leads nowhere"));
            }
        }
    }
    faults.extend(overlaps(dashboard));
    faults
}

/// A table of rows as they are.
fn is_table(panel: &Value) -> bool {
    panel["type"] == "table" && panel["transformations"].is_null()
}

/// The names of the variables that statements may use.
fn variables(dashboard: &Value, faults: &mut Vec<String>) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
        let name = text(variable, "/name");
        match text(variable, "/type") {
            "datasource" => {}
            "query" => {
                // One that needs a later one would never load.
                let wrong = of_statement(text(variable, "/query"), &known);
                faults.extend(wrong.into_iter().map(|fault| format!("variable {name}: {fault}")));
            }
            other => faults.push(format!("variable {name}: a {other} is raw SQL")),
        }
        known.push(name.to_owned());
    }
    known
}

/// What of a statement Grafana would expand in another way than is meant.
fn of_statement(sql: &str, variables: &[String]) -> Vec<String> {
    let mut rest = sql.to_owned();
    for expanded in MACROS {
        rest = rest.replace(expanded, "");
    }
    for name in variables {
        rest = rest.replace(&format!("${{{name}:singlequote}}"), "");
    }
    let stray = rest.split('$').skip(1).map(|after| {
        let shown: String = after.chars().take(20).collect();
        format!("${shown} is no macro, and no :singlequote of a variable that it has")
    });
    stray.collect()
}

fn links(panel: &Value) -> Vec<String> {
    let overrides = panel.pointer("/fieldConfig/overrides").and_then(Value::as_array);
    let properties =
        overrides.into_iter().flatten().filter_map(|o| o["properties"].as_array()).flatten();
    let lists = properties.filter(|p| p["id"] == "links").filter_map(|p| p["value"].as_array());
    lists.flatten().map(|link| text(link, "/url").to_owned()).collect()
}

/// Panels that lie on each other, or beside the grid.
fn overlaps(dashboard: &Value) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut faults = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let [x, y, w, h] =
            ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a number"));
        if x + w > 24 {
            faults.push(format!("{}: beside the grid", text(panel, "/title")));
        }
        let cells = (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y)));
        if cells.filter(|cell| !taken.insert(*cell)).count() > 0 {
            faults.push(format!("{}: lies on another", text(panel, "/title")));
        }
    }
    faults
}

fn uids() -> BTreeSet<String> {
    dashboards().iter().map(|(_, dashboard)| text(dashboard, "/uid").to_owned()).collect()
}

#[test]
fn dashboards_have_what_a_reader_needs() {
    for (name, dashboard) in dashboards() {
        let faults = faults(&dashboard, &uids());
        assert!(faults.is_empty(), "{name}:\n{}", faults.join("\n"));
    }
}

#[test]
fn each_fault_is_found() {
    let (_, good) = dashboards().swap_remove(0);
    let panel = good["panels"].as_array().expect("panels").iter().position(|p| p["type"] != "row");
    let of = |pointer: &str| format!("/panels/{}{pointer}", panel.expect("a panel"));
    let table = good["panels"].as_array().expect("panels").iter().position(is_table);
    let table = |pointer: &str| format!("/panels/{}{pointer}", table.expect("a table"));
    let cases = [
        (of("/description"), Value::Null, "no description"),
        (of("/fieldConfig/defaults"), serde_json::json!({}), "no unit"),
        (table("/fieldConfig/defaults/unit"), "ns".into(), "that of another"),
        (of("/datasource/uid"), "x".into(), "no variable"),
        (of("/targets/0/rawSql"), "SELECT '$service'".into(), "$service' is no macro"),
        (of("/targets/0/rawSql"), "SELECT ${service}".into(), "no :singlequote"),
        (of("/targets/0/rawSql"), "SELECT ${nothing:singlequote}".into(), "that it has"),
        (of("/gridPos/x"), 20.into(), "beside the grid"),
        (of("/id"), 1.into(), "two panels"),
        ("/schemaVersion".into(), 1.into(), "schemaVersion"),
        ("/templating/list/2/type".into(), "textbox".into(), "raw SQL"),
        ("/templating/list/2/query".into(), "${version:singlequote}".into(), "variable"),
    ];
    for (pointer, value, expected) in cases {
        let mut broken = good.clone();
        *broken.pointer_mut(&pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        let faults = faults(&broken, &uids());
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{pointer}: {faults:?}");
    }
}
