//! `holdup migrate`: brings the schema of a ClickHouse that the user runs up to date.

use std::io::Write;

use anyhow::{Context, bail};

use crate::config::{ClickHouse, Settings};
use crate::store::Store;

/// Applies what is missing and says what it did.
pub(crate) fn run(mut settings: Settings) -> anyhow::Result<()> {
    // It listens nowhere.
    settings.allow_unauthenticated = Some(true);
    let address = match settings.resolve()?.clickhouse {
        ClickHouse::At(address) => address,
        ClickHouse::Embedded { .. } => bail!(
            "name a ClickHouse with --clickhouse-url; the embedded engine is migrated by `holdup \
             serve` at its start"
        ),
    };
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
