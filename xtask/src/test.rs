//! `cargo xtask test`: everything that CI runs, in steps that can be run alone.

mod need;
mod page;
mod steps;

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::interrupt::{Interrupt, Interrupted};
use crate::terminal::say;
use steps::{STEPS, Step};

/// Options of `cargo xtask test`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run only the tests whose name contains this.
    filter: Option<String>,
    /// Run one step alone.
    #[arg(
        long,
        value_name = "STEP",
        value_parser = PossibleValuesParser::new(STEPS.iter().map(|step| step.name))
    )]
    only: Option<String>,
}

pub(crate) fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<()> {
    let begin = Instant::now();
    let mut passed = Vec::new();
    for step in chosen(options) {
        let took = run_step(step, options.filter.as_deref(), interrupt)?;
        passed.push(format!("{} {}", step.name, seconds(took)));
    }
    say(&format!("\n== all passed in {}: {}", seconds(begin.elapsed()), passed.join(", ")))?;
    Ok(())
}

fn run_step(step: &Step, filter: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<Duration> {
    say(&format!("\n== {}: {}", step.name, step.about))?;
    let begin = Instant::now();
    (step.run)(filter, interrupt).map_err(|error| {
        if error.is::<Interrupted>() {
            return error;
        }
        error.context(format!(
            "step {0} failed after {1}; run it alone with `cargo xtask test --only {0}`",
            step.name,
            seconds(begin.elapsed()),
        ))
    })?;
    let took = begin.elapsed();
    say(&format!("== {} ok, {}", step.name, seconds(took))).context("standard output")?;
    Ok(took)
}

/// All steps, one step, or what a filtered run of the tests takes.
fn chosen(options: &Options) -> impl Iterator<Item = &'static Step> {
    let only = options.only.clone();
    let filtered = options.filter.is_some();
    STEPS.iter().filter(move |step| match &only {
        Some(name) => step.name == name,
        None => !filtered || step.for_filter,
    })
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(filter: Option<&str>, only: Option<&str>) -> Vec<&'static str> {
        let options = Options { filter: filter.map(str::to_owned), only: only.map(str::to_owned) };
        chosen(&options).map(|step| step.name).collect()
    }

    #[test]
    fn without_options_every_step_runs() {
        assert_eq!(names(None, None).len(), STEPS.len());
    }

    #[test]
    fn a_filter_runs_what_the_tests_need() {
        assert_eq!(names(Some("fold"), None), ["build", "engine", "tools", "test"]);
    }

    #[test]
    fn a_step_runs_alone() {
        assert_eq!(names(None, Some("clippy")), ["clippy"]);
    }
}
