//! Makes samples of the rows that a rule's query gave.
//!
//! Text columns are labels, `value` is the value, `volume` is what `min_volume` is held against,
//! `since` is when what the row tells of began. The rest, and what `info` names, is told only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::measure::Measured;
use super::template::{Values, Variable, is_name};
use super::{ANNOTATION_BYTES_MAX, LABEL_BYTES_MAX, LABELS_MAX, Question, Rule, cut, nearest};
use crate::alerts::{Labels, Level, Sample};

/// What a query gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// Its columns.
    pub(crate) columns: Vec<Column>,
    /// Its rows, a value a column.
    pub(crate) rows: Vec<Vec<Value>>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) kind: Kind,
}

/// What a column holds, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A label, unless it is told only.
    Text,
    /// A number.
    Number,
    /// A point in time, as unix seconds.
    Time,
    /// Anything else.
    Other,
}

impl Kind {
    /// By ClickHouse's name of the type.
    pub(crate) fn of(of_type: &str) -> Self {
        let aggregated = of_type.strip_prefix("SimpleAggregateFunction(");
        let mut inner = aggregated.and_then(|of| of.split_once(", ")).map_or(of_type, |(_, of)| of);
        for wrapper in ["LowCardinality(", "Nullable("] {
            inner = inner.strip_prefix(wrapper).unwrap_or(inner);
        }
        let is = |names: &[&str]| names.iter().any(|name| inner.starts_with(name));
        if is(&["String", "FixedString", "Enum"]) {
            Self::Text
        } else if is(&["UInt", "Int", "Float", "Decimal", "Bool"]) {
            Self::Number
        } else if is(&["DateTime"]) {
            Self::Time
        } else {
            Self::Other
        }
    }
}

/// Columns with a meaning of their own.
const VALUE: &str = "value";
const VOLUME: &str = "volume";
const SINCE: &str = "since";

/// What is wrong with a rule, given its query's columns.
pub(crate) fn problems_of_columns(rule: &Rule, columns: &[Column]) -> Vec<String> {
    let mut problems = Vec::new();
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    let names = || columns.iter().map(|column| column.name.as_str());
    match find(VALUE) {
        None => problems.push(format!(
            "the query gives no column `value`: it has {}",
            names().collect::<Vec<_>>().join(", ")
        )),
        Some(column) if column.kind != Kind::Number => {
            problems.push("column `value` is no number".into());
        }
        Some(_) => {}
    }
    if rule.min_volume.is_some() && find(VOLUME).is_none_or(|c| c.kind != Kind::Number) {
        problems.push("`min_volume` needs a column `volume` that is a number".into());
    }
    if find(SINCE).is_some_and(|column| column.kind != Kind::Time) {
        problems.push("column `since` is no DateTime64".into());
    }
    for name in rule.info.iter().filter(|name| find(name).is_none()) {
        problems.push(format!("info: there is no column `{name}`{}", nearest(name, names())));
    }
    let labels: BTreeSet<&str> = columns
        .iter()
        .filter(|c| is_label(rule, &c.name, c.kind))
        .map(|c| c.name.as_str())
        .collect();
    for name in labels.iter().filter(|name| !is_name(name)) {
        problems.push(format!("column `{name}` is no name of a label: rename it with AS"));
    }
    if labels.contains("alertname") {
        problems.push("column `alertname`: that label is the rule's name, always".into());
    }
    if labels.len() + rule.labels.len() > LABELS_MAX {
        problems.push(format!("more than {LABELS_MAX} labels"));
    }
    let told: BTreeSet<&str> = names().filter(|name| !labels.contains(name)).collect();
    problems.extend(problems_of_templates(rule, &labels, &told, columns));
    problems
}

fn problems_of_templates(
    rule: &Rule,
    labels: &BTreeSet<&str>,
    told: &BTreeSet<&str>,
    columns: &[Column],
) -> Vec<String> {
    let own = rule.labels.keys().map(String::as_str);
    let in_labels: BTreeSet<&str> = labels.clone();
    let in_annotations: BTreeSet<&str> = labels.iter().copied().chain(own).collect();
    let mut problems = Vec::new();
    for (templates, known) in [(&rule.labels, &in_labels), (&rule.annotations, &in_annotations)] {
        for (name, template) in templates {
            for variable in template.variables() {
                let (prefix, wanted, known) = match variable {
                    Variable::Label(wanted) => ("labels", wanted, known),
                    Variable::Info(wanted) => ("info", wanted, told),
                    Variable::Value => continue,
                };
                if !known.contains(wanted.as_str()) {
                    let is_told = prefix == "labels" && told.contains(wanted.as_str());
                    let column = columns.iter().find(|column| is_told && column.name == *wanted);
                    let hint = match column {
                        Some(column) => no_label(column),
                        None => nearest(wanted, known.iter().copied()),
                    };
                    problems.push(format!("{name}: there is no `${prefix}.{wanted}`{hint}"));
                }
            }
        }
    }
    problems
}

/// Why a column is no label, and what to write.
fn no_label(Column { name, kind }: &Column) -> String {
    let what = match kind {
        Kind::Text => return format!(": it is in `info`, write `$info.{name}`"),
        Kind::Number => "a number",
        Kind::Time => "a time",
        Kind::Other => "no text",
    };
    format!(
        ": `{name}` is {what}, which is told and no label; write `$info.{name}`, or \
         select `toString({name}) AS {name}` where it says which alert it is"
    )
}

/// Whether a column of that name and kind says which alert a row is.
pub(crate) fn is_label(rule: &Rule, name: &str, kind: Kind) -> bool {
    kind == Kind::Text && name != VALUE && !rule.info.iter().any(|told| told == name)
}

/// The samples of a rule's answer, and of the answer of its `resolve_expr` where that was asked.
pub(crate) fn samples(
    rule: &Rule,
    answer: &Answer,
    resolves: Option<&Answer>,
) -> Result<Vec<Sample>, String> {
    let mut samples = rows(rule, answer, true)?;
    let mut known: BTreeSet<Labels> = samples.iter().map(|sample| sample.labels.clone()).collect();
    if known.len() < samples.len() {
        return Err("two rows have the same labels: group by the text columns".into());
    }
    for mut sample in
        resolves.map(|answer| rows(rule, answer, false)).transpose()?.unwrap_or_default()
    {
        if known.insert(sample.labels.clone()) {
            sample.level = Level::Holding;
            samples.push(sample);
        }
    }
    Ok(samples)
}

fn rows(rule: &Rule, answer: &Answer, leave_out_few: bool) -> Result<Vec<Sample>, String> {
    let columns = || answer.columns.iter();
    if !columns().any(|column| column.name == VALUE) {
        return Err("the query gives no column `value`".into());
    }
    let mut samples = Vec::new();
    for row in &answer.rows {
        let (mut measured, mut volume, mut began_ms) = (Measured::default(), None, None);
        let mut value = None;
        for (column, cell) in columns().zip(row) {
            match column.name.as_str() {
                VALUE => value = cell.as_f64(),
                VOLUME => volume = cell.as_f64(),
                SINCE => began_ms = unix_ms(cell),
                _ => {}
            }
            let (names, text) = if is_label(rule, &column.name, column.kind) {
                (&mut measured.labels, cut(written(cell), LABEL_BYTES_MAX))
            } else {
                (&mut measured.info, cut(written(cell), ANNOTATION_BYTES_MAX))
            };
            names.insert(column.name.clone(), text);
        }
        let few = rule.min_volume.is_some_and(|least| volume.is_none_or(|volume| volume < least));
        // A value that is none, a quotient of nothing, says nothing.
        let Some(value) = value.filter(|_| !(few && leave_out_few)) else { continue };
        measured.value = value;
        samples.extend(sample(rule, &measured, began_ms));
    }
    Ok(samples)
}

/// The samples of what the collector measures of itself.
pub(crate) fn measured_samples(rule: &Rule, rows: &[Measured]) -> Vec<Sample> {
    rows.iter().filter_map(|row| sample(rule, row, None)).collect()
}

/// One row as a sample, unless it is under all thresholds.
fn sample(rule: &Rule, row: &Measured, began_ms: Option<u64>) -> Option<Sample> {
    let level = match (rule.threshold, rule.resolve_threshold) {
        (Some(fires), _) if row.value >= fires => Level::Over,
        (Some(_), Some(resolves)) if row.value >= resolves => Level::Holding,
        (Some(_), _) => return None,
        (None, _) => Level::Over,
    };
    let mut labels: Labels = row.labels.clone();
    // As Prometheus has it, a label without a value is none.
    labels.retain(|_, value| !value.is_empty());
    let values = Values { labels: &row.labels, value: row.value, info: &row.info };
    for (name, template) in &rule.labels {
        labels.insert(name.clone(), cut(template.fill(&values), LABEL_BYTES_MAX));
    }
    labels.insert("alertname".into(), rule.name.clone());
    let all = Values { labels: &labels, value: row.value, info: &row.info };
    let annotations: BTreeMap<String, String> = rule
        .annotations
        .iter()
        .map(|(name, template)| (name.clone(), cut(template.fill(&all), ANNOTATION_BYTES_MAX)))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    Some(Sample { labels, annotations, value: row.value, level, began_ms })
}

/// The columns of what the collector measures of itself.
pub(crate) fn columns_of(rule: &Rule) -> Option<Vec<Column>> {
    let Question::Measure(measure) = &rule.question else { return None };
    let text = |name: &&str| Column { name: (*name).to_owned(), kind: Kind::Text };
    let value = Column { name: VALUE.to_owned(), kind: Kind::Number };
    let other = |name: &&str| Column { name: (*name).to_owned(), kind: Kind::Other };
    let labels = measure.labels().iter().map(text);
    Some(labels.chain(measure.info().iter().map(other)).chain([value]).collect())
}

fn written(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(written).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

/// A `DateTime64` that was written as unix seconds with decimals.
fn unix_ms(cell: &Value) -> Option<u64> {
    let seconds = match cell {
        Value::String(text) => text.parse::<f64>().ok()?,
        other => other.as_f64()?,
    };
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(since.as_millis()).ok().filter(|ms| *ms > 0)
}

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
