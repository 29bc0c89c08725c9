//! The repository's commands: `cargo xtask demo`, `test`, `bench`, `bench-collector`, `seed`,
//! `parts` and `release`.

mod bench;
mod bench_collector;
mod demo;
mod ffi;
mod interrupt;
mod process;
mod release;
mod repository;
mod seed;
mod service;
mod terminal;
mod test;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use interrupt::Interrupted;

/// Exit code of a mistake on the command line.
const USAGE: u8 = 2;
/// What a shell gives for a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// The commands of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the demo service, the collector and its engine, and show what blocks.
    Demo(demo::Options),
    /// Run everything that CI runs.
    Test(test::Options),
    /// Measure what timing a poll costs, beside other tools.
    Bench(bench::Options),
    /// Measure what a span costs the collector, beside rotel's agent.
    BenchCollector(bench_collector::Options),
    /// Fill an engine with made-up polls, and measure the dashboards' queries on them.
    Seed(seed::Options),
    /// List the parts of the collector (CycloneDX): the crates that are linked, with licence and checksum.
    Parts(release::parts::Options),
    /// Make a version: its number, its changelog, its packages, its binary, and their checksums.
    Release(release::Options),
}

fn main() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return refuse(&error),
    };
    let is_demo = matches!(command, Command::Demo(_));
    let result = interrupt::watch().and_then(|interrupt| match command {
        Command::Demo(options) => demo::run(&options, &interrupt),
        Command::Test(options) => test::run(&options, &interrupt),
        Command::Bench(options) => bench::run(&options, &interrupt),
        Command::BenchCollector(options) => bench_collector::run(&options, &interrupt),
        Command::Seed(options) => seed::run(&options, &interrupt),
        Command::Parts(options) => release::parts::run(&options),
        Command::Release(options) => release::run(&options, &interrupt),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // A demo is ended by Ctrl-C as a matter of course; tests that were cut short did not pass.
        Err(error) if error.is::<Interrupted>() && is_demo => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => ExitCode::from(INTERRUPTED),
        Err(error) => {
            // When stderr is gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers `--help`, and tells a mistake in one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let first = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "error: demo, test, bench, bench-collector, seed or release?"
        }
        _ => text.lines().next().unwrap_or_default(),
    };
    let _ = writeln!(io::stderr(), "{first}; see cargo xtask --help");
    ExitCode::from(USAGE)
}
