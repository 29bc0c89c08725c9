//! `holdup`: finds what is holding up async services.
//!
//! Data takes its way through the folders: `receive` takes OTLP requests, of which `decode` makes
//! rows, and writes them to the `log`; `batch` takes them out of it and has `store` write them to
//! ClickHouse, `fold` makes episodes of them, and `page` shows what `queries/` asks. `serve` wires
//! all of it; `engine` is the ClickHouse that it brings along.

mod access;
mod alerts;
mod allocator;
mod batch;
mod clock;
mod command;
mod config;
mod connections;
#[cfg(test)]
mod corpus;
mod dashboards;
mod decode;
mod descriptors;
mod engine;
mod evaluate;
mod export;
mod fold;
mod forward;
mod kafka;
mod log;
mod manager;
mod measured;
mod metrics;
#[expect(dead_code, unused_imports, reason = "serve wires it with the rules")]
mod notify;
mod own_polls;
mod page;
mod polls;
mod receive;
mod request;
mod rules;
mod serve;
mod span;
mod store;
mod tls;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Finds what is holding up async services
#[derive(Parser)]
#[command(name = "holdup", version, propagate_version = true)]
struct Cli {
    /// How lines of the log on stderr are written
    #[arg(long, global = true, env = "HOLDUP_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// How lines of the log are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// An object a line
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Take OTLP, write ClickHouse, serve the page
    Serve(config::Settings),
    /// Say whether `serve` would start with this configuration
    Check(command::check::CheckArgs),
    /// Bring the schema of a ClickHouse up to date
    Migrate(command::migrate::MigrateArgs),
    /// Ask a running collector
    Query(command::query::QueryArgs),
    /// Watch what blocks
    Top(command::top::TopArgs),
    /// Tell of episodes as they open and close
    Tail(command::tail::TailArgs),
    /// Write what blocked as one file for a ticket
    Report(command::report::ReportArgs),
    /// Compare what a test run found with a baseline
    Ci(command::ci::CiArgs),
    /// Write stacks of blocked time for other tools
    Export(command::export::ExportArgs),
    /// Alerts and who is told of them
    #[command(subcommand)]
    Alerts(command::alerts::AlertsCommand),
    /// Show what each thread of a process does, and which polls hold one
    Dump(command::dump::DumpArgs),
    /// Record what the threads of a process do, on and off CPU, as a flame graph
    Record(command::record::RecordArgs),
    /// Look at alert rules
    #[command(subcommand)]
    Rules(command::rules::RulesCommand),
    /// Requests that ClickHouse refused for what is in them
    #[command(subcommand)]
    Spool(command::spool::SpoolCommand),
    /// List the live tasks of a service
    Tasks(command::tasks::TasksArgs),
    /// Tokens that clients show
    #[command(subcommand)]
    Token(command::token::TokenCommand),
    /// Name the frames of a stripped program
    Symbolize(command::symbolize::SymbolizeArgs),
    /// Grafana's dashboards, from the same queries
    #[command(subcommand)]
    Dashboards(command::dashboards::DashboardsCommand),
    /// Print a script that completes commands in a shell
    Completions(command::shell::CompletionsArgs),
    /// Print or write manual pages
    Man(command::shell::ManArgs),
    /// The embedded ClickHouse engine
    #[command(subcommand)]
    Engine(engine::EngineCommand),
}

/// Exit code for a configuration that can't be used (`EX_CONFIG` of sysexits.h).
const BAD_CONFIGURATION: u8 = 78;
/// Exit code of a run whose findings fail it.
const FINDINGS: u8 = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging(&cli.command, cli.log_format);
    // Where that is not taken, more memory lies idle, and nothing else differs.
    let _taken = allocator::share_out();
    let outcome = match cli.command {
        Command::Serve(settings) => serve(&settings),
        Command::Check(args) => command::check::run(&args),
        Command::Migrate(args) => command::migrate::run(args),
        Command::Query(args) => command::query::run(&args),
        Command::Top(args) => command::top::run(&args),
        Command::Tail(args) => command::tail::run(&args),
        Command::Report(args) => command::report::run(&args),
        Command::Ci(args) => command::ci::run(&args),
        Command::Export(args) => command::export::run(&args),
        Command::Alerts(command) => command::alerts::run(command),
        Command::Dump(args) => command::dump::run(&args),
        Command::Record(args) => command::record::run(&args),
        Command::Rules(command) => command::rules::run(command),
        Command::Spool(command) => command::spool::run(command),
        Command::Tasks(args) => command::tasks::run(&args),
        Command::Token(command) => command::token::run(command),
        Command::Symbolize(args) => command::symbolize::run(&args),
        Command::Dashboards(command) => command::dashboards::run(command),
        Command::Completions(args) => command::shell::completions(&args, Cli::command()),
        Command::Man(args) => command::shell::man(&args, Cli::command()),
        Command::Engine(command) => command.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do when stderr is gone too.
            let _unwritten = writeln!(std::io::stderr(), "holdup: {error:#}");
            if error.downcast_ref::<command::ci::Failed>().is_some() {
                return ExitCode::from(FINDINGS);
            }
            let of_configuration = error.downcast_ref::<config::ConfigError>().is_some()
                || matches!(
                    error.downcast_ref::<store::MigrateError>(),
                    Some(store::MigrateError::Newer { .. } | store::MigrateError::Name(_))
                );
            ExitCode::from(if of_configuration { BAD_CONFIGURATION } else { 1 })
        }
    }
}

fn serve(settings: &config::Settings) -> anyhow::Result<()> {
    let runtime = own_polls::runtime()?;
    let outcome = runtime.block_on(serve::run(|| settings.clone().resolve()));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    outcome
}

/// Logs go to stderr; `RUST_LOG` says how much.
fn start_logging(command: &Command, format: LogFormat) {
    // What an engine says that lives for one command is of interest when something is wrong.
    let level = if matches!(command, Command::Rules(_)) { "warn" } else { "info" };
    if matches!(command, Command::Top(_)) {
        // Whatever is logged would be drawn over.
        return;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Where stderr takes nothing, on a full disk for one, saying so there would be a panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    match command {
        // Its supervisor logs each line with a time and a source.
        Command::Engine(engine) if engine.is_supervised() => {
            log.without_time().with_target(false).init();
        }
        _ if format == LogFormat::Json => log.json().init(),
        _ => log.init(),
    }
}
