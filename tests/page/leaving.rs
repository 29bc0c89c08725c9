//! A client that goes away takes its statement along.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use holdup_tests::collector::{Collector, eventually};

/// A table in whose place is one that takes a second a row, for a quarter of an hour.
const SLOW: [&str; 2] = [
    "RENAME TABLE tasks TO tasks_away",
    "CREATE VIEW tasks AS SELECT * FROM tasks_away WHERE
        (SELECT sum(sleepEachRow(1)) FROM numbers(1000) SETTINGS max_block_size = 1) = 0",
];
/// Statements that ask it.
const RUNNING: &str = "SELECT count() FROM system.processes
    WHERE position(query, 'dumped_ms') > 0 AND position(query, 'system.processes') = 0";
/// A statement that nobody ends goes on for 30 s.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

fn running(collector: &Collector) -> bool {
    collector.sql(RUNNING) != "0"
}

/// Asks, and does not wait for the answer.
fn ask(collector: &Collector, path: &str, accept: &str) -> TcpStream {
    let page = collector.page();
    let host = page.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("it listens");
    let request =
        format!("GET /api/v1/{path} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("it is sent");
    stream
}

#[test]
fn a_statement_ends_when_its_client_goes() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    for statement in SLOW {
        collector.sql(statement);
    }
    assert!(!running(&collector));
    for (path, accept) in [
        ("query/tasks", "application/json"),
        ("query/tasks", "text/csv"),
        ("query/tasks?format=csv", "*/*"),
        ("live", "text/event-stream"),
    ] {
        let stream = ask(&collector, path, accept);
        eventually(&format!("{path} is asked"), || running(&collector).then_some(()));
        drop(stream);
        let left = Instant::now();
        eventually(&format!("{path} ends"), || (!running(&collector)).then_some(()));
        assert!(left.elapsed() < ENDED_WITHIN, "{path}, {accept}: {:?}", left.elapsed());
    }
}

#[test]
fn a_stream_asks_nothing_more_when_its_client_has_gone() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let stream = ask(&collector, "live", "text/event-stream");
    let mut told = BufReader::new(stream.try_clone().expect("a handle")).lines();
    let event = told.find(|line| line.as_ref().is_ok_and(|line| line == "event: seen"));
    assert!(event.is_some(), "an event came");
    // The next look takes long, and the client goes during it.
    for statement in SLOW {
        collector.sql(statement);
    }
    eventually("it looks again", || running(&collector).then_some(()));
    drop((told, stream));
    let left = Instant::now();
    eventually("the look ends", || (!running(&collector)).then_some(()));
    assert!(left.elapsed() < ENDED_WITHIN, "{:?}", left.elapsed());
    // A stream that were still there would look again within a second.
    let later = Instant::now() + Duration::from_secs(3);
    eventually("a look would have begun", || {
        assert!(!running(&collector), "it looks although its client has gone");
        (Instant::now() >= later).then_some(())
    });
}
