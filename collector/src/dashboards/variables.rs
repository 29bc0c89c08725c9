//! The choices above a dashboard.

use serde_json::{Value, json};

use super::layout::Variable;
use super::statement::{self, ALL_VALUE, StatementError};
use super::{DATA_SOURCE_TYPE, DATA_SOURCE_UID, data_source};
use crate::store::catalog;

/// All variables of a dashboard: the data source, where traces are, and what its layout names.
pub(super) fn of(variables: &[Variable]) -> Result<Vec<Value>, StatementError> {
    let mut all = vec![
        source("datasource", "Data source", DATA_SOURCE_TYPE, Some(("Holdup", DATA_SOURCE_UID))),
        // Links of trace ids lead there. Without one they lead to an empty Explore.
        source("traces", "Traces", "tempo", None),
    ];
    for variable in variables {
        all.push(query(*variable, variables)?);
    }
    Ok(all)
}

fn source(name: &str, label: &str, plugin: &str, current: Option<(&str, &str)>) -> Value {
    let mut json = json!({
        "type": "datasource",
        "name": name,
        "label": label,
        "query": plugin,
        "hide": 0,
        "includeAll": false,
        "multi": false,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": false,
    });
    if let Some((text, value)) = current {
        json["current"] = json!({"text": text, "value": value});
    }
    json
}

fn query(variable: Variable, of_dashboard: &[Variable]) -> Result<Value, StatementError> {
    // Only what stands before it narrows it: a variable that needed itself would never load.
    let before: Vec<Variable> =
        of_dashboard.iter().copied().take_while(|other| *other != variable).collect();
    let sql = statement::of(&catalog::variable(variable.name()), &before, 0)?;
    let several = variable.takes_several();
    let mut json = json!({
        "type": "query",
        "name": variable.name(),
        "label": variable.label(),
        "datasource": data_source(),
        "query": sql,
        "hide": 0,
        "includeAll": several,
        "multi": several,
        "options": [],
        // With the range: a service that appears while one looks can be chosen.
        "refresh": 2,
        "regex": "",
        "skipUrlSync": false,
        "sort": 0,
    });
    if several {
        json["allValue"] = ALL_VALUE.into();
        json["current"] = json!({"text": ["All"], "value": ["$__all"]});
    }
    Ok(json)
}
