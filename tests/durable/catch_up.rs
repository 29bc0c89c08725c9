//! What an outage left is stored faster than one insert after the other.

use std::ops::Range;
use std::sync::atomic::Ordering;

use holdup_tests::collector::{Collector, eventually, get};
use prost::Message;

use super::engine::Engine;
use super::proxy::Proxy;
use super::{Load, assert_once, folder, metric, stored};
use crate::receiving::{PROTOBUF, request, send};

/// Rows of one full batch,
const BATCH: u64 = 50_000;
/// and of one where few are to do.
const SMALL: &str = "10";

#[test]
fn a_backlog_is_stored_by_several_inserts_at_a_time_and_once_whenever_they_end() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let start = || {
        let arguments = ["--clickhouse-url", &proxy.url(), "--batch-rows", SMALL];
        Collector::start(data.path(), &arguments)
    };
    let collector = start();
    proxy.hold_answers();
    let mut sent = 0;
    let mut send_spans = |collector: &Collector, spans: u64| {
        let body = request("backlog", sent..sent + spans).encode_to_vec();
        assert_eq!(send(collector, &[PROTOBUF], body).status, 200);
        sent += spans;
        sent
    };
    send_spans(&collector, 1);
    eventually("ClickHouse has the first batch", || (proxy.held() == 1).then_some(()));
    // One more that is not full waits, so that few requests make few parts.
    let mut spans = send_spans(&collector, 1);
    // One of 11 rows, and then one of 20.
    while spans < 32 {
        spans = send_spans(&collector, 5);
    }
    eventually("ClickHouse has two more, whose answers wait", || (proxy.held() == 3).then_some(()));
    collector.kill();
    proxy.release_answers();
    let collector = start();
    assert_once(&collector, "backlog", spans);
    assert_eq!(metric(&collector, "holdup_batches_sent_again_total"), 3);
}

/// How many rows ClickHouse has of a service, asked past the collector.
fn rows_of(engine: &Engine, service: &str) -> u64 {
    let asked = format!("SELECT count() FROM holdup.poll_spans WHERE service = '{service}'");
    let answer = holdup_tests::collector::client().post(engine.url()).body(asked).send();
    answer.expect("it answers").text().expect("text").trim().parse().expect("a number")
}

fn seconds(collector: &Collector, name: &str) -> f64 {
    let text = get(&format!("{}/metrics", collector.page())).text;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.expect("it is told").parse().expect("a number")
}

#[test]
fn what_is_live_goes_ahead_of_what_an_outage_left_and_counts_once_after_a_crash() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let start = || {
        let arguments = ["--clickhouse-url", &proxy.url(), "--batch-rows", SMALL];
        Collector::start(data.path(), &arguments)
    };
    let collector = start();
    let send_spans = |collector: &Collector, service: &str, ids: Range<u64>| {
        let body = request(service, ids).encode_to_vec();
        assert_eq!(send(collector, &[PROTOBUF], body).status, 200);
    };
    proxy.hold_answers();
    send_spans(&collector, "first", 0..1);
    eventually("ClickHouse has the first batch", || (proxy.held() == 1).then_some(()));
    for of in 20..60 {
        send_spans(&collector, "left", of * 5..of * 5 + 5);
    }
    eventually("three more are under way", || (proxy.held() == 4).then_some(()));
    // Whatever is left does not get on, and what is live does.
    proxy.hold_answers_about("left");
    let mut live = 1_000;
    eventually("what is live is stored", || {
        send_spans(&collector, "live", live..live + 5);
        live += 5;
        (rows_of(&engine, "live") > 0).then_some(())
    });
    eventually("the backlog is where it was", || (proxy.held() == 4).then_some(()));
    assert_eq!(rows_of(&engine, "left"), 10 + 20 + 40 + 40);
    eventually("nothing that is live waits", || {
        (seconds(&collector, "holdup_log_live_seconds") == 0.0).then_some(())
    });
    assert!(seconds(&collector, "holdup_log_oldest_seconds") > 0.0);
    // A crash while batches of both are on their way.
    proxy.hold_answers();
    send_spans(&collector, "live", live..live + 5);
    eventually("one of each is under way", || (proxy.held() == 5).then_some(()));
    collector.kill();
    proxy.release_answers();
    let collector = start();
    assert_once(&collector, "left", 200);
    assert_once(&collector, "live", live + 5 - 1_000);
    assert_once(&collector, "first", 1);
    assert_eq!(metric(&collector, "holdup_batches_sent_again_total"), 5, "{}", collector.log());
}

#[test]
fn a_backlog_makes_few_inserts() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let arguments = ["--clickhouse-url", &proxy.url(), "--batch-rows", SMALL];
    let collector = Collector::start(data.path(), &arguments);
    proxy.hold_answers();
    assert_eq!(send(&collector, &[PROTOBUF], request("few", [0]).encode_to_vec()).status, 200);
    eventually("ClickHouse has the first batch", || (proxy.held() == 1).then_some(()));
    for of in 1..101 {
        let body = request("few", of * 4..of * 4 + 4).encode_to_vec();
        assert_eq!(send(&collector, &[PROTOBUF], body).status, 200);
    }
    proxy.release_answers();
    assert_once(&collector, "few", 401);
    // One of 1 row, and of 400: 12, 20, then 40 each. Of 10 rows each it were 41 at least.
    let batches = metric(&collector, "holdup_batches_total");
    let parts = collector.sql(
        "SELECT max(max_block_number) FROM system.parts
         WHERE database = 'holdup' AND table = 'poll_spans'",
    );
    let parts: u64 = parts.parse().expect("a number");
    assert!(batches <= 14 && parts <= 14, "{batches} batches, {parts} parts");
}

#[test]
fn what_is_live_is_not_held_up_for_long_by_what_an_outage_left() {
    let data = folder();
    let path = data.path().join("engine");
    let engine = Engine::start(&path);
    let proxy = Proxy::start(engine.address());
    let collector = Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    assert_eq!(send(&collector, &[PROTOBUF], request("left", [0]).encode_to_vec()).status, 200);
    collector.settle();
    engine.kill();
    let mut left = 1;
    while left <= 2 * BATCH {
        let body = request("left", left..left + BATCH / 10).encode_to_vec();
        assert_eq!(send(&collector, &[PROTOBUF], body).status, 200);
        left += BATCH / 10;
    }
    let load = Load::new();
    load.to(&collector);
    let live = std::thread::scope(|scope| {
        // Ids other than those of what is left.
        for of in 1..3 {
            let load = &load;
            scope.spawn(move || load.run(of, "live"));
        }
        let engine = Engine::start(&path);
        let before = load.acknowledged();
        proxy.turn_to(engine.address());
        // In the order of the log, so that all of the outage is stored when live data is seen.
        eventually("what is live is seen", || {
            let url = format!("{}/?database=holdup", engine.url());
            let asked = "SELECT max(start) > now() - 5 FROM poll_spans WHERE service = 'live'";
            let answer = holdup_tests::collector::client().post(url).body(asked).send().ok()?;
            (answer.text().ok()?.trim() == "1").then_some(())
        });
        let live = load.acknowledged() - before;
        load.ended.store(true, Ordering::Relaxed);
        (live, engine)
    });
    println!("{left} spans were left, {} came meanwhile", live.0);
    assert!(live.0 * 3 < left, "{} spans came while {left} were caught up with", live.0);
    assert_once(&collector, "live", load.acknowledged());
    assert_eq!(stored(&collector, "left")[..3], [left; 3]);
}
