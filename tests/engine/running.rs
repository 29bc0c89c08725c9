//! An engine for one test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::http::{Answer, Call};

/// Longest wait for anything.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// A running engine; dropped, it is killed.
pub(super) struct Engine {
    child: Child,
    pub(super) address: SocketAddr,
    /// Its data, and what else the test wants to keep.
    pub(super) folder: TempDir,
}

impl Engine {
    pub(super) fn start() -> Self {
        Self::with(TempDir::new().unwrap(), &[])
    }

    pub(super) fn with(folder: TempDir, options: &[&str]) -> Self {
        let mut child = command(folder.path(), options).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("the engine did not start: {said}");
        }
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = line["listening"].as_str().unwrap().parse().unwrap();
        // Nobody reads it from here on, and a full pipe would stop the engine.
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Self { child, address, folder }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a statement; `parameters` go into the URL.
    pub(super) fn post(&self, parameters: &str, body: impl AsRef<[u8]>) -> Answer {
        Call::post(&format!("/?{parameters}"), body.as_ref()).send(self.address)
    }

    /// The answer to a statement that has to go well.
    pub(super) fn ask(&self, sql: &str) -> String {
        let answer = self.post("", sql);
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.text()
    }

    /// Resident memory, and its peak.
    pub(super) fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let value = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        value.trim_matches([':', ' ', '\t', 'k', 'B']).parse().unwrap()
    }

    pub(super) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    pub(super) fn wait(&mut self) -> ExitStatus {
        until("the engine ends", || self.child.try_wait().unwrap())
    }

    /// Kills it the hard way and hands its data over.
    pub(super) fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, TempDir::new().unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended already, as the test asked.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The engine's command line on a folder.
pub(super) fn command(folder: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(holdup_tests::program("holdup").unwrap());
    command.args(["engine", "run", "--path"]).arg(folder.join("data"));
    command.args(options);
    if !options.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(super) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -s {name} {pid}");
}

/// Asks until there is an answer.
pub(super) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
