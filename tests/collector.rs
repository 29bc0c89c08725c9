//! Starts the real collector and asks it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that is wrong"
)]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program;

/// How long a condition may take to come true on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` gives something.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come true within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running `holdup serve` with ports of its own.
pub struct Collector {
    child: Child,
    ready: Value,
    log: PathBuf,
    /// The folder of its data, when it goes with it.
    _data: Option<TempDir>,
}

impl Collector {
    /// Starts one with its data, the engine's included, in `data`.
    ///
    /// # Panics
    /// When it does not come up; its log is in the message.
    #[must_use]
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::spawn(data, Self::command(data, arguments))
    }

    /// Starts one that goes on when a file gets longer than it may.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_ignoring_lengths(data: &Path, arguments: &[&str]) -> Self {
        let command = Self::command(data, arguments);
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
        shell.arg(command.get_program()).args(command.get_args());
        Self::spawn(data, shell)
    }

    /// Starts a command that was made by [`Collector::command`].
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn spawn(data: &Path, mut command: Command) -> Self {
        let log = data.join("serve.log");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log).expect("a log"))
            .spawn()
            .expect("holdup starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its stdout is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("stdout can be read");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let ready: Result<Value, _> = serde_json::from_str(&line);
        let ready = ready.unwrap_or_else(|e| panic!("{e}: {line:?}\n{text}"));
        Self { child, ready, log, _data: None }
    }

    /// Starts one whose data goes when it does.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_in(data: TempDir, arguments: &[&str]) -> Self {
        let mut started = Self::start(data.path(), arguments);
        started._data = Some(data);
        started
    }

    /// The command that [`Collector::start`] runs.
    #[must_use]
    pub fn command(data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("holdup").expect("built"));
        command.arg("serve").args(["--grpc-listen", "127.0.0.1:0", "--page-listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(data);
        if !arguments.contains(&"--http-listen") {
            command.args(["--http-listen", "127.0.0.1:0"]);
        }
        if !arguments.contains(&"--batch-interval") {
            command.args(["--batch-interval", "0s"]);
        }
        if !arguments.contains(&"--clickhouse-url") {
            command.args(["--engine-listen", "127.0.0.1:0"]);
        }
        command.args(arguments);
        command
    }

    fn address(&self, of: &str) -> &str {
        self.ready[of].as_str().expect("an address")
    }

    /// Base address of OTLP over HTTP.
    #[must_use]
    pub fn http(&self) -> String {
        format!("http://{}", self.address("http"))
    }

    /// Base address of OTLP over gRPC.
    #[must_use]
    pub fn grpc(&self) -> String {
        format!("http://{}", self.address("grpc"))
    }

    /// Base address of the page.
    #[must_use]
    pub fn page(&self) -> String {
        format!("http://{}", self.address("page"))
    }

    /// Base address of ClickHouse.
    #[must_use]
    pub fn clickhouse(&self) -> String {
        self.address("clickhouse").to_owned()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until ClickHouse has all that was acknowledged.
    ///
    /// # Panics
    /// When that does not come true.
    pub fn settle(&self) {
        eventually("ClickHouse has all that was acknowledged", || {
            let status = get(&format!("{}/api/v1/status", self.page()));
            let status: Value = serde_json::from_str(&status.text).expect("the status is JSON");
            (status["log"]["all_stored"] == true).then_some(())
        });
    }

    /// The rows of a panel, once ClickHouse has all that was acknowledged.
    ///
    /// # Panics
    /// When it is not answered.
    #[must_use]
    pub fn ask(&self, panel_and_parameters: &str) -> Vec<Value> {
        self.settle();
        let answer = get(&format!("{}/api/v1/query/{panel_and_parameters}", self.page()));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let json: Value = serde_json::from_str(&answer.text).expect("the answer is JSON");
        json["data"].as_array().expect("the answer has rows").clone()
    }

    /// What ClickHouse answers to a statement, as text, once it has all that was acknowledged.
    ///
    /// # Panics
    /// When it refuses.
    pub fn sql(&self, statement: &str) -> String {
        self.settle();
        let client = client();
        let url = format!("{}/?database=holdup", self.clickhouse());
        let answer =
            client.post(url).body(statement.to_owned()).send().expect("ClickHouse answers");
        let status = answer.status();
        let text = answer.text().expect("the answer is text");
        assert!(status.is_success(), "{statement}: {text}");
        text.trim().to_owned()
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as an operator would, and waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(mut self) -> ExitStatus {
        signal(self.child.id(), "TERM");
        eventually("the collector ends", || self.child.try_wait().expect("it is our child"))
    }

    /// Ends it as a crash would, the engine with it.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A test that failed leaves nothing behind; what can't be ended is gone already.
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// Sends a signal to a process that a test started.
///
/// # Panics
/// When there is no such process.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success(), "no process {pid}");
}

/// A client that does not wait for ever.
///
/// # Panics
/// When there can't be one.
#[must_use]
pub fn client() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder().timeout(PATIENCE).build().expect("a client")
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its content type.
    pub content_type: String,
    /// Its body.
    pub bytes: Vec<u8>,
    /// Its body, as far as it is text.
    pub text: String,
}

impl From<reqwest::blocking::Response> for Answer {
    fn from(response: reqwest::blocking::Response) -> Self {
        let header = response.headers().get("content-type");
        let content_type = header.map(|v| v.to_str().expect("text").to_owned()).unwrap_or_default();
        let status = response.status().as_u16();
        let bytes = response.bytes().expect("the answer comes whole").to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Self { status, content_type, bytes, text }
    }
}

/// Asks for an address.
///
/// # Panics
/// When nothing answers.
#[must_use]
pub fn get(url: &str) -> Answer {
    client().get(url).send().unwrap_or_else(|e| panic!("GET {url}: {e}")).into()
}

/// Sends a body.
///
/// # Panics
/// When nothing answers.
#[must_use]
pub fn post(url: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
    let mut request = client().post(url).body(body.into());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().unwrap_or_else(|e| panic!("POST {url}: {e}")).into()
}
