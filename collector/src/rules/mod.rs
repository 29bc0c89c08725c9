//! Alert rules: what they are, and how they are read from files. No clock, and no ClickHouse.

mod described;
mod humanize;
mod load;
mod measure;
mod parse;
mod samples;
mod template;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use load::{LoadError, load, load_one};
pub(crate) use measure::{Measure, Measured};
pub(crate) use parse::{Problem, read};
pub(crate) use samples::{
    Answer, Column, Kind, columns_of, is_label, measured_samples, problems_of_columns, samples,
};
pub(crate) use template::{Template, Variable};

/// The most rules of all files.
pub(crate) const RULES_MAX: usize = 500;
/// The most bytes of one file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most alerts of one rule at a time; what is past it is counted and said.
pub(crate) const ALERTS_MAX: usize = 1_000;
/// The most rows that a rule's query may give. More of them, and it fails.
pub(crate) const ROWS_MAX: u32 = 10_000;
/// The most labels of an alert, and annotations of a rule.
const LABELS_MAX: usize = 30;
/// The most bytes of a label's value; longer ones are cut.
const LABEL_BYTES_MAX: usize = 1_024;
/// The most bytes of an annotation; longer ones are cut.
const ANNOTATION_BYTES_MAX: usize = 8 << 10;

/// One rule, with all that its group says filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// `alertname` of its alerts.
    pub(crate) name: String,
    /// Its group.
    pub(crate) group: String,
    /// Where it was read.
    pub(crate) origin: Origin,
    /// Whether it is evaluated.
    pub(crate) enabled: bool,
    /// What it asks.
    pub(crate) question: Question,
    /// Rows of this keep an alert that fires firing.
    pub(crate) resolve_expr: Option<Sql>,
    /// Rows with this value at least are alerts; without it, all rows are.
    pub(crate) threshold: Option<f64>,
    /// Rows with this value at least keep an alert that fires firing.
    pub(crate) resolve_threshold: Option<f64>,
    /// Rows whose column `volume` is less are left out.
    pub(crate) min_volume: Option<f64>,
    /// Time between two evaluations.
    pub(crate) interval: Duration,
    /// How long a row must be there before its alert fires.
    pub(crate) for_: Duration,
    /// How long an alert fires on after its row was there last.
    pub(crate) keep_firing_for: Duration,
    /// How far behind the clock the range ends that is asked for.
    pub(crate) lag: Duration,
    /// How long that range is.
    pub(crate) window: Duration,
    /// How long the query may take.
    pub(crate) timeout: Duration,
    /// Whether its rows tell that something is missing: it waits while rows are late.
    pub(crate) needs_all_rows: bool,
    /// Columns that are told and do not identify.
    pub(crate) info: Vec<String>,
    /// Labels beside those of the row.
    pub(crate) labels: BTreeMap<String, Template>,
    /// What is told.
    pub(crate) annotations: BTreeMap<String, Template>,
}

/// Where a rule was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The file.
    pub(crate) file: String,
    /// The line of its name.
    pub(crate) line: usize,
    /// Whether it came with the program.
    pub(crate) built_in: bool,
}

/// What a rule asks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Question {
    /// ClickHouse.
    Sql(Sql),
    /// The collector, of itself.
    Measure(Measure),
}

/// A query, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sql {
    /// Its text.
    pub(crate) text: String,
    /// The line of its first one in the file.
    pub(crate) line: usize,
}

/// The known name that an unknown one was probably meant to be, as a remark.
fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |name: &&str| strsim::damerau_levenshtein(unknown, name);
    let nearest = known.into_iter().min_by_key(distance);
    let nearest = nearest.filter(|name| distance(name) <= 1 + name.len() / 2);
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// The text, cut between two characters where it is too long.
fn cut(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = "…";
    if text.len() > bytes_max {
        let mut end = bytes_max - MARK.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}
