//! `holdup alerts`: whether receivers can be told.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::config::{self, ConfigError};
use crate::notify::{Outcome, Status, Trial};

#[derive(Subcommand)]
pub(crate) enum AlertsCommand {
    /// Send a sample alert to a receiver, firing and then resolved
    Test(TestArgs),
}

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Name of the receiver
    #[arg(long, value_name = "NAME")]
    receiver: String,
    /// Configuration file (TOML)
    #[arg(long, env = "HOLDUP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn run(command: AlertsCommand) -> anyhow::Result<()> {
    match command {
        AlertsCommand::Test(args) => test(args),
    }
}

fn test(args: TestArgs) -> anyhow::Result<()> {
    let mut settings = config::Settings::default();
    settings.config = args.config;
    // It listens nowhere.
    settings.allow_unauthenticated = Some(true);
    let settings = settings.resolve()?.notify;
    let trial = Trial::new(&settings, &args.receiver)
        .map_err(|error| ConfigError::Conflict(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let resolved = trial.sends_resolved().then_some(Status::Resolved);
    for status in [Status::Firing].into_iter().chain(resolved) {
        let step = runtime.block_on(trial.send(status));
        let outcome = match step.outcome {
            Some(Outcome::Sent) => "sent",
            Some(Outcome::Refused | Outcome::Dropped) => "refused",
            None => "failed, and would be tried again",
        };
        writeln!(
            std::io::stdout(),
            "{} ({}): {} {outcome} in {:.1?}: {}",
            args.receiver,
            trial.way(),
            step.status.name(),
            step.took,
            step.detail,
        )?;
        if step.outcome != Some(Outcome::Sent) {
            bail!("receiver {} was not told: {}", args.receiver, step.detail);
        }
    }
    Ok(())
}
