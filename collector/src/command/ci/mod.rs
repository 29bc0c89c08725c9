//! `holdup ci`: what a test run found, beside a baseline: an exit code, and reports for others' tools.

mod baseline;
mod junit;
mod sarif;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::ask::{Address, Choice, Collector, Question};
use super::text::{duration, number, plain, print, tell};
use crate::clock::now_ns;
use crate::store::ROWS_MAX;
use baseline::{Baseline, Known};

/// The arguments of `holdup ci`.
#[derive(Args, Debug)]
pub(crate) struct CiArgs {
    /// The findings that are known, as --write-baseline wrote them
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Write what was found to the baseline instead of comparing
    #[arg(long, conflicts_with_all = ["fail_on", "junit", "sarif"])]
    write_baseline: bool,
    /// What fails the run
    #[arg(long, value_enum, default_value = "new")]
    fail_on: FailOn,
    /// A longest poll that took this many times as long as in the baseline is worse
    #[arg(long, value_name = "TIMES", default_value_t = 2.0, value_parser = times)]
    worse_by: f64,
    /// How far back the run began
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    since: Duration,
    #[command(flatten)]
    choice: Choice,
    /// Write a JUnit report to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a SARIF 2.1.0 report to this file
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    #[command(flatten)]
    address: Address,
}

/// What fails a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Functions that are not in the baseline
    New,
    /// Those, and functions that block for longer than they did
    Worse,
    /// Any function that blocks
    Any,
}

/// What a finding is beside the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    New,
    Worse,
    Known,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Worse => "worse",
            Self::Known => "known",
        }
    }
}

/// A function that blocked.
#[derive(Clone, Debug)]
struct Finding {
    known: Known,
    cause: String,
    blamed: String,
    file: String,
    line: u64,
    verdict: Verdict,
    fails: bool,
}

impl Finding {
    /// What it is, in a sentence.
    fn message(&self) -> String {
        let Known { service, function, calls, max_ns, blocked_ns } = &self.known;
        let (blocked, longest) = (duration(*blocked_ns), duration(*max_ns));
        let blamed = if self.blamed.is_empty() { function } else { &self.blamed };
        plain(&format!(
            "{}: {function} of {service} blocked its thread for {blocked} in {calls} polls, longest \
             {longest}, by {} in {blamed}",
            self.verdict.name(),
            self.cause
        ))
    }
}

/// The run has findings that fail it: not an error of the command.
#[derive(Debug, thiserror::Error)]
#[error("{0} functions block that must not: see above, or take them up with --write-baseline")]
pub(crate) struct Failed(usize);

fn times(text: &str) -> Result<f64, String> {
    let times = text.parse().map_err(|_no_number| "it is no number".to_owned())?;
    if (1.0..=1_000_000.0).contains(&times) { Ok(times) } else { Err("1 or more".to_owned()) }
}

/// Asks, compares, and tells.
pub(crate) fn run(args: &CiArgs) -> anyhow::Result<()> {
    let known = if args.write_baseline { None } else { Some(Baseline::read(&args.baseline)?) };
    let rows = ask(args)?;
    let mut findings: Vec<Finding> = rows.iter().map(finding).collect();
    findings.sort_by(|a, b| a.known.name().cmp(&b.known.name()));
    let Some(known) = known else {
        let found = findings.into_iter().map(|finding| finding.known).collect();
        return Baseline::of(found).write(&args.baseline);
    };
    for finding in &mut findings {
        finding.verdict = known.verdict(&finding.known, args.worse_by);
        finding.fails = match args.fail_on {
            FailOn::New => finding.verdict == Verdict::New,
            FailOn::Worse => finding.verdict != Verdict::Known,
            FailOn::Any => true,
        };
    }
    if let Some(file) = &args.junit {
        write(file, &junit::write(&findings))?;
    }
    if let Some(file) = &args.sarif {
        write(file, &format!("{:#}\n", sarif::document(&findings)))?;
    }
    let lines = findings.iter().map(|finding| finding.message() + "\n");
    print(lines.collect::<String>().as_bytes())?;
    for gone in known.gone(findings.iter().map(|finding| &finding.known)) {
        tell(&plain(&format!("in the baseline, and not found: {} of {}", gone.1, gone.0)));
    }
    match findings.iter().filter(|finding| finding.fails).count() {
        0 => Ok(()),
        failing => Err(Failed(failing).into()),
    }
}

/// The functions that blocked. That none did counts only when somebody would have told.
fn ask(args: &CiArgs) -> anyhow::Result<Vec<Value>> {
    let collector = Collector::at(&args.address)?;
    let rows = Question::since(args.since, &args.choice).with("limit", &ROWS_MAX);
    let rows = collector.rows("top", rows)?;
    if !rows.is_empty() {
        return Ok(rows);
    }
    let since_ms = u64::try_from(args.since.as_millis()).unwrap_or(u64::MAX);
    let from_ms = (now_ns() / 1_000_000).saturating_sub(since_ms);
    let services = Question::since(args.since, &args.choice).with("limit", &ROWS_MAX);
    let services = collector.rows("services", services)?;
    if !services.iter().any(|service| number(service, "last_seen_ms") >= from_ms) {
        bail!(
            "no service was heard of in the last {}: nothing was measured. See that the tests run \
             with OTEL_EXPORTER_OTLP_ENDPOINT set, keep the guard of holdup::init() until their \
             end, or widen --since",
            humantime::format_duration(args.since)
        );
    }
    Ok(rows)
}

fn finding(row: &Value) -> Finding {
    let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let known = Known {
        service: text("service"),
        function: text("function"),
        calls: number(row, "calls"),
        max_ns: number(row, "max_ns"),
        blocked_ns: number(row, "blocked_ns"),
    };
    Finding {
        known,
        cause: text("cause"),
        blamed: text("blame_function"),
        file: text("file"),
        line: number(row, "line"),
        verdict: Verdict::New,
        fails: false,
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::baseline::Known;
    use super::{Finding, Verdict};

    pub(super) fn finding(function: &str, max_ns: u64) -> Finding {
        let known = Known {
            service: "shop".to_owned(),
            function: function.to_owned(),
            calls: 2,
            max_ns,
            blocked_ns: 2 * max_ns,
        };
        Finding {
            known,
            cause: "sleep".to_owned(),
            blamed: String::new(),
            file: "src/a b.rs".to_owned(),
            line: 7,
            verdict: Verdict::New,
            fails: true,
        }
    }
}
