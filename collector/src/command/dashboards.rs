//! `holdup dashboards`: Grafana's dashboards and alert rules, from the queries that the page asks.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::{dashboards, rules};

/// What to do with them.
#[derive(Debug, Subcommand)]
pub(crate) enum DashboardsCommand {
    /// Write them, and the alert rules, as files for Grafana's provisioning
    Export(ExportArgs),
    /// Put what the queries' headers say into a page of the documentation, between its marks
    #[command(hide = true)]
    Reference {
        /// The page
        page: PathBuf,
    },
}

/// The arguments of `holdup dashboards export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The folder; `dashboards/Holdup/` and `provisioning/alerting/` are made in it
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Where the collector's page is: alert rules lead to runbooks there
    #[arg(long, value_name = "URL", default_value = "http://localhost:4380")]
    page: String,
    /// Write nothing; fail when a file there is not what would be written
    #[arg(long)]
    check: bool,
}

/// Does what was asked.
pub(crate) fn run(command: DashboardsCommand) -> anyhow::Result<()> {
    match command {
        DashboardsCommand::Export(args) => export(&args),
        DashboardsCommand::Reference { page } => {
            let text = fs::read_to_string(&page)
                .with_context(|| format!("cannot read {}", page.display()))?;
            let text = dashboards::reference(&text)?
                .with_context(|| format!("{} has no marks for it", page.display()))?;
            fs::write(&page, text).with_context(|| format!("cannot write {}", page.display()))
        }
    }
}

/// Writes or compares.
fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let mut differing = Vec::new();
    let mut out = std::io::stdout().lock();
    for file in dashboards::export(&rules::load(&[])?, &args.page)? {
        let path = args.out.join(&file.path);
        if args.check {
            // One that can't be read is not what would be written either.
            if fs::read_to_string(&path).ok().as_deref() != Some(file.text.as_str()) {
                differing.push(path.display().to_string());
            }
            continue;
        }
        let folder = path.parent().context("a file is in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&path, &file.text).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(out, "{}", path.display()).context("cannot write to stdout")?;
    }
    if !differing.is_empty() {
        bail!(
            "out of date: {}. Run `holdup dashboards export --out {}`",
            differing.join(", "),
            args.out.display()
        );
    }
    Ok(())
}
