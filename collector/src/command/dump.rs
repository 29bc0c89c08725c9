//! `holdup dump`: what each thread of a process does.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use holdup_attach::output::{Look, text};
use holdup_attach::{Counts, Process, dump};

use crate::descriptors;

/// The arguments of `holdup dump`.
#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    /// The process, which needs nothing of Holdup in it
    pid: i32,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Show all frames: those of the runtime, and those of threads that wait for work
    #[arg(long)]
    whole_stacks: bool,
    /// Tell on stderr how stacks were taken, and for how long threads were stopped
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Looks once, and prints.
pub(crate) fn run(args: &DumpArgs) -> anyhow::Result<()> {
    descriptors::allow_all();
    let dump = dump(&Process::open(args.pid)?)?;
    if args.verbose {
        tell(&dump.counts)?;
    }
    let mut out = std::io::stdout().lock();
    let written = match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&dump)?),
        Output::Text => {
            let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            write!(out, "{}", text(&dump, Look { colour, whole: args.whole_stacks }))
        }
    };
    match written {
        // A pager that was closed has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the dump"),
    }
}

/// How stacks were taken, on stderr.
pub(crate) fn tell(counts: &Counts) -> anyhow::Result<()> {
    let Counts { undisturbed, unmoved, stopped, moved, incomplete, lost, pauses } = counts;
    writeln!(
        std::io::stderr(),
        "stacks: {undisturbed} of threads that slept, taken without their help, {unmoved} of \
         threads that had not moved since, {stopped} of threads that were stopped; {moved} copies thrown \
         away, {incomplete} without outer frames, {lost} lost\n\
         from the request to stop until the release: {}\n\
         of that, standing still as far as is known: {}",
        spread(pauses.iter().map(|pause| pause.whole)),
        spread(pauses.iter().map(|pause| pause.held)),
    )
    .context("cannot write to stderr")
}

/// `12 µs (median), 30 µs (99 %), 41 µs (most)`
fn spread(times: impl Iterator<Item = Duration>) -> String {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let micros = |part: usize| {
        let at = times.len().saturating_sub(1) * part / 100;
        times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    format!(
        "{:.0} µs (median), {:.0} µs (99 %), {:.0} µs (most)",
        micros(50),
        micros(99),
        micros(100)
    )
}
