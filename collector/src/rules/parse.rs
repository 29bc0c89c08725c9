//! Reads a rule file: YAML in Prometheus's shape, with SQL in `expr`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::measure::Measure;
use super::template::{Template, Variable, is_name};
use super::{LABELS_MAX, Origin, Question, Rule, Sql, nearest};

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The file.
    pub(crate) file: String,
    /// The line; 0 where it is not known.
    pub(crate) line: usize,
    /// What, and what to do.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    groups: Vec<RawGroup>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: Spanned<String>,
    interval: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    #[serde(default)]
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    alert: Spanned<String>,
    expr: Option<Spanned<String>>,
    measure: Option<Spanned<String>>,
    #[serde(rename = "for")]
    for_: Option<Spanned<String>>,
    keep_firing_for: Option<Spanned<String>>,
    resolve_expr: Option<Spanned<String>>,
    threshold: Option<f64>,
    resolve_threshold: Option<f64>,
    min_volume: Option<f64>,
    lag: Option<Spanned<String>>,
    window: Option<Spanned<String>>,
    #[serde(default)]
    needs_all_rows: bool,
    enabled: Option<bool>,
    #[serde(default)]
    info: Vec<Spanned<String>>,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    annotations: BTreeMap<String, Spanned<String>>,
}

/// What a group has where it says nothing.
const INTERVAL: Duration = Duration::from_secs(60);
/// Shorter, and the queries of one rule would run into each other.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// What waits for a query is a stall that should have been told.
const TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(300);
/// Labels that come from elsewhere.
const RESERVED: [&str; 1] = ["alertname"];

/// The rules of a file, or all that is wrong with it.
pub(super) fn parse(file: &str, text: &str, built_in: bool) -> Result<Vec<Rule>, Vec<Problem>> {
    let mut reader = Reader { file, built_in, problems: Vec::new() };
    let raw: RawFile = match read(text) {
        Ok(raw) => raw,
        Err((line, message)) => {
            reader.problem(line, message);
            return Err(reader.problems);
        }
    };
    let mut rules = Vec::new();
    let mut groups = BTreeSet::new();
    for group in raw.groups {
        if !groups.insert(group.name.value.clone()) {
            let message = format!("a second group `{}`: give it another name", group.name.value);
            reader.problem(line(&group.name), message);
        }
        reader.group(group, &mut rules);
    }
    if reader.problems.is_empty() { Ok(rules) } else { Err(reader.problems) }
}

/// Reads YAML; an error has its line and, for an unknown key, the one that was meant.
pub(crate) fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, (usize, String)> {
    serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(0, |at| usize::try_from(at.line()).unwrap_or(0));
        let told = error.without_snippet().to_string();
        let told = told.split(" at line ").next().unwrap_or_default();
        let told = told.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
        (line, format!("{told}{}", meant(told)))
    })
}

/// For "unknown field `x`, expected one of a, b": what x was probably meant to be.
fn meant(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field `") else { return String::new() };
    let Some((unknown, rest)) = rest.split_once('`') else { return String::new() };
    let known = rest.split_once("expected ").map_or("", |(_, known)| known);
    let known = known.trim_start_matches("one of ").split(", ");
    nearest(unknown, known.map(|name| name.trim_matches('`')))
}

fn line<T>(at: &Spanned<T>) -> usize {
    usize::try_from(at.referenced.line()).unwrap_or(0)
}

struct Reader<'a> {
    file: &'a str,
    built_in: bool,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(Problem { file: self.file.to_owned(), line, message: message.into() });
    }

    fn group(&mut self, group: RawGroup, rules: &mut Vec<Rule>) {
        let interval = self.duration("interval", group.interval.as_ref(), INTERVAL);
        if interval < INTERVAL_MIN {
            let at = group.interval.as_ref().map_or(0, line);
            self.problem(at, "interval is less than a second");
        }
        let timeout = self.duration("timeout", group.timeout.as_ref(), TIMEOUT.min(interval));
        if timeout > TIMEOUT_MAX || timeout.is_zero() {
            let at = group.timeout.as_ref().map_or(0, line);
            self.problem(at, "timeout is more than 0s and at most 30s: all rules wait for it");
        }
        for raw in group.rules {
            if let Some(rule) = self.rule(&raw, &group.name.value, interval, timeout) {
                rules.push(rule);
            }
        }
    }

    fn rule(
        &mut self,
        raw: &RawRule,
        group: &str,
        interval: Duration,
        timeout: Duration,
    ) -> Option<Rule> {
        let at = line(&raw.alert);
        let name = raw.alert.value.clone();
        if !is_name(&name) || name.len() > 128 {
            let message = format!("`{name}` is no name of an alert: use letters, digits and _");
            self.problem(at, message);
        }
        self.check_thresholds(raw, at);
        // What is switched off is known by its name; nothing else needs to be there.
        let enabled = raw.enabled.unwrap_or(true);
        let question = match self.question(raw) {
            Some(question) => question,
            None if enabled => {
                self.problem(at, "a rule has either `expr`, SQL, or `measure`");
                return None;
            }
            None => Question::Measure(Measure::Always),
        };
        let origin = Origin { file: self.file.to_owned(), line: at, built_in: self.built_in };
        Some(Rule {
            name,
            group: group.to_owned(),
            origin,
            enabled,
            question,
            resolve_expr: raw.resolve_expr.as_ref().map(sql),
            threshold: raw.threshold,
            resolve_threshold: raw.resolve_threshold,
            min_volume: raw.min_volume,
            interval,
            for_: self.duration("for", raw.for_.as_ref(), Duration::ZERO),
            keep_firing_for: self.duration(
                "keep_firing_for",
                raw.keep_firing_for.as_ref(),
                Duration::ZERO,
            ),
            lag: self.duration("lag", raw.lag.as_ref(), Duration::ZERO),
            window: self.duration("window", raw.window.as_ref(), WINDOW),
            timeout,
            needs_all_rows: raw.needs_all_rows,
            info: raw.info.iter().map(|name| name.value.clone()).collect(),
            labels: self.labels(&raw.labels),
            annotations: self.annotations(&raw.annotations),
        })
    }

    fn check_thresholds(&mut self, raw: &RawRule, at: usize) {
        match (raw.threshold, raw.resolve_threshold) {
            (None, Some(_)) => {
                self.problem(at, "`resolve_threshold` without `threshold`: say when it fires");
            }
            (Some(fires), Some(resolves)) if resolves > fires => {
                self.problem(at, "`resolve_threshold` is over `threshold`: it would never hold");
            }
            _ => {}
        }
        if raw.resolve_threshold.is_some() && raw.resolve_expr.is_some() {
            self.problem(at, "a rule has `resolve_expr` or `resolve_threshold`, not both");
        }
        if raw.measure.is_some() && (raw.resolve_expr.is_some() || raw.min_volume.is_some()) {
            self.problem(at, "`resolve_expr` and `min_volume` are for rules with `expr`");
        }
    }

    fn question(&mut self, raw: &RawRule) -> Option<Question> {
        match (&raw.expr, &raw.measure) {
            (Some(expr), None) => {
                if expr.value.trim().is_empty() {
                    self.problem(line(expr), "`expr` is empty");
                }
                Some(Question::Sql(sql(expr)))
            }
            (None, Some(measure)) => match Measure::named(measure.value.trim()) {
                Ok(measure) => Some(Question::Measure(measure)),
                Err(message) => {
                    self.problem(line(measure), message);
                    Some(Question::Measure(Measure::Always))
                }
            },
            (Some(expr), Some(_)) => {
                self.problem(line(expr), "a rule has `expr` or `measure`, not both");
                Some(Question::Sql(sql(expr)))
            }
            (None, None) => None,
        }
    }

    fn duration(&mut self, key: &str, text: Option<&Spanned<String>>, else_: Duration) -> Duration {
        let Some(text) = text else { return else_ };
        if text.value == "0" {
            return Duration::ZERO;
        }
        humantime::parse_duration(&text.value).unwrap_or_else(|error| {
            let message =
                format!("{key}: `{}` is no duration, as 30s or 1h30m: {error}", text.value);
            self.problem(line(text), message);
            else_
        })
    }

    fn labels(&mut self, raw: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, Template> {
        self.names("label", raw);
        for (name, text) in raw.iter().filter(|(name, _)| RESERVED.contains(&name.as_str())) {
            self.problem(line(text), format!("label `{name}` is the rule's name, always"));
        }
        let templates = self.templates(raw);
        for (name, template) in &templates {
            let moves = |v: &Variable| !matches!(v, Variable::Label(_));
            if template.variables().any(moves) {
                let message = format!(
                    "label `{name}`: labels say which alert it is, and a value that changes would \
                     make another one of it: put it into an annotation"
                );
                self.problem(raw.get(name).map_or(0, line), message);
            }
        }
        templates
    }

    fn annotations(
        &mut self,
        raw: &BTreeMap<String, Spanned<String>>,
    ) -> BTreeMap<String, Template> {
        self.names("annotation", raw);
        self.templates(raw)
    }

    fn names(&mut self, what: &str, raw: &BTreeMap<String, Spanned<String>>) {
        for (name, text) in raw.iter().filter(|(name, _)| !is_name(name)) {
            let message = format!("`{name}` is no name of a {what}: use letters, digits and _");
            self.problem(line(text), message);
        }
        if raw.len() > LABELS_MAX {
            let at = raw.values().next().map_or(0, line);
            self.problem(at, format!("more than {LABELS_MAX} {what}s of one rule"));
        }
    }

    fn templates(&mut self, raw: &BTreeMap<String, Spanned<String>>) -> BTreeMap<String, Template> {
        let mut templates = BTreeMap::new();
        for (name, text) in raw {
            match Template::parse(text.value.trim_end()) {
                Ok(template) => {
                    templates.insert(name.clone(), template);
                }
                Err(message) => self.problem(line(text), format!("{name}: {message}")),
            }
        }
        templates
    }
}

fn sql(text: &Spanned<String>) -> Sql {
    Sql { text: text.value.trim_end().trim_end_matches(';').to_owned(), line: line(text) }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
