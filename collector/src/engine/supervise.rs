//! Keeps an engine's process running: starts it, watches it, starts it again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::library::locate;
use super::run::STOP_GRACE;
use super::{EngineError, session::locked};

/// Time for the engine to come up; with much data it loads each table's parts first.
const START_TIME: Duration = Duration::from_secs(120);

/// Time between SIGTERM and SIGKILL: longer than the engine itself waits for its statements.
const STOP_TIME: Duration = Duration::from_secs(20);
const _: () = assert!(STOP_TIME.as_secs() > STOP_GRACE.as_secs() + 5);

/// Pause before the first restart, doubled by each that follows, up to the second.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// An engine that was up for so long starts afresh with the shortest pause.
const STEADY: Duration = Duration::from_secs(60);

/// Time for what the engine said last to arrive.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct SupervisorOptions {
    /// The program whose `engine run` is the engine; by default this one.
    pub(crate) program: Option<PathBuf>,
    /// Folder of the data.
    pub(crate) path: PathBuf,
    /// Address to listen on; with port 0, the one that is found is kept through restarts.
    pub(crate) listen: SocketAddr,
    /// libchdb.so, by default where it was installed.
    pub(crate) library: Option<PathBuf>,
    /// User that clients have to name.
    pub(crate) user: Option<String>,
    /// File with the password that clients have to send.
    pub(crate) password_file: Option<PathBuf>,
}

/// Whether there is an engine to send statements to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EngineState {
    /// Its process has been started, and does not accept yet.
    Starting,
    /// It accepts.
    Up,
    /// It is not running.
    Down {
        /// What ended it.
        reason: String,
    },
}

/// An engine that is kept running until [`Supervisor::stop`].
pub(crate) struct Supervisor {
    address: SocketAddr,
    state: watch::Receiver<EngineState>,
    restarts: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts an engine, and returns once it accepts.
    pub(crate) async fn start(mut options: SupervisorOptions) -> Result<Self, EngineError> {
        options.library = Some(locate(options.library.as_deref())?);
        let mut process = Process::spawn(&options)?;
        let address = process.listening().await?;
        options.listen = address;
        let (sender, state) = watch::channel(EngineState::Up);
        let (stop, stopping) = oneshot::channel();
        let restarts = Arc::new(AtomicU64::new(0));
        let keeper = Keeper { options, state: sender, restarts: Arc::clone(&restarts) };
        let task = Some(tokio::spawn(keeper.run(process, stopping)));
        Ok(Self { address, state, restarts, stop: Some(stop), task })
    }

    /// Where the engine's HTTP interface is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The engine's state, and its changes.
    #[cfg_attr(not(test), expect(dead_code, reason = "the status that shows it asks ClickHouse"))]
    pub(crate) fn state(&self) -> watch::Receiver<EngineState> {
        self.state.clone()
    }

    /// How often the engine was started again; the counter goes on counting.
    pub(crate) fn restarts(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.restarts)
    }

    /// Stops the engine: running statements get time to end.
    pub(crate) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            // The keeper has ended on its own where this fails.
            let _ = stop.send(());
        }
        if let Some(task) = self.task.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the engine's supervisor failed");
        }
    }
}

struct Keeper {
    options: SupervisorOptions,
    state: watch::Sender<EngineState>,
    restarts: Arc<AtomicU64>,
}

impl Keeper {
    async fn run(self, mut process: Process, mut stop: oneshot::Receiver<()>) {
        let mut pause = BACK_OFF;
        let mut up_since = Instant::now();
        loop {
            let reason = tokio::select! {
                // Dropping the supervisor is a stop as well.
                _ = &mut stop => {
                    process.stop().await;
                    self.down("stopped");
                    return;
                }
                status = process.child.wait() => process.why(status).await,
            };
            tracing::error!(reason, "the engine ended; starting it again");
            self.down(&reason);
            if up_since.elapsed() >= STEADY {
                pause = BACK_OFF;
            }
            process = loop {
                tokio::select! {
                    _ = &mut stop => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(BACK_OFF_MAX);
                match self.restart(&mut stop).await {
                    Some(Ok(process)) => break process,
                    Some(Err(error)) => {
                        tracing::error!(%error, "the engine did not start");
                        self.down(&error.to_string());
                    }
                    None => return,
                }
            };
            up_since = Instant::now();
        }
    }

    /// `None` where it was stopped meanwhile.
    async fn restart(
        &self,
        stop: &mut oneshot::Receiver<()>,
    ) -> Option<Result<Process, EngineError>> {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        let mut process = match Process::spawn(&self.options) {
            Ok(process) => process,
            Err(error) => return Some(Err(error)),
        };
        self.state.send_replace(EngineState::Starting);
        let listening = tokio::select! {
            _ = stop => {
                process.stop().await;
                self.down("stopped");
                return None;
            }
            listening = process.listening() => listening,
        };
        Some(listening.map(|_| {
            self.state.send_replace(EngineState::Up);
            process
        }))
    }

    fn down(&self, reason: &str) {
        self.state.send_replace(EngineState::Down { reason: reason.to_owned() });
    }
}

/// One run of the engine.
struct Process {
    child: Child,
    /// What it said last, for when it ends.
    last_line: Arc<std::sync::Mutex<String>>,
    relay: Option<JoinHandle<()>>,
    /// The pipe whose end tells the engine that this process is gone.
    _lifeline: Option<tokio::process::ChildStdin>,
}

impl Process {
    fn spawn(options: &SupervisorOptions) -> Result<Self, EngineError> {
        let failed = |error: std::io::Error| EngineError::Process(error.to_string());
        let program = match &options.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(failed)?,
        };
        let mut command = Command::new(program);
        command.args(["engine", "run", "--exit-with-parent", "--path"]).arg(&options.path);
        command.arg("--listen").arg(options.listen.to_string());
        let named = [("--library", &options.library), ("--password-file", &options.password_file)];
        for (option, value) in named {
            if let Some(value) = value {
                command.arg(option).arg(value);
            }
        }
        if let Some(user) = &options.user {
            command.args(["--user", user]);
        }
        // The pipe to its input ends with this process, however that ends.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C on a terminal is for the parent, which stops its child in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let last_line = Arc::default();
        let stderr = child.stderr.take();
        let relay = stderr.map(|stderr| tokio::spawn(relay(stderr, Arc::clone(&last_line))));
        // Kept apart from the child, because waiting for the child would close it.
        let lifeline = child.stdin.take();
        Ok(Self { child, last_line, relay, _lifeline: lifeline })
    }

    /// Waits for the line that says where it listens.
    async fn listening(&mut self) -> Result<SocketAddr, EngineError> {
        let Some(stdout) = self.child.stdout.take() else {
            return Err(EngineError::Process("it has no output".into()));
        };
        let mut lines = BufReader::new(stdout).lines();
        let line = match timeout(START_TIME, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None) | Err(_)) => {
                let status = timeout(STOP_TIME, self.child.wait()).await;
                let status = status.unwrap_or_else(|error| Err(error.into()));
                return Err(EngineError::Process(self.why(status).await));
            }
            Err(_) => {
                let seconds = START_TIME.as_secs();
                return Err(EngineError::Process(format!("it is not up after {seconds} s")));
            }
        };
        let address = serde_json::from_str::<serde_json::Value>(&line)
            .ok()
            .and_then(|value| value.get("listening")?.as_str()?.parse().ok());
        address.ok_or_else(|| EngineError::Process(format!("it says: {line}")))
    }

    async fn why(&mut self, status: std::io::Result<ExitStatus>) -> String {
        if let Some(relay) = self.relay.take() {
            // Its last words may be on their way still. Waiting is bounded: a process that the
            // engine left behind could hold its standard error open.
            let _ = timeout(LAST_WORDS, relay).await;
        }
        let line = locked(&self.last_line).clone();
        match status {
            Ok(status) if line.is_empty() => status.to_string(),
            Ok(status) => format!("{line} ({status})"),
            Err(error) => error.to_string(),
        }
    }

    async fn stop(&mut self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw)
            && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
        {
            tracing::warn!(%error, "the engine could not be told to stop");
        }
        if timeout(STOP_TIME, self.child.wait()).await.is_err() {
            tracing::warn!("the engine does not stop; killing it");
            if let Err(error) = self.child.kill().await {
                tracing::warn!(%error, "the engine could not be killed");
            }
        }
    }
}

/// Passes the engine's log on, line by line.
async fn relay(stderr: impl AsyncRead + Unpin, last_line: Arc<std::sync::Mutex<String>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(target: "holdup::engine", "{line}");
        line.clone_into(&mut locked(&last_line));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    /// A supervisor of a script in place of the program: what is tested here is how runs follow
    /// each other. The engine itself is under test end to end.
    async fn of_script(folder: &Path, script: &str) -> Result<Supervisor, EngineError> {
        let program = folder.join("program");
        let text = format!("#!/bin/sh\ncd {}\n{script}\n", folder.display());
        std::fs::write(&program, text).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Supervisor::start(SupervisorOptions {
            library: Some(program.clone()),
            program: Some(program),
            path: folder.to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            user: None,
            password_file: None,
        })
        .await
    }

    #[tokio::test]
    async fn a_crash_is_told_with_its_last_words_and_followed_by_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"echo "$*" >> runs
            echo '{"listening":"127.0.0.1:54321"}'
            if [ $(wc -l < runs) = 1 ]; then read x < fifo; echo 'out of luck' >&2; exit 3; fi
            exec sleep 60"#;
        let fifo = std::process::Command::new("mkfifo").arg(folder.path().join("fifo")).status();
        assert!(fifo.unwrap().success());
        let engine = of_script(folder.path(), script).await.unwrap();
        assert_eq!(engine.url(), "http://127.0.0.1:54321");
        let mut state = engine.state();
        assert_eq!(*state.borrow(), EngineState::Up);
        std::fs::write(folder.path().join("fifo"), "go\n").unwrap();
        let down = state.wait_for(|state| matches!(state, EngineState::Down { .. })).await;
        let EngineState::Down { reason } = down.unwrap().clone() else { panic!("not down") };
        assert!(reason.contains("out of luck") && reason.contains('3'), "{reason}");
        state.wait_for(|state| *state == EngineState::Up).await.unwrap();
        assert_eq!(engine.restarts().load(Ordering::Relaxed), 1);
        let runs = std::fs::read_to_string(folder.path().join("runs")).unwrap();
        let second = runs.lines().nth(1).unwrap();
        assert!(second.contains("--listen 127.0.0.1:54321"), "the same port: {second}");
        engine.stop().await;
        assert_eq!(*state.borrow(), EngineState::Down { reason: "stopped".into() });
    }

    #[tokio::test]
    async fn a_start_that_fails_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let started = of_script(folder.path(), "echo 'no luck' >&2; exit 4").await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains("no luck") && error.contains('4'), "{error}");
    }
}
