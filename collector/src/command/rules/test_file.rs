//! The files of `holdup rules test`, in the shape of promtool's.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

/// A file of tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestFile {
    /// Rule files beside the built-in ones, relative to this file.
    #[serde(default)]
    pub(super) rule_files: Vec<String>,
    /// The tests.
    pub(super) tests: Vec<Test>,
}

/// One test: what is there, and which alerts that gives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Test {
    /// What it shows.
    pub(super) name: Spanned<String>,
    /// Rows of tables.
    #[serde(default)]
    pub(super) rows: Vec<Rows>,
    /// What the collector measures of itself.
    #[serde(default)]
    pub(super) measures: Vec<Given>,
    /// What is expected.
    pub(super) alert_rule_test: Vec<Expected>,
}

/// Rows that a table gets.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rows {
    /// The table.
    pub(super) table: String,
    /// When they get there, after the beginning.
    #[serde(default, with = "humantime_serde")]
    pub(super) at: Duration,
    /// More of them, each later.
    pub(super) repeat: Option<Repeat>,
    /// Columns that differ from their defaults. `t`, `t-5m` and `t+10s` are times.
    pub(super) row: Map<String, Value>,
}

/// The same row again and again.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeat {
    /// How many rows.
    pub(super) times: u32,
    /// How much later each is than the one before.
    #[serde(with = "humantime_serde")]
    pub(super) every: Duration,
}

/// A measure from a time on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    /// Its name.
    pub(super) measure: Spanned<String>,
    /// From when on.
    #[serde(default, with = "humantime_serde")]
    pub(super) at: Duration,
    /// Its value.
    pub(super) value: f64,
    /// Its labels.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
}

/// The alerts of one rule that fire at a time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// The rule.
    pub(super) alertname: Spanned<String>,
    /// After the beginning.
    #[serde(with = "humantime_serde")]
    pub(super) eval_time: Duration,
    /// All that fire.
    #[serde(default)]
    pub(super) exp_alerts: Vec<ExpectedAlert>,
}

/// One that fires.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAlert {
    /// All its labels but `alertname`.
    pub(super) exp_labels: BTreeMap<String, String>,
    /// Annotations that it has among others.
    #[serde(default)]
    pub(super) exp_annotations: BTreeMap<String, String>,
}

/// The most rows of one entry.
const REPEAT_MAX: u32 = 100_000;

impl Rows {
    /// The rows with the beginning of the test at a unix time in ms.
    pub(super) fn made(&self, begin_ms: u64) -> Result<Vec<Value>, String> {
        let repeat = self.repeat.unwrap_or(Repeat { times: 1, every: Duration::ZERO });
        if repeat.times > REPEAT_MAX {
            return Err(format!("repeat: {} rows, {REPEAT_MAX} at most", repeat.times));
        }
        (0..repeat.times)
            .map(|n| {
                let at_ms = begin_ms + super::test::ms(repeat.every * n);
                let column =
                    |(name, value): (&String, &Value)| Ok((name.clone(), with_time(value, at_ms)?));
                let row: Result<Map<String, Value>, String> = self.row.iter().map(column).collect();
                row.map(Value::Object)
            })
            .collect()
    }
}

/// A text `t-5m` as unix seconds with decimals, which ClickHouse reads for every type of time.
fn with_time(value: &Value, at_ms: u64) -> Result<Value, String> {
    let Value::String(text) = value else { return Ok(value.clone()) };
    let Some(offset) = text.strip_prefix('t') else { return Ok(value.clone()) };
    let ms = match offset.split_at_checked(1) {
        None => at_ms,
        Some((sign @ ("+" | "-"), duration)) => {
            let parsed = humantime::parse_duration(duration);
            let offset = parsed.map_err(|error| format!("`{text}` is no time: {error}"))?;
            let offset = super::test::ms(offset);
            if sign == "-" { at_ms.saturating_sub(offset) } else { at_ms + offset }
        }
        Some(_) => return Ok(value.clone()),
    };
    // ClickHouse takes no decimals for a DateTime.
    Ok(Value::String(match (ms / 1_000, ms % 1_000) {
        (seconds, 0) => seconds.to_string(),
        (seconds, ms) => format!("{seconds}.{ms:03}"),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{TestFile, with_time};

    #[test]
    fn times_are_relative_to_the_beginning() {
        for (given, expected) in
            [("t", "1000"), ("t-5s", "995"), ("t+1m500ms", "1060.500"), ("text", "text"), ("", "")]
        {
            assert_eq!(with_time(&json!(given), 1_000_000), Ok(json!(expected)));
        }
        assert!(with_time(&json!("t-soon"), 0).unwrap_err().contains("is no time"));
        assert_eq!(with_time(&json!(5), 0), Ok(json!(5)));
    }

    #[test]
    fn each_rule_that_comes_along_is_tested_where_it_fires_and_where_it_must_not() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/alerts");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|it| it == "yaml"));
        let texts = files.map(|path| std::fs::read_to_string(path).unwrap());
        let files: Vec<TestFile> = texts.map(|text| crate::rules::read(&text).unwrap()).collect();
        let tests = || files.iter().flat_map(|file| &file.tests);
        for rule in crate::rules::load(&[]).unwrap() {
            let of_it = |expected: &&super::Expected| expected.alertname.value == rule.name;
            let fires = tests().flat_map(|test| &test.alert_rule_test).filter(of_it);
            assert!(fires.clone().any(|it| !it.exp_alerts.is_empty()), "{} fires", rule.name);
            // Nothing at a time, or something in the rows that is said not to be told.
            let must_not = tests().any(|test| {
                let mut of_it = test.alert_rule_test.iter().filter(of_it);
                let not = test.name.value.contains(" not");
                of_it.any(|it| it.exp_alerts.is_empty() || not)
            });
            assert!(must_not || rule.name == "HoldupWatchdog", "{} must not", rule.name);
        }
    }

    #[test]
    fn a_file_reads_as_promtools_do() {
        let text = "rule_files: [mine.yaml]\ntests:\n- name: x\n  rows:\n  - table: t\n    at: 5s\n    \
                    repeat: {times: 3, every: 10s}\n    row: {start: t, n: 5, ok: true, m: {a: 1}}\n  \
                    alert_rule_test:\n  - alertname: A\n    eval_time: 1m\n    exp_alerts:\n    - \
                    exp_labels: {service: shop}\n";
        let file: TestFile = crate::rules::read(text).unwrap();
        let made = file.tests[0].rows[0].made(1_000).unwrap();
        assert_eq!(made.len(), 3);
        assert_eq!(made[2], json!({"start": "21", "n": 5, "ok": true, "m": {"a": 1}}));
    }
}
