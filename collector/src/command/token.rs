//! `holdup token`: makes a token. It is shown once; what is kept of it is in the tokens file.

use std::fs::OpenOptions;
use std::io::{Write, stderr, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use crate::access::{Role, digest, hex, new_token};
use crate::config;

/// Tokens that clients show.
#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make one: it is printed once, on stdout; what the tokens file needs goes to stderr, or into
    /// the file
    New(NewArgs),
}

#[derive(Args)]
pub(crate) struct NewArgs {
    /// What it is called in the file and in messages
    name: String,
    /// What it is for; may be given several times
    #[arg(long = "role", value_enum, default_value = "ingest")]
    roles: Vec<Role>,
    /// Services that it may send of, as patterns like shop-*; all without; may be given several times
    #[arg(long = "service", value_name = "PATTERN")]
    services: Vec<String>,
    /// Add what is kept of it to this file, which is made when absent
    #[arg(long, env = "HOLDUP_TOKENS_FILE", value_name = "FILE")]
    tokens_file: Option<PathBuf>,
}

pub(crate) fn run(TokenCommand::New(args): TokenCommand) -> anyhow::Result<()> {
    let token = new_token().context("the system gives no random numbers")?;
    let entry = entry(&args, &token)?;
    match &args.tokens_file {
        Some(path) => {
            add(path, &entry)?;
            let path = path.display();
            writeln!(stderr(), "added to {path}; a collector that runs reads it on SIGHUP")?;
        }
        None => writeln!(stderr(), "for the tokens file:\n\n{entry}")?,
    }
    writeln!(stdout(), "{token}").context("cannot write the token")
}

/// What the file has of it.
fn entry(args: &NewArgs, token: &str) -> anyhow::Result<String> {
    let text = |text: &str| toml::Value::from(text).to_string();
    let list = |all: Vec<String>| format!("[{}]", all.join(", "));
    let roles = list(args.roles.iter().map(|role| text(role.name())).collect());
    let mut entry = format!(
        "[[tokens]]\nname = {}\nsha256 = \"{}\"\nroles = {roles}\n",
        text(&args.name),
        hex(&digest(token)),
    );
    if !args.services.is_empty() {
        let services = list(args.services.iter().map(|pattern| text(pattern)).collect());
        entry.push_str(&format!("services = {services}\n"));
    }
    // By itself it has to be a file of tokens.
    config::parse_tokens(Path::new("the token"), &entry)?;
    Ok(entry)
}

/// Adds an entry, unless the file would then be of no use.
fn add(path: &Path, entry: &str) -> anyhow::Result<()> {
    let shown = path.display();
    let before = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {shown}"))?,
    };
    let blank = if before.is_empty() { "" } else { "\n" };
    let addition = format!("{blank}{entry}");
    if let Err(error) = config::parse_tokens(path, &format!("{before}{addition}")) {
        bail!("{error}: nothing was added");
    }
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(addition.as_bytes())?;
        file.sync_all()
    });
    written.with_context(|| format!("cannot write {shown}"))
}
