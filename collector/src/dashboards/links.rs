//! Where a cell leads: from general to specific.

use serde_json::{Value, json};

use crate::store::catalog::Panel;

/// The link of a column's cells.
pub(super) fn of(column: &str, panel: &Panel) -> Option<Value> {
    let has = |name: &str| panel.columns.iter().any(|column| column.name == name);
    let cell = |name: &str| format!("${{__data.fields.{name}:percentencode}}");
    // A row that names its service leads to that one, else the choice stays.
    let service = if has("service") {
        format!("var-service={}", cell("service"))
    } else {
        "${service:queryparam}".to_owned()
    };
    let kept = "${__url_time_range}&var-datasource=${datasource}&var-traces=${traces}";
    match column {
        "service" => Some(json!({
            "title": "How this service does",
            "url": format!("/d/holdup-service?{service}&{kept}"),
        })),
        "function" => Some(json!({
            "title": "What this function does while it blocks",
            "url": format!("/d/holdup-function?{service}&var-function={}&{kept}", cell("function")),
        })),
        "trace_id" | "worst_trace_id" => {
            Some(json!({"title": "The trace", "url": trace(&cell(column))}))
        }
        _ => None,
    }
}

/// Explore, with the trace in the data source of the variable `traces`.
fn trace(id: &str) -> String {
    const QUERY: &str = "%7B%22refId%22:%22A%22,%22queryType%22:%22traceql%22,%22datasource%22:\
                         %7B%22type%22:%22tempo%22,%22uid%22:%22${traces}%22%7D,%22query%22:%22";
    format!(
        "/explore?schemaVersion=1&panes=%7B%22a%22:%7B%22datasource%22:%22${{traces}}%22,\
         %22queries%22:%5B{QUERY}{id}%22%7D%5D,%22range%22:%7B%22from%22:%22${{__from}}%22,\
         %22to%22:%22${{__to}}%22%7D%7D%7D"
    )
}
