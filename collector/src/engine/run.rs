//! `holdup engine run`: the process that holds the engine.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::EngineError;
use super::auth::Gate;
use super::ffi::Library;
use super::library::{VARIABLE, locate};
use super::server::Server;
use super::session::Engine;
use super::tokens;

/// Time for running statements to end when the engine is asked to stop.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long a folder may stay in use by an engine that is leaving it.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// Options of `holdup engine run`.
#[derive(Debug, clap::Args)]
pub(crate) struct EngineArgs {
    /// Folder of the data; created if missing
    #[arg(long)]
    path: PathBuf,
    /// Address of the HTTP interface; other machines can reach only one with a password
    #[arg(long, default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// libchdb.so [default: where `holdup engine install` puts it]
    #[arg(long, env = VARIABLE)]
    library: Option<PathBuf>,
    /// User that clients have to name
    #[arg(long, default_value = "default")]
    user: String,
    /// File with the password that clients have to send; without it, none is needed
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// Stop when standard input ends, as it does when the parent process dies
    #[arg(long)]
    pub(super) exit_with_parent: bool,
}

/// Runs the engine until SIGTERM or SIGINT.
pub(crate) async fn run(args: EngineArgs) -> Result<(), EngineError> {
    let password = args.password_file.as_deref().map(read_password).transpose()?;
    let gate = Gate::new(&args.user, password.as_deref());
    if !args.listen.ip().is_loopback() && !gate.has_password() {
        return Err(EngineError::NeedsPassword { address: args.listen });
    }
    let library = locate(args.library.as_deref())?;
    // Held until the process ends, however it ends.
    let _lock = lock_in_time(&args.path).await?;
    let listen = |source| EngineError::Listen { address: args.listen, source };
    let listener = TcpListener::bind(args.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let stop = stop_signal(args.exit_with_parent)?;
    // ClickHouse takes a path that is not absolute as one below its own.
    let path = std::path::absolute(args.path.join("clickhouse"))
        .map_err(|source| EngineError::Folder { path: args.path.clone(), source })?;
    let taken_back = tokio::task::block_in_place(|| tokens::take_back(&path))
        .map_err(|source| EngineError::Folder { path: path.clone(), source })?;
    if taken_back > 0 {
        tracing::info!("{taken_back} inserts that a crash cut short will be taken again");
    }
    let path = path.to_string_lossy().into_owned();
    let engine = tokio::task::spawn_blocking(move || Engine::start(Library::load(&library)?, path))
        .await
        .map_err(|error| EngineError::Process(error.to_string()))??;
    let engine = Arc::new(engine);
    announce(address)?;
    tracing::info!(%address, version = engine.version, "the engine is up");
    Server::new(Arc::clone(&engine), gate).serve(listener, stop, STOP_GRACE).await;
    let stopped = tokio::task::spawn_blocking(move || engine.stop()).await;
    if !matches!(stopped, Ok(true)) {
        tracing::warn!("the engine's threads did not all stop");
    }
    tracing::info!("the engine has stopped");
    Ok(())
}

/// Tells the parent where the engine listens.
fn announce(address: SocketAddr) -> Result<(), EngineError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{{\"listening\":\"{address}\"}}")
        .and_then(|()| out.flush())
        .map_err(|error| EngineError::Process(format!("standard output: {error}")))
}

fn read_password(path: &Path) -> Result<String, EngineError> {
    let text = fs::read_to_string(path)
        .map_err(|source| EngineError::Folder { path: path.to_owned(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Takes the folder, and waits a moment for an engine that is about to leave it, as that of a
/// collector that crashed is.
async fn lock_in_time(path: &Path) -> Result<File, EngineError> {
    let deadline = tokio::time::Instant::now() + LOCK_PATIENCE;
    loop {
        match lock(path) {
            Err(EngineError::FolderInUse { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            done => return done,
        }
    }
}

/// Takes the folder for this process. The kernel takes the lock back when the process ends, so a
/// kill leaves none behind; the file itself stays, for it is what others lock.
fn lock(path: &Path) -> Result<File, EngineError> {
    let folder = |source| EngineError::Folder { path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(folder)?;
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path.join("engine.lock"))
        .map_err(folder)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // The number is for the message alone.
            let _ = file.read_to_string(&mut pid);
            let pid = pid.trim().to_owned();
            let pid = if pid.is_empty() { "unknown".to_owned() } else { pid };
            return Err(EngineError::FolderInUse { path: path.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(folder(source)),
    }
    file.set_len(0).map_err(folder)?;
    writeln!(file, "{}", std::process::id()).map_err(folder)?;
    Ok(file)
}

/// Ends on SIGTERM, SIGINT or, if asked, the end of standard input.
fn stop_signal(with_parent: bool) -> Result<impl Future<Output = ()>, EngineError> {
    let failed = |error: std::io::Error| EngineError::Process(format!("signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (orphaned, is_orphan) = oneshot::channel::<()>();
    let mut kept = Some(orphaned);
    if let Some(orphaned) = kept.take_if(|_| with_parent) {
        // A plain thread: it may stay blocked in the read when the process ends.
        std::thread::spawn(move || {
            let mut ignored = [0; 64];
            while matches!(std::io::stdin().read(&mut ignored), Ok(length) if length > 0) {}
            drop(orphaned);
            // Whatever holds the stop up, the process does not outlive its parent for long.
            std::thread::sleep(STOP_GRACE * 2);
            std::process::abort();
        });
    }
    Ok(async move {
        let _kept = kept;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = is_orphan => {}
        }
    })
}
