//! `cargo xtask demo`: engine, collector and demo service, and what Holdup says of it.

mod ports;
mod top;
mod verdict;

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use ports::Ports;
use serde::Deserialize;
use top::Top;
use verdict::Truth;

use crate::interrupt::{Interrupt, Interrupted};
use crate::process;
use crate::repository::{binary, cargo, command, made};
use crate::service::Service;
use crate::terminal::{Block, say};

/// The engine loads its library, and the schema is created.
const COLLECTOR_START_TIME_MAX: Duration = Duration::from_secs(90);
const DEMO_START_TIME_MAX: Duration = Duration::from_secs(20);
/// In-flight requests, then the flush of the last spans.
const DEMO_STOP_TIME_MAX: Duration = Duration::from_secs(30);
const COLLECTOR_STOP_TIME_MAX: Duration = Duration::from_secs(30);
/// Time between two looks at the top functions: redrawn on a terminal, added to a log.
const LOOK: Duration = Duration::from_secs(3);
const LOOK_LOGGED: Duration = Duration::from_secs(5);
/// A shorter run may not have called every function a second time: it is shown, not judged.
const JUDGED_DURATION_MIN: Duration = Duration::from_secs(20);
/// How long the rows of the last spans may take to show.
const LAST_ROWS_TIME_MAX: Duration = Duration::from_secs(5);

/// What would change the demo's meaning when it is set in the user's environment.
const CLEARED: [&str; 9] = [
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_SDK_DISABLED",
    "HOLDUP_ENABLED",
    "HOLDUP_THRESHOLD",
];

/// Options of `cargo xtask demo`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// End after this time, such as 30s or 2m; without it, on Ctrl-C.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Take any free ports instead of 4317, 4318, 4380 and 4390.
    #[arg(long)]
    free_ports: bool,
    /// Take the programs as they were built last.
    #[arg(long)]
    no_build: bool,
}

#[derive(Deserialize)]
struct CollectorUp {
    http: String,
    page: String,
}

#[derive(Deserialize)]
struct DemoUp {
    listening: String,
}

pub(crate) fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<()> {
    let ports = if options.free_ports { Ports::any() } else { Ports::usual()? };
    if !options.no_build {
        let mut build = cargo();
        build.args(["build", "--package", "holdup-collector", "--package", "holdup-demo"]);
        process::run(&mut build, interrupt)?;
    }
    process::run(command(binary("holdup")?).args(["engine", "install"]), interrupt)?;

    let folder = Folder::create()?;
    let result = watch(options, &ports, &folder, interrupt);
    match &result {
        // The logs tell why.
        Err(error) if !error.is::<Interrupted>() => {
            say(&format!("logs and data are in {}", folder.0.display()))?;
        }
        _ => folder.remove()?,
    }
    result
}

/// Starts both, watches until the end, stops both in order, and judges.
fn watch(
    options: &Options,
    ports: &Ports,
    folder: &Folder,
    interrupt: &Interrupt,
) -> anyhow::Result<()> {
    let mut collector =
        Service::start("holdup", &mut serve(ports, folder)?, &folder.0.join("holdup.log"))?;
    let up: CollectorUp = read(&collector.line(COLLECTOR_START_TIME_MAX, interrupt)?)?;
    let mut demo =
        Service::start("holdup-demo", &mut demo(ports, &up)?, &folder.0.join("demo.log"))?;
    let demo_up: DemoUp = read(&demo.line(DEMO_START_TIME_MAX, interrupt)?)?;

    let page = format!("http://{}", up.page);
    say(&format!("page     {page}\nservice  http://{}\n", demo_up.listening))?;
    let top = Top::of(&page)?;
    let mut block = Block::default();
    let watched = show(options.duration, &top, &mut block, interrupt, || {
        collector.check().and_then(|()| demo.check())
    });
    if let Err(error) = watched
        && !error.is::<Interrupted>()
    {
        return Err(error);
    }

    let truth = demo.stop(DEMO_STOP_TIME_MAX)?;
    let truth = truth.last().context("holdup-demo ended without telling the truth")?;
    let judged = judge(&read::<Vec<Truth>>(truth)?, &top, &mut block);
    collector.stop(COLLECTOR_STOP_TIME_MAX)?;
    let must_pass = options.duration.is_some_and(|duration| duration >= JUDGED_DURATION_MIN);
    match judged {
        Err(error) if must_pass && !interrupt.came() => Err(error),
        _ => Ok(()),
    }
}

/// Shows the top functions until the time is up.
fn show(
    duration: Option<Duration>,
    top: &Top,
    block: &mut Block,
    interrupt: &Interrupt,
    mut check: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    let look = if io::stdout().is_terminal() { LOOK } else { LOOK_LOGGED };
    let left = || duration.map_or(look, |duration| duration.saturating_sub(begin.elapsed()));
    while !left().is_zero() {
        interrupt.wait(left().min(look), || check().map(|()| None::<()>))?;
        if !top.rows()?.is_empty() {
            block.show(&top.table()?)?;
        }
    }
    Ok(())
}

/// Prints the last table and the verdict. Fails when the demo was not seen as it was.
fn judge(truth: &[Truth], top: &Top, block: &mut Block) -> anyhow::Result<()> {
    let deadline = Instant::now() + LAST_ROWS_TIME_MAX;
    let verdict = loop {
        let verdict = verdict::of(truth, &top.rows()?);
        if verdict.is_complete() || Instant::now() > deadline {
            break verdict;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    block.show(&top.table()?)?;
    say(&format!("\n{verdict}"))?;
    verdict.check()
}

fn serve(ports: &Ports, folder: &Folder) -> anyhow::Result<Command> {
    let mut serve = command(binary("holdup")?);
    serve.arg("serve").arg("--data-dir").arg(folder.0.join("data"));
    serve.args(["--engine-listen", "127.0.0.1:0"]);
    serve.args(["--grpc-listen", &ports.grpc()]);
    serve.args(["--http-listen", &ports.http()]);
    serve.args(["--page-listen", &ports.page()]);
    Ok(serve)
}

fn demo(ports: &Ports, collector: &CollectorUp) -> anyhow::Result<Command> {
    let mut demo = command(binary("holdup-demo")?);
    demo.args(["--listen", &ports.demo()]);
    for name in CLEARED {
        demo.env_remove(name);
    }
    demo.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", collector.http));
    Ok(demo)
}

fn read<T: for<'text> Deserialize<'text>>(line: &str) -> anyhow::Result<T> {
    serde_json::from_str(line).with_context(|| format!("not the line that was expected: {line}"))
}

/// Where one run keeps its data and logs.
#[derive(Debug)]
struct Folder(PathBuf);

impl Folder {
    /// Each run begins empty, and two at once don't meet. What earlier runs left goes.
    fn create() -> anyhow::Result<Self> {
        let all = made("demo")?;
        for left in fs::read_dir(&all).into_iter().flatten().flatten() {
            if !Path::new("/proc").join(left.file_name()).exists() {
                let _ = fs::remove_dir_all(left.path());
            }
        }
        let path = all.join(std::process::id().to_string());
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    fn remove(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.0).with_context(|| format!("cannot remove {}", self.0.display()))
    }
}
