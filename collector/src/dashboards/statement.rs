//! A query's SQL as Grafana's data source sends it: parameters become macros and variables.

use super::layout::Variable;

/// Text for `All`: an empty name, which the statements below leave out. The names themselves would
/// be a statement of megabytes where there are thousands.
pub(super) const ALL_VALUE: &str = "''";

/// Why a query can't be one of Grafana's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatementError {
    /// A parameter that has no counterpart.
    #[error("parameter {{{0}}} is unknown: use those of queries/README.md")]
    Parameter(String),
    /// A `{` without its end.
    #[error("a parameter has no end")]
    Unclosed,
    /// A `$` would be taken for a variable.
    #[error("the SQL contains a $, which Grafana would expand: write it otherwise")]
    Dollar,
    /// The file can't be written.
    #[error("no YAML: {0}")]
    Unwritable(String),
}

/// The SQL for a dashboard whose reader may choose these variables.
pub(super) fn of(sql: &str, variables: &[Variable], limit: u32) -> Result<String, StatementError> {
    if sql.contains('$') {
        return Err(StatementError::Dollar);
    }
    let mut out = String::with_capacity(sql.len() + 512);
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('{') {
        let (parameter, behind) = after.split_once('}').ok_or(StatementError::Unclosed)?;
        out.push_str(before);
        out.push_str(&replacement(parameter, variables, limit)?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out.trim().to_owned())
}

fn replacement(
    parameter: &str,
    variables: &[Variable],
    limit: u32,
) -> Result<String, StatementError> {
    let (name, _type) = parameter.split_once(':').unwrap_or((parameter, ""));
    let text = match name {
        "from" => "$__fromTime_ms".to_owned(),
        "to" => "$__toTime_ms".to_owned(),
        // Alert rules ask for it. What evaluates them has no other clock.
        "now" => "now64(3, 'UTC')".to_owned(),
        // The rollups are of minutes.
        "step" => "greatest(60, $__interval_s)".to_owned(),
        "limit" => limit.to_string(),
        _ => {
            let known = Variable::ALL.into_iter().find(|variable| variable.name() == name);
            let variable = known.ok_or_else(|| StatementError::Parameter(parameter.to_owned()))?;
            chosen(variable, variables.contains(&variable))
        }
    };
    Ok(text)
}

/// What is chosen of a variable, or that nothing is when the dashboard does not have it.
fn chosen(variable: Variable, is_there: bool) -> String {
    let name = variable.name();
    match (variable.takes_several(), is_there) {
        // Plain `$name` would be quoted, but not escaped.
        (true, true) => format!("arrayFilter(v -> v != '', [${{{name}:singlequote}}])"),
        (true, false) => "emptyArrayString()".to_owned(),
        (false, true) => format!("${{{name}:singlequote}}"),
        (false, false) => "''".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{StatementError, of};
    use crate::dashboards::layout::Variable;

    #[test]
    fn parameters_become_macros_and_variables() {
        let sql = "a >= {from:DateTime64(3, 'UTC')} AND s IN {service:Array(String)} \
                   AND {function:String} = f LIMIT {limit:UInt32}";
        let with = of(sql, &[Variable::Service, Variable::Function], 7).unwrap();
        assert_eq!(
            with,
            "a >= $__fromTime_ms AND s IN arrayFilter(v -> v != '', [${service:singlequote}]) \
             AND ${function:singlequote} = f LIMIT 7"
        );
        let without = of(sql, &[], 7).unwrap();
        assert_eq!(without, "a >= $__fromTime_ms AND s IN emptyArrayString() AND '' = f LIMIT 7");
    }

    #[test]
    fn what_grafana_would_misread_is_refused() {
        assert_eq!(of("a = '$x'", &[], 1), Err(StatementError::Dollar));
        assert_eq!(of("{from", &[], 1), Err(StatementError::Unclosed));
        let unknown = of("{since:String}", &[], 1);
        assert_eq!(unknown, Err(StatementError::Parameter("since:String".into())));
    }
}
