//! `holdup rules test`: evaluates rules over given rows in a real engine, at given times.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;

use super::engine::Engine;
use super::test_file::{Expected, ExpectedAlert, Test, TestFile};
use crate::alerts::{Labels, Machine, Observed};
use crate::clock::now_ns;
use crate::config::ConfigError;
use crate::evaluate::{ask, timing};
use crate::rules::{self, Measure, Measured, Problem, Question, Rule, measured_samples};
use crate::store::Store;

/// The arguments of `holdup rules test`.
#[derive(Args, Debug)]
pub(crate) struct TestArgs {
    /// Files of tests
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Only tests with this in their name
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The engine's library, when `holdup engine install` did not put it in its place
    #[arg(long, env = "HOLDUP_ENGINE_LIBRARY", value_name = "FILE")]
    engine_library: Option<PathBuf>,
}

/// The most evaluations of one test.
const EVALUATIONS_MAX: usize = 20_000;

pub(super) async fn run(args: TestArgs) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for path in &args.files {
        files.push((path, read(path)?));
    }
    let engine = Engine::start(args.engine_library.clone()).await?;
    let (mut count, mut failed) = (0, 0);
    for (path, (file, rules)) in &files {
        let wanted = |test: &&Test| args.only.iter().all(|text| test.name.value.contains(text));
        for test in file.tests.iter().filter(wanted) {
            count += 1;
            let store = engine.database(&format!("test_{count}")).await?;
            let wrong = Run::new(&store, rules, test)?.run().await?;
            let outcome = if wrong.is_empty() { "ok" } else { "FAILED" };
            let place = format!("{}:{}", path.display(), test.name.referenced.line());
            let mut out = std::io::stdout().lock();
            writeln!(out, "{outcome}  {place}  {}", test.name.value).context("cannot write")?;
            for told in &wrong {
                writeln!(out, "    {told}").context("cannot write")?;
            }
            failed += usize::from(!wrong.is_empty());
        }
    }
    engine.stop().await;
    match (count, failed) {
        (0, _) => bail!("no test has {:?} in its name", args.only.unwrap_or_default()),
        (_, 0) => Ok(()),
        _ => bail!("{failed} of {count} tests failed"),
    }
}

/// A file, and the rules that it is about.
fn read(path: &Path) -> anyhow::Result<(TestFile, Vec<Rule>)> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    let parsed: TestFile = rules::read(&text)
        .map_err(|(line, message)| anyhow!("{}", Problem { file, line, message }))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let patterns: Vec<String> =
        parsed.rule_files.iter().map(|file| folder.join(file).display().to_string()).collect();
    let rules = rules::load(&patterns).map_err(ConfigError::Rules)?;
    Ok((parsed, rules))
}

/// A duration in ms.
pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One test under way.
struct Run<'a> {
    store: &'a Store,
    test: &'a Test,
    /// The rules that are expected to do something, and until when.
    rules: Vec<(&'a Rule, Duration)>,
    measures: Vec<(Measure, Duration, Measured)>,
    begin_ms: u64,
}

impl<'a> Run<'a> {
    fn new(store: &'a Store, rules: &'a [Rule], test: &'a Test) -> anyhow::Result<Self> {
        let mut asked: BTreeMap<&str, (&Rule, Duration)> = BTreeMap::new();
        for expected in &test.alert_rule_test {
            let name = expected.alertname.value.as_str();
            let rule = rules.iter().find(|rule| rule.name == name).ok_or_else(|| {
                anyhow!("line {}: there is no rule {name}", expected.alertname.referenced.line())
            })?;
            let until = &mut asked.entry(name).or_insert((rule, Duration::ZERO)).1;
            *until = (*until).max(expected.eval_time);
        }
        let measures = test.measures.iter().map(|given| {
            let measure = Measure::named(&given.measure.value)
                .map_err(|error| anyhow!("line {}: {error}", given.measure.referenced.line()))?;
            let labels = given.labels.clone();
            Ok((measure, given.at, Measured { labels, value: given.value, info: Labels::new() }))
        });
        Ok(Self {
            store,
            test,
            rules: asked.into_values().collect(),
            measures: measures.collect::<anyhow::Result<_>>()?,
            // The same in every run, as far as minutes go; near enough that no row is too old.
            begin_ms: now_ns() / 60_000_000_000 * 60_000,
        })
    }

    /// The times at which something is evaluated.
    fn times(&self) -> anyhow::Result<BTreeSet<Duration>> {
        let mut times: BTreeSet<Duration> =
            self.test.alert_rule_test.iter().map(|expected| expected.eval_time).collect();
        for (rule, until) in &self.rules {
            let mut at = Duration::ZERO;
            while at <= *until {
                times.insert(at);
                at += rule.interval;
                if times.len() > EVALUATIONS_MAX {
                    bail!("more than {EVALUATIONS_MAX} evaluations: choose an earlier eval_time");
                }
            }
        }
        Ok(times)
    }

    /// What is not as expected.
    async fn run(&self) -> anyhow::Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut machines: BTreeMap<&str, Machine> = BTreeMap::new();
        let mut given = BTreeSet::new();
        for at in self.times()? {
            self.give(at, &mut given).await?;
            let now_ms = self.begin_ms + ms(at);
            for (rule, until) in &self.rules {
                let due = ms(at).is_multiple_of(ms(rule.interval));
                let expected = self.expected(rule, at).next().is_some();
                if at > *until || !(due || expected) {
                    continue;
                }
                let machine = machines.entry(&rule.name).or_default();
                match self.observe(rule, machine, at, now_ms).await {
                    Ok(observed) => drop(machine.step(&timing(rule), now_ms, observed)),
                    Err(error) => wrong.push(format!("{} at {at:?}: {error}", rule.name)),
                }
                for expected in self.expected(rule, at) {
                    wrong.extend(differences(expected, machine, now_ms));
                }
            }
            if wrong.len() > 20 {
                break;
            }
        }
        Ok(wrong)
    }

    fn expected(&self, rule: &Rule, at: Duration) -> impl Iterator<Item = &'a Expected> {
        let name = rule.name.clone();
        let all = self.test.alert_rule_test.iter();
        all.filter(move |it| it.alertname.value == name && it.eval_time == at)
    }

    /// Inserts the rows whose time has come.
    async fn give(&self, at: Duration, given: &mut BTreeSet<usize>) -> anyhow::Result<()> {
        for (n, rows) in self.test.rows.iter().enumerate() {
            if rows.at <= at && given.insert(n) {
                let made = rows.made(self.begin_ms).map_err(|error| anyhow!("{error}"))?;
                let inserted = self.store.insert_json(&rows.table, &made).await;
                inserted
                    .with_context(|| format!("test {:?}, rows {}", self.test.name.value, n + 1))?;
            }
        }
        Ok(())
    }

    async fn observe(
        &self,
        rule: &Rule,
        machine: &Machine,
        at: Duration,
        now_ms: u64,
    ) -> Result<Observed, String> {
        let samples = match &rule.question {
            Question::Sql(_) => {
                let resolves = machine.active().1 > 0;
                ask(self.store, rule, now_ms, resolves).await.map_err(|error| error.to_string())?
            }
            Question::Measure(measure) => measured_samples(rule, &self.measured(*measure, at)),
        };
        Ok(Observed::Rows { samples, complete: true })
    }

    /// The rows of a measure: of several with one set of labels, the last.
    fn measured(&self, measure: Measure, at: Duration) -> Vec<Measured> {
        if measure == Measure::Always {
            return vec![Measured { value: 1.0, ..Measured::default() }];
        }
        let mut last: BTreeMap<&Labels, (Duration, &Measured)> = BTreeMap::new();
        for (_, since, row) in self.measures.iter().filter(|m| m.0 == measure && m.1 <= at) {
            let known = last.entry(&row.labels).or_insert((*since, row));
            if *since >= known.0 {
                *known = (*since, row);
            }
        }
        last.into_values().map(|(_, row)| row.clone()).collect()
    }
}

/// What fires otherwise than expected.
fn differences(expected: &Expected, machine: &Machine, now_ms: u64) -> Vec<String> {
    let place = format!(
        "line {}: {} at {}",
        expected.alertname.referenced.line(),
        expected.alertname.value,
        humantime::format_duration(expected.eval_time)
    );
    let firing = machine.told(now_ms).filter(|told| told.resolved_ms.is_none());
    let mut unexpected: Vec<(Labels, &Labels)> = firing
        .map(|told| {
            let mut labels = told.alert.labels.clone();
            labels.remove("alertname");
            (labels, &told.alert.annotations)
        })
        .collect();
    let mut wrong = Vec::new();
    for ExpectedAlert { exp_labels, exp_annotations } in &expected.exp_alerts {
        let Some(at) = unexpected.iter().position(|(labels, _)| labels == exp_labels) else {
            wrong.push(format!("{place}: does not fire: {exp_labels:?}"));
            continue;
        };
        let (_, annotations) = unexpected.remove(at);
        for (name, text) in exp_annotations {
            let found = annotations.get(name).map_or("", String::as_str);
            if found != text {
                wrong.push(format!("{place}: {name} is {found:?}, not {text:?}"));
            }
        }
    }
    let fires = |(labels, annotations): &(Labels, &Labels)| {
        format!("{place}: fires, and should not: {labels:?} {annotations:?}")
    };
    wrong.extend(unexpected.iter().map(fires));
    wrong
}
