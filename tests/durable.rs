//! What was acknowledged is stored, once, whatever ends or fails in between: the collector and the
//! engine are killed at moments that differ from run to run, answers of ClickHouse are lost, the
//! disk takes no more.
//!
//! `HOLDUP_KILLS=200 cargo test -p holdup-tests --test e2e durable::` kills more often than the 20
//! times of a usual run.

mod catch_up;
mod clocks;
pub(crate) mod engine;
mod full;
mod proxy;
mod several;
mod storing;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use holdup_tests::collector::{Collector, eventually, get};
use prost::Message;

use crate::receiving::{PROTOBUF, request, send};
use engine::Engine;
use proxy::{Fault, Proxy};

const SPANS: u64 = 5;

/// Numbers that differ from run to run, and that a failure tells.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().hash_one(1) | 1)
    }

    /// A time up to a bound, ms.
    fn up_to(&mut self, milliseconds: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % milliseconds)
    }
}

fn kills() -> u64 {
    std::env::var("HOLDUP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

/// Sends requests of [`SPANS`] spans each until it is told to end. One that is not acknowledged is
/// sent again, byte for byte, as clients do; every tenth is sent again although it was.
struct Load {
    ended: AtomicBool,
    acknowledged: AtomicU64,
    http: std::sync::Mutex<String>,
}

impl Load {
    fn new() -> Self {
        let (ended, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { ended, acknowledged, http: std::sync::Mutex::new(String::new()) }
    }

    fn to(&self, collector: &Collector) {
        *self.http.lock().expect("not poisoned") = collector.http();
    }

    fn try_once(&self, client: &reqwest::blocking::Client, body: &[u8]) -> bool {
        let url = format!("{}/v1/traces", self.http.lock().expect("not poisoned"));
        let sent = client.post(url).header(PROTOBUF.0, PROTOBUF.1).body(body.to_vec()).send();
        sent.is_ok_and(|answer| answer.status() == 200)
    }

    fn run(&self, of: u64, service: &str) {
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(5));
        let client = client.build().expect("a client");
        for number in 0_u64.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let first = (of * 1_000_000 + number) * SPANS;
            let body = request(service, first..first + SPANS).encode_to_vec();
            while !self.try_once(&client, &body) {
                std::thread::sleep(Duration::from_millis(10));
            }
            if number % 10 == 0 {
                self.try_once(&client, &body);
            }
            self.acknowledged.fetch_add(SPANS, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// What is stored of a service: rows, ids, calls in the rollup, polls in episodes.
fn stored(collector: &Collector, service: &str) -> [u64; 4] {
    let number = |sql: String| collector.sql(&sql).parse().expect("a number");
    [
        number(format!("SELECT count() FROM poll_spans WHERE service = '{service}'")),
        number(format!(
            "SELECT uniqExact(trace_id, span_id) FROM poll_spans WHERE service = '{service}'"
        )),
        number(format!("SELECT sum(calls) FROM functions_1m WHERE service = '{service}'")),
        number(format!("SELECT sum(polls) FROM episodes FINAL WHERE service = '{service}'")),
    ]
}

/// Asserts that each of the spans is stored once, in the table and in all that is made of it.
fn assert_once(collector: &Collector, service: &str, spans: u64) {
    let found = stored(collector, service);
    assert_eq!(found[..3], [spans; 3], "rows, ids, calls; {}", collector.log());
    eventually("the episodes hold each poll once", || {
        (stored(collector, service)[3] == spans).then_some(())
    });
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Asks for what `/metrics` tells.
fn metric(collector: &Collector, name: &str) -> u64 {
    let text = get(&format!("{}/metrics", collector.page())).text;
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.and_then(|line| line.split(' ').nth(1)).expect("it is counted");
    value.parse().expect("a whole number")
}

#[test]
fn what_was_acknowledged_survives_kills_at_any_moment_and_counts_once() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let url = engine.url();
    // Files so small that some go during the run, and batches so small that what is live goes ahead
    // of what the last run left.
    let start = || {
        let small = ["--log-segment-bytes", "65536", "--batch-rows", "100"];
        Collector::start(data.path(), &[&["--clickhouse-url", &url], &small[..]].concat())
    };
    let (load, mut chance) = (Load::new(), Chance::new());
    println!("chance {}", chance.0);
    let collector = std::thread::scope(|scope| {
        let mut collector = start();
        load.to(&collector);
        for of in 0..4 {
            let load = &load;
            scope.spawn(move || load.run(of, "killed"));
        }
        for _ in 0..kills() {
            std::thread::sleep(chance.up_to(400));
            collector.kill();
            collector = start();
            load.to(&collector);
        }
        load.ended.store(true, Ordering::Relaxed);
        collector
    });
    let sent = load.acknowledged();
    assert!(sent > kills() * SPANS, "only {sent} spans were sent");
    assert_once(&collector, "killed", sent);
    let ahead = collector.log().matches("goes ahead of it").count();
    println!("{} kills, {sent} spans, {ahead} times two lanes", kills());
}

#[test]
fn kills_of_the_engine_lose_nothing_and_count_nothing_twice() {
    let data = folder();
    let path = data.path().join("engine");
    let first = Engine::start(&path);
    let proxy = Proxy::start(first.address());
    // Batches so small that what is live goes ahead of what came while there was no engine.
    let arguments = ["--clickhouse-url", &proxy.url(), "--batch-rows", "500"];
    let collector = Collector::start(data.path(), &arguments);
    let (load, mut chance) = (Load::new(), Chance::new());
    println!("chance {}", chance.0);
    load.to(&collector);
    let _engine = std::thread::scope(|scope| {
        let mut engine = first;
        for of in 0..4 {
            let load = &load;
            scope.spawn(move || load.run(of, "engine"));
        }
        for _ in 0..kills() / 4 {
            std::thread::sleep(chance.up_to(1_000));
            engine.kill();
            engine = Engine::start(&path);
            proxy.turn_to(engine.address());
        }
        load.ended.store(true, Ordering::Relaxed);
        engine
    });
    assert_once(&collector, "engine", load.acknowledged());
    let ahead = collector.log().matches("goes ahead of it").count();
    println!("{} kills, {} spans, {ahead} times two lanes", kills() / 4, load.acknowledged());
}

#[test]
fn answers_of_clickhouse_that_get_lost_add_no_row() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let collector = Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    let faults = [
        Fault::LosesAnswer,
        Fault::CutsAnswer,
        Fault::Breaks,
        Fault::Says500,
        Fault::Refuses(252),
        Fault::Refuses(241),
        Fault::RefusesLate(252),
    ];
    for (id, fault) in (0..).zip(faults.iter().cycle().take(14)) {
        proxy.fail_insert(*fault);
        let body = request("lost", id * 10..id * 10 + 10).encode_to_vec();
        assert_eq!(send(&collector, &[PROTOBUF], body).status, 200, "{fault:?}");
        eventually("the fault came to pass", || proxy.is_well().then_some(()));
        collector.settle();
    }
    assert_once(&collector, "lost", 140);
    assert!(metric(&collector, "holdup_batches_sent_again_total") >= 14);
}

#[test]
fn a_request_that_is_repeated_byte_for_byte_counts_once_also_after_a_restart() {
    let data = folder();
    // A start so long ago that it is not read back from ClickHouse: the log alone knows it.
    let mut sent = request("repeated", 0..3);
    for span in &mut sent.resource_spans[0].scope_spans[0].spans {
        span.start_time_unix_nano -= 3_600_000_000_000;
        span.end_time_unix_nano -= 3_600_000_000_000;
    }
    let body = sent.encode_to_vec();
    for _ in 0..3 {
        let collector = Collector::start(data.path(), &[]);
        for _ in 0..2 {
            assert_eq!(send(&collector, &[PROTOBUF], body.clone()).status, 200);
        }
        assert_eq!(stored(&collector, "repeated")[..3], [3; 3]);
        assert!(collector.stop().success());
    }
}

#[test]
fn without_clickhouse_the_log_takes_requests_up_to_its_quota() {
    let data = folder();
    let path = data.path().join("engine");
    let engine = Engine::start(&path);
    let proxy = Proxy::start(engine.address());
    let url = proxy.url();
    let quota = ["--log-bytes-max", "2000000", "--log-segment-bytes", "200000"];
    let arguments = [&["--clickhouse-url", &url], &quota[..]].concat();
    let collector = Collector::start(data.path(), &arguments);
    assert_eq!(send(&collector, &[PROTOBUF], request("quota", [0]).encode_to_vec()).status, 200);
    collector.settle();
    engine.kill();
    let mut sent = 1;
    let refused = (0..).find_map(|_| {
        let body = request("quota", sent..sent + 1_000).encode_to_vec();
        let answer = send(&collector, &[PROTOBUF], body);
        sent += if answer.status == 200 { 1_000 } else { 0 };
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("the quota is reached");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.text.contains("--log-bytes-max"), "{refused:?}");
    assert!(sent > 10_000, "{sent}");
    let ready = get(&format!("{}/readyz", collector.page()));
    assert_eq!(ready.status, 503, "{ready:?}");
    // Nor does a restart without ClickHouse lose anything.
    collector.kill();
    let collector = Collector::start(data.path(), &arguments);
    let engine = Engine::start(&path);
    proxy.turn_to(engine.address());
    eventually("it is ready again", || {
        (get(&format!("{}/readyz", collector.page())).status == 200).then_some(())
    });
    assert_once(&collector, "quota", sent);
}

#[test]
fn a_disk_that_takes_no_more_is_told_and_nothing_is_acknowledged_meanwhile() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    // A write beyond the limit on a file's length fails as one on a full disk does.
    let collector =
        Collector::start_ignoring_lengths(data.path(), &["--clickhouse-url", &engine.url()]);
    assert_eq!(send(&collector, &[PROTOBUF], request("disk", [0]).encode_to_vec()).status, 200);
    limit_files(collector.pid(), "10");
    let body = request("disk", 1..100).encode_to_vec();
    let answer = send(&collector, &[PROTOBUF], body.clone());
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text.contains("File too large"), "{answer:?}");
    assert_eq!(get(&format!("{}/readyz", collector.page())).status, 503);
    assert_eq!(metric(&collector, "holdup_log_taking"), 0);
    limit_files(collector.pid(), "unlimited");
    eventually("it is ready again by itself", || {
        (get(&format!("{}/readyz", collector.page())).status == 200).then_some(())
    });
    assert_eq!(send(&collector, &[PROTOBUF], body).status, 200);
    assert_once(&collector, "disk", 100);
}

fn limit_files(pid: u32, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let ran = Command::new("prlimit").args([&limit, "--pid", &pid.to_string()]).status();
    assert!(ran.expect("prlimit runs").success());
}

#[test]
fn rows_that_clickhouse_refuses_are_put_aside_and_can_be_sent_again() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    collector
        .sql("ALTER TABLE poll_spans ADD CONSTRAINT c CHECK span_id != unhex('0000000000000008')");
    let bodies = (0..10).map(|id| request("poison", [id]).encode_to_vec());
    for body in bodies {
        assert_eq!(send(&collector, &[PROTOBUF], body).status, 200);
    }
    assert_eq!(stored(&collector, "poison")[..3], [9; 3], "{}", collector.log());
    assert_eq!(metric(&collector, "holdup_requests_put_aside_total"), 1);
    let listed = spool(data.path(), &["list"]);
    assert!(listed.contains("poll_spans") && listed.contains("Code: 469"), "{listed}");
    let id = listed.lines().nth(1).and_then(|line| line.split_whitespace().next()).expect("an id");
    assert!(spool(data.path(), &["show", id]).contains("1 rows of poll_spans"));
    // As long as the reason lasts it comes back.
    spool(data.path(), &["replay", id]);
    eventually("it is refused again", || spool(data.path(), &["list"]).contains(id).then_some(()));
    collector.sql("ALTER TABLE poll_spans DROP CONSTRAINT c");
    spool(data.path(), &["replay", "--all"]);
    eventually("it is stored", || (stored(&collector, "poison")[..3] == [10; 3]).then_some(()));
    assert!(!spool(data.path(), &["list"]).contains(id));
}

#[test]
fn what_was_put_aside_counts_once_though_its_sender_sent_it_in_another_request() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    collector
        .sql("ALTER TABLE poll_spans ADD CONSTRAINT c CHECK span_id != unhex('0000000000000003')");
    assert_eq!(send(&collector, &[PROTOBUF], request("twice", 0..3).encode_to_vec()).status, 200);
    collector.settle();
    assert_eq!(metric(&collector, "holdup_requests_put_aside_total"), 1);
    collector.sql("ALTER TABLE poll_spans DROP CONSTRAINT c");
    assert_eq!(send(&collector, &[PROTOBUF], request("twice", 1..5).encode_to_vec()).status, 200);
    assert_eq!(stored(&collector, "twice")[..3], [4; 3], "{}", collector.log());
    spool(data.path(), &["replay", "--all"]);
    eventually("it is stored", || collector.log().contains("-poll_spans is stored").then_some(()));
    assert_once(&collector, "twice", 5);
}

#[test]
fn a_trickle_of_requests_makes_few_parts() {
    let data = folder();
    let collector = Collector::start(data.path(), &["--batch-interval", "1s"]);
    let began = std::time::Instant::now();
    for id in 0..60 {
        assert_eq!(send(&collector, &[PROTOBUF], request("few", [id]).encode_to_vec()).status, 200);
        // The rate is what is tested: about twenty requests a second.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(stored(&collector, "few")[..3], [60; 3]);
    for table in ["poll_spans", "functions_1m", "services"] {
        let inserted = collector.sql(&format!(
            "SELECT max(max_block_number) FROM system.parts
             WHERE database = 'holdup' AND table = '{table}'"
        ));
        let inserted: u64 = inserted.parse().expect("a number");
        let seconds = began.elapsed().as_secs();
        assert!(inserted <= seconds + 2, "{inserted} parts of {table} in {seconds} s");
    }
}

fn spool(data: &Path, arguments: &[&str]) -> String {
    let program = holdup_tests::program("holdup").expect("built");
    let mut command = Command::new(program);
    command.arg("spool").args(arguments).arg("--data-dir").arg(data).env("RUST_LOG", "off");
    let ran = command.stderr(Stdio::inherit()).output().expect("holdup runs");
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).expect("text")
}
