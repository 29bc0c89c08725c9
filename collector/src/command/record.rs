//! `holdup record`: what the threads of a process do over some time.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use holdup_attach::output::{flame_graph, folded, speedscope};
use holdup_attach::{Cpu, Options, Process, Profile, Progress, record};
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::command::dump::tell;
use crate::descriptors;

/// The arguments of `holdup record`.
#[derive(Args, Debug)]
pub(crate) struct RecordArgs {
    /// The process, which needs nothing of Holdup in it
    pid: i32,
    /// For how long; Ctrl-C ends it early, and writes what there is
    #[arg(long, short, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Looks a second
    #[arg(long, short, value_name = "HERTZ", default_value_t = 99, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// What to write
    #[arg(long, value_enum, default_value = "svg")]
    format: Format,
    /// Where to write it: a file, or - for stdout [default: holdup-PID.svg, .folded, .speedscope.json]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what threads do inside of polls
    #[arg(long)]
    workers_only: bool,
    /// Only threads on a CPU, or waiting for one
    #[arg(long, conflicts_with = "off_cpu")]
    on_cpu: bool,
    /// Only threads off the CPU
    #[arg(long)]
    off_cpu: bool,
    /// Keep the frames around each poll, and those of threads that wait for work
    #[arg(long)]
    whole_stacks: bool,
    /// Tell on stderr how stacks were taken, and for how long threads were stopped
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A flame graph, for a browser
    Svg,
    /// A line for each kind of stack
    Folded,
    /// For speedscope.app: also in the order of time
    Speedscope,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Svg => "svg",
            Self::Folded => "folded",
            Self::Speedscope => "speedscope.json",
        }
    }
}

/// Records, and writes.
pub(crate) fn run(args: &RecordArgs) -> anyhow::Result<()> {
    descriptors::allow_all();
    let process = Process::open(args.pid)?;
    let file = format!("holdup-{}.{}", args.pid, args.format.extension());
    let path = args.output.clone().unwrap_or_else(|| file.into());
    // Before anything is recorded, for it would be lost.
    let mut out = output(&path)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .context("cannot listen to signals")?;
    }
    let options = Options {
        duration: args.duration,
        rate: args.rate,
        cpu: match (args.on_cpu, args.off_cpu) {
            (true, _) => Cpu::On,
            (_, true) => Cpu::Off,
            (false, false) => Cpu::Both,
        },
        polls_only: args.workers_only,
    };
    let bar = bar(args.duration)?;
    let mut progress = |at: Progress| {
        bar.set_position(u64::try_from(at.elapsed.as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!("{} threads, {} stacks, {} lost", at.threads, at.samples, at.lost));
    };
    let recording =
        record(&process, options, &|| interrupted.load(Ordering::Relaxed), &mut progress)?;
    bar.set_message("naming frames");
    let profile = recording.name();
    bar.finish_and_clear();
    let written = match args.format {
        Format::Svg => out.write_all(&flame_graph(&profile, args.whole_stacks)?),
        Format::Speedscope => writeln!(out, "{}", speedscope(&profile, args.whole_stacks)?),
        Format::Folded => {
            let mut lines = folded(&profile, args.whole_stacks).into_iter();
            lines.try_for_each(|line| writeln!(out, "{line}"))
        }
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        other => other.with_context(|| format!("cannot write {}", path.display()))?,
    }
    say(&profile, &path)?;
    if args.verbose {
        tell(&profile.counts)?;
    }
    Ok(())
}

fn output(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdout().lock()));
    }
    let file = File::create(path).with_context(|| {
        format!("cannot write {}: name another file with --output", path.display())
    })?;
    Ok(Box::new(std::io::BufWriter::new(file)))
}

/// On a terminal only.
fn bar(duration: Duration) -> anyhow::Result<ProgressBar> {
    if !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let bar = ProgressBar::new(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:30} {msg} (Ctrl-C ends it and writes)")?;
    Ok(bar.with_style(style))
}

/// What there is, and what is missing, on stderr.
fn say(profile: &Profile, path: &Path) -> anyhow::Result<()> {
    let mut notes = String::new();
    if profile.ended {
        notes.push_str("; the process ended");
    }
    if profile.lost() > 0 {
        notes.push_str(&format!(
            "; {} stacks and {} looks at all threads are missing",
            profile.counts.lost, profile.late
        ));
    }
    let to = if path == Path::new("-") { "stdout".into() } else { path.display().to_string() };
    writeln!(
        std::io::stderr(),
        "{to}: {} stacks of {} threads in {:.1} s{notes}",
        profile.samples(),
        profile.tracks.len(),
        profile.elapsed.as_secs_f64()
    )
    .context("cannot write to stderr")
}
