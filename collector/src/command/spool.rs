//! `holdup spool`: what ClickHouse refused for what is in it, and how to have it sent again.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::{ContentArrangement, Table};

use crate::batch::{Aside, AsideFile};
use crate::config;
use crate::request::Kind;

/// Requests that were put aside, in the log's folder.
#[derive(Subcommand)]
pub(crate) enum SpoolCommand {
    /// Say which there are, and why
    List(Folder),
    /// Show one: what is known of it, or the body as it came
    Show {
        /// Its name, as `list` has it
        id: String,
        /// Write the body as it came, and nothing else
        #[arg(long)]
        raw: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// Have the collector send some again: the one that runs, or the next that starts
    Replay {
        /// Their names
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All that there are
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// Give some up: their rows are lost
    Remove {
        /// Their names
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        folder: Folder,
    },
}

/// Where the log is: as `holdup serve` is told.
#[derive(Args)]
pub(crate) struct Folder {
    /// Configuration file of `holdup serve`
    #[arg(long, env = "HOLDUP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of its data
    #[arg(long, env = "HOLDUP_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder of its log
    #[arg(long, env = "HOLDUP_LOG_DIR", value_name = "DIR")]
    log_dir: Option<PathBuf>,
}

impl Folder {
    fn aside(self) -> anyhow::Result<Aside> {
        Ok(Aside::of(&config::log_folder(self.config.as_deref(), self.data_dir, self.log_dir)?))
    }
}

/// Runs the command.
pub(crate) fn run(command: SpoolCommand) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match command {
        SpoolCommand::List(folder) => list(&folder.aside()?, &mut out)?,
        SpoolCommand::Show { id, raw, folder } => {
            let file = folder.aside()?.show(&id)?;
            if raw { out.write_all(&file.body)? } else { show(&file, &mut out)? }
        }
        SpoolCommand::Replay { ids, all, folder } => {
            let aside = folder.aside()?;
            let ids =
                if all { aside.list()?.into_iter().map(|head| head.id).collect() } else { ids };
            for id in &ids {
                aside.replay(id)?;
                writeln!(out, "{id}: the collector sends it again within seconds")?;
            }
        }
        SpoolCommand::Remove { ids, folder } => {
            let aside = folder.aside()?;
            for id in &ids {
                aside.remove(id)?;
                writeln!(out, "{id}: given up")?;
            }
        }
    }
    Ok(())
}

fn list(aside: &Aside, out: &mut impl Write) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["id", "table", "rows", "received", "reason"]);
    for head in aside.list()? {
        let received = received(head.received_ns);
        table.add_row([head.id, head.table, head.rows.to_string(), received, head.reason]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}

fn show(file: &AsideFile, out: &mut impl Write) -> io::Result<()> {
    let head = &file.head;
    let kind = Kind::of_label(head.label).map_or_else(String::new, |kind| kind.to_string());
    writeln!(out, "id:       {}", head.id)?;
    writeln!(out, "received: {}", received(head.received_ns))?;
    writeln!(out, "body:     {kind}, {} bytes (--raw writes it)", file.body.len())?;
    writeln!(out, "refused:  {} rows of {}", head.rows, head.table)?;
    writeln!(out, "reason:   {}", head.reason)
}

fn received(ns: u64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(ns);
    humantime::format_rfc3339_seconds(at).to_string()
}
