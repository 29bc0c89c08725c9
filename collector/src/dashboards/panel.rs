//! One panel in Grafana's JSON.

use serde_json::{Value, json};

use super::layout::{Kind, Placed, Variable};
use super::statement::{self, StatementError};
use super::{PLUGIN_VERSION, data_source, links};
use crate::store::catalog::{Column, Panel};

/// The panel at this place of the grid.
pub(super) fn of(
    id: usize,
    placed: &Placed,
    panel: &Panel,
    variables: &[Variable],
    at: (u32, u32),
) -> Result<Value, StatementError> {
    let sql = statement::of(&panel.sql, variables, placed.limit)?;
    let mut json = json!({
        "id": id,
        "type": placed.kind.plugin(),
        "title": panel.title,
        "description": description(panel),
        "datasource": data_source(),
        "gridPos": {"x": at.0, "y": at.1, "w": placed.width, "h": placed.height},
        // The rollups are of minutes.
        "interval": "1m",
        "maxDataPoints": placed.kind.steps_max(),
        "targets": [target(&sql, placed.kind.is_series())],
        "fieldConfig": {
            "defaults": defaults(placed, panel),
            "overrides": overrides(placed, panel),
        },
        "options": options(placed),
        "links": [],
    });
    if placed.kind == Kind::Sparklines {
        let series = json!({"A": {"stat": "sum", "timeField": "time"}});
        json["transformations"] = json!([{"id": "timeSeriesTable", "options": series}]);
    }
    Ok(json)
}

/// What the data source is asked.
pub(super) fn target(sql: &str, is_series: bool) -> Value {
    json!({
        "datasource": data_source(),
        "editorType": "sql",
        "format": u8::from(!is_series),
        "pluginVersion": PLUGIN_VERSION,
        "rawSql": sql,
        "refId": "A",
    })
}

/// The panel's sentence, what its columns mean, and what it costs.
fn description(panel: &Panel) -> String {
    let mut text = format!("{}\n\n{}\n", panel.description, panel.reading);
    for column in panel.columns.iter().filter(|column| is_named(column)) {
        text.push_str(&format!("\n- **{}**: {}", heading(&column.name), column.meaning));
    }
    text.push_str(&format!("\n\nCost: {}.", panel.cost));
    text
}

/// False for a heatmap's columns, whose names are bounds, and for the time.
fn is_named(column: &Column) -> bool {
    column.name != "time" && column.name.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Columns of numbers that a chart draws.
fn numbers(panel: &Panel) -> impl Iterator<Item = &Column> {
    panel.columns.iter().filter(|column| !matches!(column.unit.as_str(), "" | "time"))
}

/// Columns that name a line of a chart.
fn labels(panel: &Panel) -> impl Iterator<Item = &Column> {
    panel.columns.iter().filter(|column| column.unit.is_empty())
}

fn defaults(placed: &Placed, panel: &Panel) -> Value {
    let unit = match placed.kind {
        // Each column of a table says its own.
        Kind::Table => "short",
        _ => numbers(panel).next().map_or("short", |column| unit(&column.unit)),
    };
    let mut defaults = json!({"color": {"mode": "palette-classic"}, "unit": unit});
    match placed.kind {
        Kind::Timeseries => {
            defaults["min"] = 0.into();
            defaults["custom"] = json!({
                "axisLabel": "", "drawStyle": "line", "fillOpacity": 8, "lineWidth": 1,
                "pointSize": 4, "showPoints": "auto", "spanNulls": false,
                // Lines that are added up hide which of them moved.
                "stacking": {"group": "A", "mode": "none"},
            });
            let names: Vec<String> =
                labels(panel).map(|c| format!("${{__field.labels.{}}}", c.name)).collect();
            if !names.is_empty() {
                defaults["displayName"] = names.join(" ").into();
            }
        }
        Kind::States => {
            defaults["color"] = json!({"mode": "thresholds"});
            defaults["custom"] = json!({"fillOpacity": 80, "lineWidth": 0, "spanNulls": true});
            defaults["displayName"] = "${__field.labels.worker}".into();
            defaults["mappings"] = json!([{"type": "value", "options": states()}]);
            defaults["thresholds"] = steps(&[("transparent", None)]);
        }
        Kind::Table | Kind::Sparklines => {
            defaults["custom"] = json!({"align": "auto", "cellOptions": {"type": "auto"}});
        }
        Kind::Heatmap => defaults["custom"] = json!({"scaleDistribution": {"type": "linear"}}),
        Kind::Stat | Kind::Flamegraph => {}
    }
    defaults
}

/// The numbers of `worker_states` in words; each has one, so that no meaning is in a colour alone.
fn states() -> Value {
    let colors =
        ["transparent", "gray", "red", "orange", "purple", "blue", "yellow", "brown", "dark-green"];
    let names = std::iter::once("free").chain(holdup::contract::CAUSES);
    let mut options = serde_json::Map::new();
    for (number, (name, color)) in names.zip(colors).enumerate() {
        let mapped = json!({"color": color, "index": number, "text": name});
        options.insert(number.to_string(), mapped);
    }
    options.into()
}

fn steps(steps: &[(&str, Option<f64>)]) -> Value {
    let steps: Vec<Value> =
        steps.iter().map(|(color, from)| json!({"color": color, "value": from})).collect();
    json!({"mode": "absolute", "steps": steps})
}

fn overrides(placed: &Placed, panel: &Panel) -> Vec<Value> {
    let mut all = Vec::new();
    for column in panel.columns.iter().filter(|column| column.name != "time") {
        let mut properties = Vec::new();
        let mut set = |id: &str, value: Value| properties.push(json!({"id": id, "value": value}));
        match placed.kind {
            Kind::Stat | Kind::Table => {
                set("displayName", heading(&column.name).into());
                set("unit", unit(&column.unit).into());
            }
            Kind::Timeseries if labels(panel).next().is_none() => {
                set("displayName", heading(&column.name).into());
                set("unit", unit(&column.unit).into());
            }
            _ => {}
        }
        if placed.kind == Kind::Stat {
            let alarm = placed.alarms.get(&column.name);
            let bad = alarm.map(|from| ("red", Some(*from)));
            let levels: Vec<_> = std::iter::once(("text", None)).chain(bad).collect();
            set("color", json!({"mode": "thresholds"}));
            set("thresholds", steps(&levels));
        }
        if placed.kind == Kind::Table {
            if placed.hidden.contains(&column.name) {
                set("custom.hidden", true.into());
            }
            if let Some(width) = width_px(column) {
                set("custom.width", width.into());
            }
            if column.unit == "share" {
                set("custom.cellOptions", json!({"type": "gauge", "mode": "basic"}));
                set("min", 0.into());
                set("max", 1.into());
            }
            if let Some(link) = links::of(&column.name, panel) {
                set("links", json!([link]));
            }
        }
        if !properties.is_empty() {
            let matcher = json!({"id": "byName", "options": column.name});
            all.push(json!({"matcher": matcher, "properties": properties}));
        }
    }
    all
}

/// What a column needs that would be cut in its share of the table.
fn width_px(column: &Column) -> Option<u32> {
    match (column.name.as_str(), column.unit.as_str()) {
        ("function", _) => Some(270),
        ("blame_function", _) => Some(200),
        ("summary", _) => Some(400),
        (_, "unix ms") => Some(165),
        _ => None,
    }
}

/// Grafana's name of a unit.
fn unit(unit: &str) -> &'static str {
    match unit {
        "ns" => "ns",
        "unix ms" => "dateTimeAsIso",
        "share" => "percentunit",
        "bytes" => "bytes",
        // As it is: a version 1.10 would become 1.1, and an index a time.
        "" => "string",
        _ => "short",
    }
}

/// A column's name as a reader would write it.
fn heading(column: &str) -> String {
    let words = column.trim_end_matches("_ns").trim_end_matches("_ms");
    let words = words.replace("_ns_a", "_a").replace('_', " ");
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn options(placed: &Placed) -> Value {
    match placed.kind {
        Kind::Stat => json!({
            "colorMode": "value", "graphMode": "none", "justifyMode": "auto",
            "orientation": "vertical", "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "/.*/", "values": false},
            "showPercentChange": false, "textMode": "auto", "wideLayout": true,
        }),
        Kind::Timeseries => json!({
            "legend": {
                "calcs": ["max", "lastNotNull"], "displayMode": "table", "placement": "bottom",
                "showLegend": true, "sortBy": "Max", "sortDesc": true,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }),
        Kind::Table => table(),
        Kind::Sparklines => {
            let mut table = table();
            table["sortBy"] = json!([{"displayName": "Trend", "desc": true}]);
            table
        }
        Kind::Heatmap => json!({
            "calculate": false,
            "cellGap": 1,
            "cellValues": {"unit": "short"},
            "color": {
                "exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": false,
                "scale": "exponential", "scheme": "Oranges", "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": true},
            "showValue": "auto",
            // A column's name is the upper bound of its bucket.
            "rowsFrame": {"layout": "le", "value": "Slow polls"},
            "tooltip": {"mode": "single", "showColorScale": false, "yHistogram": true},
            "yAxis": {"axisPlacement": "left", "reverse": false, "unit": "s"},
        }),
        Kind::Flamegraph => json!({}),
        Kind::States => json!({
            "alignValue": "left", "mergeValues": true, "rowHeight": 0.9, "showValue": "auto",
            "legend": {
                "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true,
            },
            "tooltip": {"mode": "single", "sort": "none"},
        }),
    }
}

fn table() -> Value {
    json!({"cellHeight": "sm", "showHeader": true})
}

#[cfg(test)]
mod tests {
    use super::heading;

    #[test]
    fn headings_are_words() {
        assert_eq!(heading("blocked_ns_a_minute"), "Blocked a minute");
        assert_eq!(heading("blocked_ns_an_hour"), "Blocked an hour");
        assert_eq!(heading("first_seen_ms"), "First seen");
        assert_eq!(heading("runqueue_share"), "Runqueue share");
    }
}
