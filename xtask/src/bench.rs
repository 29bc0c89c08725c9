//! `cargo xtask bench`: what timing a poll costs, beside its peers, in one run.
//!
//! Each way runs in a process of its own. The ways take turns, round after round, so that a machine
//! that gets slower does so for all; the median of the rounds counts. Beside the times stand the
//! instructions of one poll, which do not depend on the machine's load. A second table says what holdup
//! costs beside the polls, and what it may cost at most.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::interrupt::Interrupt;
use crate::process;
use crate::repository::{cargo, command, made, root};
use crate::terminal::say;

mod costs;

/// A way to watch polls, and whether it needs tokio's unstable hooks.
struct Way {
    name: &'static str,
    unstable: bool,
}

/// The first is what the others are compared with, the second what they are held against.
const WAYS: [Way; 10] = [
    Way { name: "bare", unstable: false },
    Way { name: "holdup", unstable: false },
    Way { name: "holdup-off", unstable: false },
    Way { name: "holdup-layer", unstable: false },
    Way { name: "async-backtrace", unstable: false },
    Way { name: "await-tree", unstable: false },
    Way { name: "tokio-metrics", unstable: false },
    Way { name: "tracing-opentelemetry", unstable: false },
    Way { name: "dial9", unstable: true },
    Way { name: "console-subscriber", unstable: true },
];

/// Polls of which the instructions are counted: the difference leaves the start out.
const COUNTED: [u64; 2] = [100_000, 300_000];

/// Options of `cargo xtask bench`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Rounds; each takes about ten seconds.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Polls of one measurement on each worker.
    #[arg(long, default_value_t = 2_000_000)]
    polls: u64,
    /// Only the ways that stable tokio has: builds in half the time.
    #[arg(long)]
    stable: bool,
}

/// Nanoseconds of one poll in each round, on one worker and on all.
#[derive(Default)]
struct Times {
    alone: Vec<f64>,
    contended: Vec<f64>,
    instructions: Option<f64>,
}

pub(crate) fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<()> {
    let stable = build(false, interrupt)?;
    let unstable = if options.stable { None } else { Some(build(true, interrupt)?) };
    let cores = std::thread::available_parallelism().context("cannot count the cores")?.get();
    let mut times: BTreeMap<String, Times> = BTreeMap::new();
    let programs: Vec<(&Way, &Path)> = WAYS
        .iter()
        .filter_map(|way| {
            let program = if way.unstable { unstable.as_deref()? } else { &stable };
            Some((way, program))
        })
        .chain(unstable.as_deref().map(|program| (&UNSTABLE_BARE, program)))
        .collect();
    for round in 1..=options.rounds {
        say(&format!("round {round} of {}", options.rounds))?;
        for (way, program) in &programs {
            let times = times.entry(key(way)).or_default();
            times.alone.push(measure(program, way, options.polls, 1)?);
            times.contended.push(measure(program, way, options.polls, cores)?);
            interrupt.wait(std::time::Duration::ZERO, || Ok(None::<()>))?;
        }
    }
    if process::works(command("valgrind").arg("--version"))? {
        say("counting instructions")?;
        for (way, program) in &programs {
            let counted = instructions(program, way)?;
            times.entry(key(way)).or_default().instructions = Some(counted);
        }
    } else {
        say("no instruction counts: valgrind is missing (`apt-get install valgrind`)")?;
    }
    let costs = costs::measure(&stable, interrupt)?;
    say(&table(&times, cores))?;
    say(&costs::table(&costs))?;
    Ok(())
}

/// The bare poll of a tokio that was built for its unstable hooks.
const UNSTABLE_BARE: Way = Way { name: "bare", unstable: true };

fn key(way: &Way) -> String {
    if way.unstable && way.name == "bare" { "bare (unstable)".into() } else { way.name.into() }
}

fn build(unstable: bool, interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    let target = made(if unstable { "bench-unstable" } else { "bench" })?;
    let mut build = cargo();
    build.args(["build", "--release", "--manifest-path"]);
    build.arg(root().join("instrument/peers/Cargo.toml"));
    build.arg("--target-dir").arg(&target);
    if unstable {
        build.args(["--features", "unstable"]).env("RUSTFLAGS", "--cfg tokio_unstable");
    }
    process::run(&mut build, interrupt)?;
    Ok(target.join("release/holdup-peers"))
}

fn measure(program: &Path, way: &Way, polls: u64, workers: usize) -> anyhow::Result<f64> {
    let mut run = command(program);
    run.arg(way.name).arg(polls.to_string()).arg(workers.to_string());
    let output = run.output().with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.trim().parse() {
        Ok(nanoseconds) if output.status.success() => Ok(nanoseconds),
        _ => bail!("{}: {}", way.name, String::from_utf8_lossy(&output.stderr).trim()),
    }
}

/// Instructions of one poll.
fn instructions(program: &Path, way: &Way) -> anyhow::Result<f64> {
    let mut counts = [0.0; 2];
    for (count, polls) in counts.iter_mut().zip(COUNTED) {
        let out = made("bench")?.join("callgrind.out");
        let mut run = command("valgrind");
        run.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", out.display()));
        run.arg(program).arg(way.name).arg(polls.to_string()).arg("1");
        let output = run.output().context("cannot run valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1));
        let collected = collected.with_context(|| format!("valgrind said {said}"))?;
        *count = collected.trim().parse().context("valgrind counted no number")?;
    }
    let [fewer, more] = COUNTED;
    // The warm-up is a twentieth of the polls.
    Ok((counts[1] - counts[0]) / ((more - fewer) as f64 * 1.05))
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A table in Markdown: nanoseconds over a bare poll, and how many times ours that is.
fn table(times: &BTreeMap<String, Times>, cores: usize) -> String {
    let base = |name: &str| {
        times.get(name).map_or((f64::NAN, f64::NAN, f64::NAN), |t| {
            (median(&t.alone), median(&t.contended), t.instructions.unwrap_or(f64::NAN))
        })
    };
    let added = |name: &str| {
        let unstable = WAYS.iter().any(|way| way.name == name && way.unstable);
        let of = base(name);
        let bare = base(if unstable { "bare (unstable)" } else { "bare" });
        (of.0 - bare.0, of.1 - bare.1, of.2 - bare.2)
    };
    let ours = added("holdup");
    let mut out = format!(
        "\n| way | ns over bare | × ours | ns over bare, {cores} cores busy | × ours | instructions \
         over bare |\n|---|---:|---:|---:|---:|---:|\n"
    );
    for way in WAYS.iter().filter(|way| times.contains_key(way.name) && way.name != "bare") {
        let (alone, contended, counted) = added(way.name);
        let _infallible = writeln!(
            out,
            "| {} | {alone:.1} | {:.1} | {contended:.1} | {:.1} | {counted:.0} |",
            way.name,
            alone / ours.0,
            contended / ours.1,
        );
    }
    let (alone, contended, counted) = base("bare");
    let _infallible =
        writeln!(out, "\nbare: {alone:.1} ns, {contended:.1} ns, {counted:.0} instructions a poll");
    out
}

#[cfg(test)]
mod tests {
    use super::{Times, median, table};
    use std::collections::BTreeMap;

    #[test]
    fn a_median_is_the_middle() {
        assert!((median(&[9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
    }

    #[test]
    fn ways_are_held_against_ours() {
        let of = |ns: f64| Times {
            alone: vec![ns],
            contended: vec![ns + 1.0],
            instructions: Some(ns * 3.0),
        };
        let times: BTreeMap<String, Times> =
            [("bare", 40.0), ("holdup", 45.0), ("tokio-metrics", 140.0)]
                .map(|(name, ns)| (name.into(), of(ns)))
                .into();
        let text = table(&times, 2);
        assert!(text.contains("| tokio-metrics | 100.0 | 20.0 | 100.0 | 20.0 | 300 |"), "{text}");
        assert!(text.contains("| holdup | 5.0 | 1.0 | 5.0 | 1.0 | 15 |"), "{text}");
    }
}
