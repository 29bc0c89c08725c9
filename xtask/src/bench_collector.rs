//! `cargo xtask bench-collector`: what a span costs the collector, from the socket to ClickHouse,
//! with a durable ack, beside rotel's agent in the same run.
//!
//! The collector writes to an address that swallows inserts, so that what is measured is the
//! collector alone. CPU time is that of its process, as Linux accounts it; sender and sink run
//! beside it.

mod embedded;
mod report;
mod send;
mod sink;
mod small;
mod spans;
mod usage;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use crate::interrupt::Interrupt;
use crate::process::{self, Group};
use crate::repository::{binary, cargo, command, made};
use crate::service::Service;
use crate::terminal::say;
use report::Figures;
use send::{Load, Way};
use sink::Swallowed;
use usage::Process;

/// How long a process may take to start, to store what it has, and to stop.
const TIME_MAX: Duration = Duration::from_secs(120);
/// For so long nothing is sent before memory at rest is read.
const REST: Duration = Duration::from_secs(5);
/// The peer, as PyPI has it.
const ROTEL: &str = "rotel==0.0.1a15";

/// Options of `cargo xtask bench-collector`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Spans of each way.
    #[arg(long, default_value_t = 3_000_000)]
    spans: usize,
    /// Spans of each way that are sent by gzip: all of them are compressed before.
    #[arg(long, default_value_t = 500_000)]
    gzip_spans: usize,
    /// Connections.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Functions that the spans are of.
    #[arg(long, default_value = "1000", value_delimiter = ',')]
    functions: Vec<usize>,
    /// Only ways with this in their name: http, http-gzip, grpc, grpc-gzip, rotel, small, stored,
    /// late.
    #[arg(long, default_value = "")]
    only: String,
    /// Spans a second while is measured how late they can be asked for.
    #[arg(long, default_value_t = 50_000)]
    pace: usize,
    /// Another holdup than the one that is built here, to compare with.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

const WAYS: [(&str, Way); 4] = [
    ("http", Way { grpc: false, gzip: false }),
    ("http-gzip", Way { grpc: false, gzip: true }),
    ("grpc", Way { grpc: true, gzip: false }),
    ("grpc-gzip", Way { grpc: true, gzip: true }),
];

pub(crate) fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--package", "xtask"]);
    if options.program.is_none() {
        build.args(["--package", "holdup-collector"]);
    }
    process::run(&mut build, interrupt)?;
    if cfg!(debug_assertions) {
        // A sender that is not optimised would take the cores that it measures.
        let release = made("release")?.join("xtask");
        let error = command(release).args(std::env::args_os().skip(1)).exec();
        return Err(error).context("cannot run the xtask that is built for release");
    }
    let folder = tempfile::tempdir_in(made("")?).context("cannot make a folder")?;
    let program = options.program.clone().map_or_else(|| binary("holdup"), Ok)?;
    let engine = Engine::start(&program, folder.path(), interrupt)?;
    let bench = Bench { options, interrupt, engine, program, folder: folder.path() };
    let mut figures = Vec::new();
    for (name, way) in WAYS.iter().filter(|(name, _)| name.contains(&options.only)) {
        for functions in &options.functions {
            figures.push(bench.collector(name, bench.load(*way, *functions))?);
        }
    }
    if "rotel".contains(&options.only) {
        let load = bench.load(WAYS[0].1, 1_000);
        figures.push(bench.rotel(Load { requests: load.requests / 3, ..load })?);
    }
    if !figures.is_empty() {
        say(&report::table(&figures))?;
    }
    if "small".contains(&options.only) {
        say(&small::run(&bench)?)?;
    }
    if "stored".contains(&options.only) {
        say(&embedded::stores(&bench)?)?;
    }
    if "late".contains(&options.only) {
        say(&embedded::lateness(&bench, options.pace)?)?;
    }
    Ok(())
}

/// The engine that is asked whatever is not swallowed.
struct Engine {
    _service: Service,
    address: SocketAddr,
}

impl Engine {
    fn start(program: &Path, folder: &Path, interrupt: &Interrupt) -> anyhow::Result<Self> {
        let mut start = command(program);
        start.args(["engine", "run", "--listen", "127.0.0.1:0", "--path"]);
        start.arg(folder.join("clickhouse"));
        let log = folder.join("engine.log");
        let mut service = Service::start("the engine", &mut start, &log)?;
        let ready = ready(&mut service, interrupt)?;
        let address = address(&ready, "listening")?;
        let mut migrate = command(program);
        let url = format!("http://{address}");
        process::run(migrate.args(["migrate", "--clickhouse-url", &url]), interrupt)?;
        Ok(Self { _service: service, address })
    }
}

fn ready(service: &mut Service, interrupt: &Interrupt) -> anyhow::Result<serde_json::Value> {
    serde_json::from_str(&service.line(TIME_MAX, interrupt)?).context("the first line")
}

fn address(ready: &serde_json::Value, of: &str) -> anyhow::Result<SocketAddr> {
    let text = ready[of].as_str().with_context(|| format!("no address of {of}"))?;
    text.parse().with_context(|| format!("{text} is no address"))
}

struct Bench<'a> {
    options: &'a Options,
    interrupt: &'a Interrupt,
    engine: Engine,
    program: PathBuf,
    folder: &'a Path,
}

impl Bench<'_> {
    fn load(&self, way: Way, functions: usize) -> Load {
        let spans = if way.gzip { self.options.gzip_spans } else { self.options.spans };
        let connections = self.options.connections.max(1);
        let requests = (spans / spans::SPANS).next_multiple_of(connections).max(connections);
        Load { way, connections, functions: functions.max(1), requests, pace: None }
    }

    /// A collector with its data in a folder, and what it said when it was ready.
    fn serve(
        &self,
        folder: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<(Service, serde_json::Value)> {
        let mut start = command(&self.program);
        start.args(["serve", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        start.args(["--page-listen", "127.0.0.1:0", "--grpc-bytes-max", "20000000"]);
        start.args(arguments).arg("--data-dir").arg(folder);
        let log = folder.join("collector.log");
        let mut service = Service::start("the collector", &mut start, &log)?;
        let ready = ready(&mut service, self.interrupt)?;
        Ok((service, ready))
    }

    /// What a load costs the collector.
    fn collector(&self, name: &str, load: Load) -> anyhow::Result<Figures> {
        let name = format!("holdup, {name}, {} functions", load.functions);
        say(&format!("{name}: {} spans", load.spans()))?;
        let mut to_send = send::ready(load)?;
        let (sink, swallowed) = sink::start(self.engine.address)?;
        let folder = tempfile::tempdir_in(self.folder)?;
        let url = format!("http://{sink}");
        let (mut service, ready) = self.serve(folder.path(), &["--clickhouse-url", &url])?;
        let page = address(&ready, "page")?;
        let to = address(&ready, if load.way.grpc { "grpc" } else { "http" })?;
        let process = Process(service.id());
        self.interrupt.wait(REST, || Ok(None::<()>))?;
        let idle = process.resident()?;
        let (rows, inserts) = (load.spans() as u64, inserts(&swallowed));
        let (began, before) = (Instant::now(), process.cpu()?);
        process.forget_peak()?;
        let sent = send::send(&mut to_send, to, self.interrupt)?;
        let stored = || Ok((stored(page)? >= rows).then_some(()));
        let stored = self.interrupt.wait(TIME_MAX, stored)?;
        if stored.is_none() {
            bail!("{name}: not all that was sent is stored");
        }
        let (after, all) = (process.cpu()?, began.elapsed());
        let figures = Figures {
            name,
            spans: rows,
            cpu: (after.0 - before.0, after.1 - before.1),
            sending: sent.took,
            storing: all,
            again: sent.again,
            idle,
            peak: process.resident_peak()?,
            inserts: self::inserts(&swallowed) - inserts,
            bytes: swallowed.bytes.load(Ordering::Relaxed),
        };
        service.stop(TIME_MAX)?;
        Ok(figures)
    }

    /// What a load costs rotel's agent.
    fn rotel(&self, load: Load) -> anyhow::Result<Figures> {
        say(&format!("rotel, http: {} spans", load.spans()))?;
        let agent = rotel(self.interrupt)?;
        let mut to_send = send::ready(load)?;
        let (sink, swallowed) = sink::start(self.engine.address)?;
        let to = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let other = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut start = command(agent);
        start.args(["start", "--otlp-http-endpoint", &to.to_string()]);
        start.args(["--otlp-grpc-endpoint", &other.to_string(), "--exporter", "clickhouse"]);
        start.args(["--clickhouse-exporter-endpoint", &format!("http://{sink}")]);
        let log = self.folder.join("rotel.log");
        let mut group = Group::spawn(start.stdout(std::fs::File::create(&log)?))?;
        let process = Process(group.child().id());
        let up = || Ok(std::net::TcpStream::connect(to).ok());
        self.interrupt.wait(TIME_MAX, up)?.context("rotel does not listen")?;
        self.interrupt.wait(REST, || Ok(None::<()>))?;
        let idle = process.resident()?;
        let (began, before) = (Instant::now(), process.cpu()?);
        let sent = send::send(&mut to_send, to, self.interrupt)?;
        // It says nothing of what it has stored: it is done when nothing more comes.
        let mut last = (0, Instant::now());
        let quiet = || {
            let bytes = swallowed.bytes.load(Ordering::Relaxed);
            if bytes != last.0 {
                last = (bytes, Instant::now());
            }
            Ok((bytes > 0 && last.1.elapsed() > Duration::from_secs(2)).then_some(()))
        };
        self.interrupt.wait(TIME_MAX, quiet)?.context("rotel stores nothing")?;
        let (after, all) = (process.cpu()?, began.elapsed());
        let peak = process.resident_peak()?;
        group.stop(TIME_MAX)?;
        Ok(Figures {
            name: format!("{ROTEL}, http, 1000 functions"),
            spans: load.spans() as u64,
            cpu: (after.0 - before.0, after.1 - before.1),
            sending: sent.took,
            storing: all,
            again: sent.again,
            idle,
            peak,
            inserts: inserts(&swallowed),
            bytes: swallowed.bytes.load(Ordering::Relaxed),
        })
    }
}

fn inserts(swallowed: &Arc<Swallowed>) -> u64 {
    swallowed.inserts.load(Ordering::Relaxed)
}

/// Rows that the collector knows to be stored, without episodes.
fn stored(page: SocketAddr) -> anyhow::Result<u64> {
    let client = reqwest::blocking::Client::builder().no_proxy().build()?;
    let text = client.get(format!("http://{page}/metrics")).send()?.text()?;
    let line = text.lines().find_map(|line| line.strip_prefix("holdup_insert_rows_total "));
    Ok(line.map_or(Ok(0), str::parse)?)
}

/// Rotel's agent, out of its package.
fn rotel(interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    let environment = made("bench-rotel")?;
    let python = environment.join("bin/python");
    if !python.exists() {
        process::run(command("python3").args(["-m", "venv"]).arg(&environment), interrupt)?;
    }
    let mut pip = command(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROTEL]);
    process::run(&mut pip, interrupt)?;
    let script =
        "import pathlib, rotel; print(pathlib.Path(rotel.__file__).parent / 'rotel-agent')";
    let output = command(&python).args(["-c", script]).output()?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
