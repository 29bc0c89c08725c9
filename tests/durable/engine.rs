//! An engine of its own, that outlives collectors and can be killed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use holdup_tests::program;

pub(crate) struct Engine {
    child: Child,
    address: String,
}

impl Engine {
    /// One with its data in a folder.
    pub(crate) fn start(path: &Path) -> Self {
        std::fs::create_dir_all(path).expect("a folder");
        let log = path.with_extension("log");
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let mut child = Command::new(program("holdup").expect("built"))
            .args(["engine", "run", "--listen", "127.0.0.1:0", "--path"])
            .arg(path)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the engine starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let ready: serde_json::Value = serde_json::from_str(&line).expect("it tells its address");
        let address = ready["listening"].as_str().expect("an address").to_owned();
        Self { child, address }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Its HTTP interface.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // What can't be ended is gone already.
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}
