//! Grafana's dashboards, made from `queries/`: pure text in, text out.
//!
//! A panel's SQL, title, description, columns and units come from `queries/panels/`, what stands
//! where from `queries/dashboards/`. The page asks the same files, so that it and a chart can't
//! disagree. Beside them go the rules of `queries/alerts/`, as Grafana's own. Classic dashboards of schema version 42: what file provisioning takes in every version.

mod layout;
mod links;
mod panel;
mod reference;
mod rules;
mod statement;
mod variables;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::rules::Rule;
use crate::store::catalog;
use layout::{GRID_COLUMNS, Kind, Layout};
pub(crate) use statement::StatementError;

/// The version of Grafana's classic format.
const SCHEMA_VERSION: u32 = 42;
/// The data source plugin.
const DATA_SOURCE_TYPE: &str = "grafana-clickhouse-datasource";
/// The data source that `deploy/grafana/provisioning/datasources/holdup.yaml` makes.
const DATA_SOURCE_UID: &str = "holdup-clickhouse";
/// The plugin's version that the targets are written for.
const PLUGIN_VERSION: &str = "4.20.0";
/// The most marks of one kind in a chart.
const MARKS_MAX: u32 = 200;

/// A file to be written.
#[derive(Debug)]
pub(crate) struct Exported {
    /// Below the folder of the export.
    pub(crate) path: PathBuf,
    /// What is in it.
    pub(crate) text: String,
}

/// Why a dashboard can't be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DashboardError {
    /// The layout does not parse.
    #[error("queries/dashboards/{name}.toml: {source}")]
    Layout {
        /// Of which dashboard.
        name: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// It names a query that is not there, or draws it in a way that its columns don't allow.
    #[error("queries/dashboards/{name}.toml: {query}: {reason}")]
    Panel {
        /// Of which dashboard.
        name: String,
        /// The query.
        query: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// An alert rule has no counterpart.
    #[error("queries/alerts: {0}")]
    Rule(#[from] StatementError),
}

/// All dashboards and these rules, as files. Rules lead to runbooks on the page at this address.
pub(crate) fn export(rules: &[Rule], page: &str) -> Result<Vec<Exported>, DashboardError> {
    let mut files = Vec::new();
    let mut shown = rules::Panels::new();
    for (name, layout) in layouts()? {
        let json = dashboard(&name, &layout)?;
        shown.insert(name.clone(), (layout.uid.clone(), ids(&layout, &json)));
        // The folder's name is that of Grafana's folder.
        let path = PathBuf::from("dashboards/Holdup").join(format!("{name}.json"));
        files.push(Exported { path, text: format!("{json:#}\n") });
    }
    files.push(rules::of(rules, &shown, page)?);
    Ok(files)
}

/// The ids of a dashboard's panels, by their queries.
fn ids(layout: &Layout, json: &Value) -> BTreeMap<String, u64> {
    let queries = layout.row.iter().flat_map(|row| &row.panel).map(|placed| placed.query.clone());
    let panels = json["panels"].as_array().into_iter().flatten();
    let ids = panels.filter(|panel| panel["type"] != "row").filter_map(|p| p["id"].as_u64());
    queries.zip(ids).collect()
}

/// The page of the documentation with what the queries' headers say, where it has marks for that.
pub(crate) fn reference(page: &str) -> Result<Option<String>, DashboardError> {
    let mut shown_on: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, layout) in layouts()? {
        for placed in layout.row.iter().flat_map(|row| &row.panel) {
            shown_on.entry(placed.query.clone()).or_default().push(layout.title.clone());
        }
    }
    Ok(reference::placed_in(page, &shown_on))
}

fn layouts() -> Result<Vec<(String, Layout)>, DashboardError> {
    let parse = |(name, text): (String, String)| match toml::from_str(&text) {
        Ok(layout) => Ok((name, layout)),
        Err(source) => Err(DashboardError::Layout { name, source: Box::new(source) }),
    };
    catalog::layouts().into_iter().map(parse).collect()
}

fn dashboard(name: &str, layout: &Layout) -> Result<Value, DashboardError> {
    let wrong = |query: &str, reason: String| DashboardError::Panel {
        name: name.to_owned(),
        query: query.to_owned(),
        reason,
    };
    let variables = variables::of(&layout.variables).map_err(|e| wrong("variables", e.to_string()));
    let marks = |query, name, colour| {
        marks(layout, query, name, colour).map_err(|e| wrong(query, e.to_string()))
    };
    let annotations =
        [marks("deploys", "Deploys", "blue")?, marks("alert_marks", "Alerts", "red")?];
    Ok(json!({
        "annotations": {"list": annotations},
        "description": layout.description,
        "editable": false,
        "fiscalYearStartMonth": 0,
        // One crosshair through all charts.
        "graphTooltip": 1,
        "id": null,
        "links": [others(layout)],
        "panels": panels(layout, &wrong)?,
        "preload": false,
        "refresh": "1m",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["holdup"],
        "templating": {"list": variables?},
        "time": {"from": layout.range, "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": layout.title,
        "uid": layout.uid,
        "weekStart": "",
    }))
}

fn panels(
    layout: &Layout,
    wrong: &dyn Fn(&str, String) -> DashboardError,
) -> Result<Vec<Value>, DashboardError> {
    let mut all = Vec::new();
    let mut y = 0;
    for row in &layout.row {
        all.push(json!({
            "collapsed": false,
            "gridPos": {"x": 0, "y": y, "w": GRID_COLUMNS, "h": 1},
            "id": all.len() + 1,
            "panels": [],
            "title": row.title,
            "type": "row",
        }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for placed in &row.panel {
            let known = catalog::panel(&placed.query);
            let panel = known.ok_or_else(|| wrong(&placed.query, "no such query".to_owned()))?;
            let first = panel.columns.first().map(|column| column.name.as_str());
            if placed.kind.is_series() && first != Some("time") {
                let reason = format!("a {:?} needs the column time first", placed.kind);
                return Err(wrong(&placed.query, reason));
            }
            if x + placed.width > GRID_COLUMNS {
                (x, y) = (0, y + height);
                height = 0;
            }
            let id = all.len() + 1;
            let json = panel::of(id, placed, &panel, &layout.variables, (x, y));
            all.push(json.map_err(|error| wrong(&placed.query, error.to_string()))?);
            x += placed.width;
            height = height.max(placed.height);
        }
        y += height;
    }
    Ok(all)
}

/// Marks in all charts, where this query says.
fn marks(layout: &Layout, query: &str, name: &str, colour: &str) -> Result<Value, StatementError> {
    let sql = catalog::panel(query).map(|panel| panel.sql).unwrap_or_default();
    let sql = statement::of(&sql, &layout.variables, MARKS_MAX)?;
    Ok(json!({
        "datasource": data_source(),
        "enable": true,
        "hide": false,
        "iconColor": colour,
        "name": name,
        "target": panel::target(&sql, Kind::Table.is_series()),
    }))
}

/// The way to the other dashboards, with the range and what is chosen.
fn others(layout: &Layout) -> Value {
    json!({
        "asDropdown": false,
        "icon": "dashboard",
        "includeVars": true,
        "keepTime": true,
        "tags": ["holdup"],
        "targetBlank": false,
        "title": format!("Beside {}", layout.title),
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    })
}

fn data_source() -> Value {
    json!({"type": DATA_SOURCE_TYPE, "uid": "${datasource}"})
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{export, reference};
    use crate::rules;

    #[test]
    fn the_page_on_queries_says_what_their_headers_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/queries.md");
        let page = std::fs::read_to_string(path).unwrap();
        assert!(
            reference(&page).unwrap().as_ref() == Some(&page),
            "docs/queries.md is out of date: run `holdup dashboards reference docs/queries.md`"
        );
        assert_eq!(reference("no marks").unwrap(), None);
    }

    /// What is committed is what the queries, layouts and rules give.
    #[test]
    fn committed_dashboards_are_what_the_queries_give() {
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana");
        let rules = rules::load(&[]).unwrap();
        let files = export(&rules, "http://localhost:4380").unwrap();
        assert!(files.len() >= 4, "{files:#?}");
        for file in &files {
            let path = committed.join(&file.path);
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                text == file.text,
                "{} is out of date: run `holdup dashboards export --out deploy/grafana`",
                path.display()
            );
        }
        let there = std::fs::read_dir(committed.join("dashboards/Holdup")).unwrap();
        let dashboards = files.iter().filter(|file| file.path.starts_with("dashboards"));
        assert_eq!(there.count(), dashboards.count(), "a file there is none of ours: delete it");
    }
}
