//! The top functions, as `holdup query top` gives them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::repository::binary;

/// Longer than a demo is watched.
const SINCE: &str = "15m";

/// A function that blocked.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) function: String,
    pub(crate) calls: u64,
    pub(crate) blocked_ns: u64,
}

/// Asks the page's API through the command that a user has.
#[derive(Debug)]
pub(crate) struct Top {
    holdup: PathBuf,
    page: String,
}

impl Top {
    pub(crate) fn of(page: &str) -> anyhow::Result<Self> {
        Ok(Self { holdup: binary("holdup")?, page: page.to_owned() })
    }

    pub(crate) fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let text = self.ask("json")?;
        serde_json::from_str(&text)
            .with_context(|| format!("`holdup query top --output json` gave {text}"))
    }

    pub(crate) fn table(&self) -> anyhow::Result<String> {
        Ok(self.ask("table")?.trim_end().to_owned())
    }

    fn ask(&self, output: &str) -> anyhow::Result<String> {
        let asked = Command::new(&self.holdup)
            .args(["query", "top", "--since", SINCE, "--output", output, "--page", &self.page])
            .stdin(Stdio::null())
            .output()
            .context("cannot run holdup")?;
        if !asked.status.success() {
            bail!("holdup query top: {}", String::from_utf8_lossy(&asked.stderr).trim());
        }
        String::from_utf8(asked.stdout).context("`holdup query top` gave no text")
    }
}
