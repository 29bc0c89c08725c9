//! ClickHouse without a server: a process that loads libchdb at run time, keeps its data in a
//! folder and speaks ClickHouse's HTTP interface; what starts and watches it; what installs it.
//!
//! The process that loads the library is always a child of its own ([`supervise`]): a crash of
//! the engine does not take the collector with it.

mod answer;
mod auth;
mod block;
mod coding;
mod exception;
mod execute;
mod ffi;
mod install;
mod lexer;
mod library;
mod release;
mod request;
mod run;
mod server;
mod session;
mod socket;
mod statement;
mod supervise;
mod tokens;
mod upload;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use install::InstallArgs;
pub(crate) use lexer::{Kind as TokenKind, Lexer, Token};
pub(crate) use library::data_home;
pub(crate) use run::EngineArgs;
pub(crate) use supervise::{Supervisor, SupervisorOptions};

/// `holdup engine …`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum EngineCommand {
    /// Run the embedded ClickHouse on a folder.
    Run(EngineArgs),
    /// Fetch and verify the embedded ClickHouse.
    Install(InstallArgs),
}

impl EngineCommand {
    /// Whether it was started by [`Supervisor`].
    pub(crate) fn is_supervised(&self) -> bool {
        matches!(self, Self::Run(args) if args.exit_with_parent)
    }

    /// Runs the command to its end, on a runtime of its own.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let outcome = runtime.block_on(async {
            match self {
                Self::Run(args) => run::run(args).await,
                Self::Install(args) => install::install(&args).await,
            }
        });
        // A statement that can't be stopped does not hold the process up.
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(outcome?)
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(
        "the embedded ClickHouse is not installed ({}): {}",
        looked.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
        release::HOW_TO_INSTALL
    )]
    NotInstalled { looked: Vec<PathBuf> },
    #[error("{} cannot be used: {reason}; {}", path.display(), release::HOW_TO_INSTALL)]
    Library { path: PathBuf, reason: String },
    #[error("the engine does not start: {reason}")]
    Connect { reason: String },
    #[error("{} is in use by another engine (pid {pid}): stop it, or use another folder", path.display())]
    FolderInUse { path: PathBuf, pid: String },
    #[error("{}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot listen on {address}: {source}; choose another address, or stop what has it")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "{address} can be reached from other machines: set a password (--password-file), or listen \
         on 127.0.0.1"
    )]
    NeedsPassword { address: SocketAddr },
    #[error("the engine's process: {0}")]
    Process(String),
    #[error(
        "there is no embedded ClickHouse for this system ({system}), only for x86_64 Linux with \
         glibc: run a ClickHouse server and pass --clickhouse-url"
    )]
    Platform { system: String },
    #[error("npm is missing, which fetches the engine: install it (e.g. apt-get install npm)")]
    NpmMissing,
    #[error("the engine could not be installed: {0}")]
    Install(String),
}
