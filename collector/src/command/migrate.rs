//! `holdup migrate`: brings the schema of a ClickHouse that the user runs up to date.

use std::io::Write;

use anyhow::{Context, bail};

use clap::Args;

use crate::config::{ClickHouse, Settings};
use crate::store::{Address, Store, schema};

/// The arguments.
#[derive(Args, Debug)]
pub(crate) struct MigrateArgs {
    /// Print the statements that an empty ClickHouse would get, and do nothing
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Applies what is missing and says what it did.
pub(crate) fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let MigrateArgs { print, mut settings } = args;
    // It listens nowhere.
    settings.allow_unauthenticated = Some(true);
    let address = match settings.resolve()?.clickhouse {
        ClickHouse::At(address) => address,
        ClickHouse::Embedded { .. } => bail!(
            "name a ClickHouse with --clickhouse-url; the embedded engine is migrated by `holdup \
             serve` at its start"
        ),
    };
    if print {
        return self::print(&address);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let applied = runtime.block_on(Store::new(address).migrate())?;
    let mut out = std::io::stdout().lock();
    for step in &applied {
        writeln!(out, "applied {step}").context("cannot write to stdout")?;
    }
    if applied.is_empty() {
        writeln!(out, "up to date").context("cannot write to stdout")?;
    }
    Ok(())
}

fn print(address: &Address) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for statement in schema(&address.database, address.cluster.as_ref()) {
        writeln!(out, "{statement};\n").context("cannot write to stdout")?;
    }
    Ok(())
}
