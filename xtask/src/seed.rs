//! `cargo xtask seed`: an engine with many made-up polls, and how long the dashboards' queries take on
//! them.
//!
//! The engine makes the rows itself (`queries/seed/`), the same ones for the same options, slice by
//! slice. Its folder is kept: a second run measures without filling it again.

mod clickhouse;
mod measure;

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::interrupt::{Interrupt, Interrupted};
use crate::process;
use crate::repository::{binary, cargo, command, made, root};
use crate::service::Service;
use crate::terminal::say;
use clickhouse::ClickHouse;

/// How long an engine may take to start, and to stop.
const ENGINE_TIME_MAX: Duration = Duration::from_secs(120);
/// Slices of a day: between two of them a signal is seen.
const SLICES_A_DAY: u64 = 2;
/// Days that `poll_spans` keeps beyond the range, so that nothing vanishes while it is measured.
const DAYS_KEPT_BEYOND: u64 = 30;

/// Options of `cargo xtask seed`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Poll spans.
    #[arg(long, default_value_t = 10_000_000)]
    spans: u64,
    /// Services.
    #[arg(long, default_value_t = 200)]
    services: u64,
    /// Functions of all services together.
    #[arg(long, default_value_t = 5_000)]
    functions: u64,
    /// Days that they are spread over.
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// Polls of one function in one instance that follow each other.
    #[arg(long, default_value_t = 10)]
    run: u64,
    /// Other numbers give other polls.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The engine's folder; by default one under cargo's target directory.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write the table of times into docs/queries.md.
    #[arg(long)]
    write: bool,
    /// Rounds of each query.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

pub(crate) fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<()> {
    if options.days == 0 || options.services == 0 || options.functions < options.services {
        bail!("--days and --services are 1 at least, and there are as many functions as services");
    }
    process::run(cargo().args(["build", "--package", "holdup-collector"]), interrupt)?;
    let data = options.data.clone().map_or_else(|| made("seed"), Ok)?;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let mut start = command(binary("holdup")?);
    start.args(["engine", "run", "--listen", "127.0.0.1:0", "--path"]).arg(data.join("clickhouse"));
    let mut engine = Service::start("the engine", &mut start, &data.join("engine.log"))?;
    let line = engine.line(ENGINE_TIME_MAX, interrupt)?;
    let ready: serde_json::Value =
        serde_json::from_str(&line).context("the engine's first line")?;
    let address = ready["listening"].as_str().context("the engine tells no address")?;
    let url = format!("http://{address}");
    let mut migrate = command(binary("holdup")?);
    process::run(migrate.args(["migrate", "--clickhouse-url", &url]), interrupt)?;

    let clickhouse = ClickHouse::new(url)?;
    if clickhouse.file("polls", &[])?.trim() == "0" {
        fill(options, &clickhouse, interrupt)?;
    } else {
        say(&format!("{} has polls already: delete it for others", data.display()))?;
    }
    let table = measure::run(&clickhouse, options.rounds, interrupt)?;
    say(&table)?;
    if options.write {
        measure::write(&root().join("docs/queries.md"), &table)?;
    }
    engine.stop(ENGINE_TIME_MAX)?;
    Ok(())
}

/// Runs the statements of `queries/seed/`.
fn fill(options: &Options, clickhouse: &ClickHouse, interrupt: &Interrupt) -> anyhow::Result<()> {
    let now = UNIX_EPOCH.elapsed().context("the clock is before 1970")?.as_secs();
    let chunks = options.days * SLICES_A_DAY;
    let parameters = [
        ("seed", options.seed),
        ("services", options.services),
        ("functions", options.functions),
        ("days", options.days),
        ("run", options.run),
        ("end", now / 60 * 60),
        ("chunks", chunks),
        ("spans", options.spans / chunks),
        ("minutes", options.days.min(6) * 24 * 60),
    ];
    let kept = options.days + DAYS_KEPT_BEYOND;
    clickhouse.file("keep", &[("kept", kept.to_string())])?;
    let bar = bar(options.spans);
    for chunk in 0..chunks {
        stop_when_asked(interrupt)?;
        clickhouse.run("poll_spans", &parameters, Some(("chunk", chunk)))?;
        bar.inc(options.spans / chunks);
    }
    for name in ["stalls", "stacks", "heartbeats", "runtime_gauges"] {
        stop_when_asked(interrupt)?;
        bar.set_message(name);
        clickhouse.run(name, &parameters, None)?;
    }
    for day in 0..options.days {
        for name in ["episodes", "poll_histograms"] {
            stop_when_asked(interrupt)?;
            bar.set_message(format!("{name}, day {} of {}", day + 1, options.days));
            clickhouse.run(name, &parameters, Some(("day", day)))?;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Drawn on a terminal only.
fn bar(spans: u64) -> ProgressBar {
    let bar = ProgressBar::new(spans);
    let template = "{bar:30} {human_pos} of {human_len} polls, {per_sec}, {eta} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn stop_when_asked(interrupt: &Interrupt) -> anyhow::Result<()> {
    if interrupt.came() { Err(Interrupted.into()) } else { Ok(()) }
}
