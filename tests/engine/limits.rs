//! Bounds, and who is let in.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tempfile::TempDir;

use super::http::Call;
use super::running::{DEADLINE, Engine, until};

/// What the HTTP layer may keep of a stream: the held megabyte, a few pieces, the buffers of
/// allocator and engine.
const STREAM_KIB_MAX: u64 = 150 * 1024;

/// Statements that run, other than the one that asks.
fn running(engine: &Engine) -> usize {
    let asked = "SELECT count() - 1 FROM system.processes";
    engine.ask(asked).trim().parse().unwrap()
}

#[test]
fn a_result_is_streamed_in_bounded_memory() {
    let engine = Engine::start();
    engine.ask("SELECT number, toString(number) FROM numbers(100000) FORMAT JSON");
    let before = engine.memory_kib("VmHWM");
    // What the engine itself holds is a matter of its settings: here, little.
    let settings = "/?max_block_size=1000&output_format_parallel_formatting=0";
    let sql = "SELECT number, repeat('x', 500) FROM numbers(1000000) FORMAT RowBinary";
    let mut stream = Call::post(settings, sql.as_bytes()).start(engine.address);
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            length => bytes += length,
        }
    }
    assert!(bytes > 510_000_000, "{bytes}");
    let grown = engine.memory_kib("VmHWM") - before;
    assert!(grown < STREAM_KIB_MAX, "{grown} KiB more than before");
}

#[test]
fn an_insert_is_streamed_in_bounded_memory() {
    let engine = Engine::start();
    engine.ask("CREATE TABLE t (a UInt64, s String) ENGINE = Null");
    engine.post("query=INSERT+INTO+t+FORMAT+TSV", "1\ta\n");
    let before = engine.memory_kib("VmHWM");
    let mut stream = TcpStream::connect(engine.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // What the engine itself holds is a matter of its settings: here, little.
    let settings = "input_format_parallel_parsing=0&max_insert_block_size=1000\
                    &min_insert_block_size_rows=1000&min_insert_block_size_bytes=1000000";
    let row = format!("{}\t{}\n", 12345, "y".repeat(500));
    let piece = row.repeat(1000);
    let head = format!(
        "POST /?query=INSERT+INTO+t+FORMAT+TSV&{settings} HTTP/1.1\r\nHost: localhost\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        piece.len() * 1000
    );
    stream.write_all(head.as_bytes()).unwrap();
    for _ in 0..1000 {
        stream.write_all(piece.as_bytes()).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"written_rows\":\"1000000\""), "{answer}");
    let grown = engine.memory_kib("VmHWM") - before;
    assert!(grown < STREAM_KIB_MAX, "{grown} KiB more than before");
}

#[test]
fn a_reader_that_goes_away_ends_its_statement() {
    let engine = Engine::start();
    for sql in ["SELECT number FROM system.numbers", "SELECT count() FROM system.numbers"] {
        let stream = Call::post("/", sql.as_bytes()).start(engine.address);
        until("the statement runs", || (running(&engine) == 1).then_some(()));
        drop(stream);
        until("the statement is cancelled", || (running(&engine) == 0).then_some(()));
    }
}

#[test]
fn too_many_statements_are_refused_and_no_others() {
    let engine = Engine::start();
    let start = || Call::post("/", b"SELECT count() FROM system.numbers").start(engine.address);
    let mut streams: Vec<_> = (0..31).map(|_| start()).collect();
    until("the limit is reached", || {
        let answer = engine.post("", "SELECT 1");
        if answer.status == 200 {
            // This one may have had the last place when another of those came.
            streams.push(start());
            return None;
        }
        answer.is_error(500, 202, "Too many simultaneous queries. Maximum: 32");
        Some(())
    });
    assert_eq!(Call::get("/ping").send(engine.address).status, 200);
    drop(streams);
    until("there is room", || (engine.post("", "SELECT 1").status == 200).then_some(()));
}

#[test]
fn too_many_connections_are_turned_away() {
    let engine = Engine::start();
    let idle: Vec<_> = (0..256).map(|_| TcpStream::connect(engine.address).unwrap()).collect();
    let answer = Call::get("/ping").send(engine.address);
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("Too many connections"), "{answer:?}");
    drop(idle);
    until("there is room", || {
        (Call::get("/ping").send(engine.address).status == 200).then_some(())
    });
}

#[test]
fn long_statements_are_refused() {
    let engine = Engine::start();
    let long = format!("SELECT '{}'", "x".repeat(300_000));
    engine.post("", &long).is_error(400, 62, "Max query size exceeded");
    assert_eq!(engine.ask(&format!("SELECT length('{}')", "x".repeat(200_000))), "200000\n");
    let answer =
        Call::get(&format!("/?query=SELECT+'{}'", "x".repeat(70_000))).send(engine.address);
    assert_eq!(answer.status, 414);
    let answer = Call::get("/ping").header("X", &"x".repeat(200_000)).send(engine.address);
    assert_eq!(answer.status, 431);
}

#[test]
fn with_a_password_only_those_who_know_it_are_let_in() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "pass word\n").unwrap();
    let options = ["--user", "u", "--password-file", file.to_str().unwrap()];
    let engine = Engine::with(folder, &options);
    let ask = || Call::post("/", b"SELECT 1");
    let refused = ask().send(engine.address);
    refused.is_error(401, 194, "REQUIRED_PASSWORD");
    assert!(refused.header("www-authenticate").starts_with("Basic"), "{refused:?}");
    let by_header = |user: &str, key: &str| {
        let call = ask().header("X-ClickHouse-User", user).header("X-ClickHouse-Key", key);
        call.send(engine.address)
    };
    assert_eq!(by_header("u", "pass word").text(), "1\n");
    by_header("u", "pass").is_error(403, 516, "u: Authentication failed");
    by_header("default", "pass word").is_error(403, 516, "Authentication failed");
    let basic = ask().header("Authorization", "Basic dTpwYXNzIHdvcmQ=");
    assert_eq!(basic.send(engine.address).text(), "1\n");
    assert_eq!(engine.post("user=u&password=pass+word", "SELECT 1").text(), "1\n");
    assert_eq!(Call::get("/ping").send(engine.address).status, 200);
}

#[test]
fn without_a_password_web_pages_of_others_are_kept_out() {
    let engine = Engine::start();
    assert_eq!(engine.post("user=default&password=any", "SELECT 1").text(), "1\n");
    engine.post("user=eve", "SELECT 1").is_error(403, 516, "eve");
    let page = Call::post("/", b"SELECT 1").header("Origin", "https://elsewhere.example");
    page.send(engine.address).is_error(403, 516, "web page");
}
