//! The engine as a process: its folder, its end, its supervisor.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::http::Call;
use super::running::{Engine, command, signal, until};

fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_second_engine_on_the_same_folder_is_refused() {
    let engine = Engine::start();
    let said = refusal(&mut command(engine.folder.path(), &[]));
    assert!(said.contains(&format!("in use by another engine (pid {})", engine.pid())), "{said}");
    assert_eq!(engine.ask("SELECT 1"), "1\n");
}

#[test]
fn what_was_written_survives_a_kill() {
    let engine = Engine::start();
    engine.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    engine.ask("INSERT INTO t SELECT number FROM numbers(100000)");
    let engine = Engine::with(engine.kill(), &[]);
    assert_eq!(engine.ask("SELECT count(), sum(a) FROM t"), "100000\t4999950000\n");
}

#[test]
fn a_stop_lets_statements_end() {
    let mut engine = Engine::start();
    engine.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let address = engine.address;
    let sql = b"INSERT INTO t SELECT number + sleepEachRow(0.1) FROM numbers(10)";
    let insert = std::thread::spawn(move || Call::post("/", sql).send(address).status);
    until("the insert runs", || {
        let asked = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT%'";
        (engine.ask(asked) == "1\n").then_some(())
    });
    engine.signal("TERM");
    assert_eq!(engine.wait().code(), Some(0));
    assert_eq!(insert.join().unwrap(), 200);
    let folder = std::mem::replace(&mut engine.folder, TempDir::new().unwrap());
    let engine = Engine::with(folder, &[]);
    assert_eq!(engine.ask("SELECT count() FROM t"), "10\n");
}

#[test]
fn the_end_of_its_parent_is_its_own() {
    let folder = TempDir::new().unwrap();
    let mut child =
        command(folder.path(), &["--exit-with-parent"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("listening"), "{line}");
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    let status = until("the engine ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let said = refusal(&mut command(folder.path(), &["--listen", "0.0.0.0:0"]));
    assert!(said.contains("set a password (--password-file)"), "{said}");
    let said = refusal(&mut command(folder.path(), &["--library", "/nowhere/libchdb.so"]));
    assert!(said.contains("run `holdup engine install`"), "{said}");
    let no_library = std::env::current_exe().unwrap();
    let no_library = no_library.to_str().unwrap();
    let said = refusal(&mut command(folder.path(), &["--library", no_library]));
    assert!(said.contains("cannot be used") && said.contains("holdup engine install"), "{said}");
    let engine = Engine::start();
    let taken = engine.address.to_string();
    let said = refusal(&mut command(folder.path(), &["--listen", &taken]));
    assert!(said.contains(&format!("cannot listen on {taken}")), "{said}");
}

/// A collector with its own engine; dropped, it is killed, and the engine follows it.
struct Collector {
    child: Child,
    clickhouse: SocketAddr,
    folder: TempDir,
}

impl Collector {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(holdup_tests::program("holdup").unwrap());
        command.arg("serve").arg("--data-dir").arg(folder.path());
        for listener in ["grpc", "http", "page", "engine"] {
            command.args([&format!("--{listener}-listen"), "127.0.0.1:0"]);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = line["clickhouse"].as_str().unwrap();
        let clickhouse = url.strip_prefix("http://").unwrap().parse().unwrap();
        Self { child, clickhouse, folder }
    }

    fn ask(&self, sql: &str) -> String {
        Call::post("/", sql.as_bytes()).send(self.clickhouse).text()
    }

    fn engine_pid(&self) -> u32 {
        let lock = self.folder.path().join("clickhouse/engine.lock");
        std::fs::read_to_string(lock).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

#[test]
fn a_killed_engine_is_back_on_its_port_with_its_data() {
    let collector = Collector::start();
    collector.ask("CREATE TABLE default.kept (a UInt8) ENGINE = MergeTree ORDER BY a");
    collector.ask("INSERT INTO default.kept VALUES (1), (2)");
    let killed = collector.engine_pid();
    signal(killed, "KILL");
    until("the engine is back", || {
        let mut stream = std::net::TcpStream::connect(collector.clickhouse).ok()?;
        std::io::Write::write_all(&mut stream, b"GET /ping HTTP/1.0\r\n\r\n").ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        line.contains("200").then_some(())
    });
    assert_ne!(collector.engine_pid(), killed);
    assert_eq!(collector.ask("SELECT sum(a) FROM default.kept"), "3\n");
}

#[test]
fn a_collector_that_stops_or_dies_leaves_no_engine() {
    for name in ["TERM", "KILL"] {
        let mut collector = Collector::start();
        let engine = collector.engine_pid();
        assert!(is_running(engine));
        signal(collector.child.id(), name);
        let status = until("the collector ends", || collector.child.try_wait().unwrap());
        assert_eq!(status.code(), (name == "TERM").then_some(0), "{name}");
        until("the engine ends", || (!is_running(engine)).then_some(()));
    }
}
