//! `holdup rules`: looks at alert rules without a collector.

mod check;
mod engine;
mod list;
mod remarks;
mod test;
mod test_file;

use clap::Subcommand;

/// Look at alert rules
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// List the rules, those that come with holdup and your own
    List(list::ListArgs),
    /// Say what is wrong with rule files: keys, templates, SQL, columns
    Check(check::CheckArgs),
    /// Run unit tests of rules: given rows, at a time, these alerts
    Test(test::TestArgs),
}

/// Runs one of them.
pub(crate) fn run(command: RulesCommand) -> anyhow::Result<()> {
    match command {
        RulesCommand::List(args) => list::run(&args),
        RulesCommand::Check(args) => on_runtime(check::run(args)),
        RulesCommand::Test(args) => on_runtime(test::run(args)),
    }
}

fn on_runtime(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(work)
}
