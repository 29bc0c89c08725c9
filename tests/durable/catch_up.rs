//! What an outage left is stored faster than one insert after the other.

use std::sync::atomic::Ordering;

use holdup_tests::collector::{Collector, eventually};
use prost::Message;

use super::engine::Engine;
use super::proxy::Proxy;
use super::{Load, assert_once, folder, metric, stored};
use crate::receiving::{PROTOBUF, request, send};

/// Rows of one full batch.
const BATCH: u64 = 50_000;

#[test]
fn a_backlog_is_stored_by_several_inserts_at_a_time_and_once_whenever_they_end() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let start = || Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
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
    while spans < 2 * BATCH + 2 {
        spans = send_spans(&collector, BATCH / 10);
    }
    eventually("ClickHouse has two more, whose answers wait", || (proxy.held() == 3).then_some(()));
    collector.kill();
    proxy.release_answers();
    let collector = start();
    assert_once(&collector, "backlog", spans);
    assert_eq!(metric(&collector, "holdup_batches_sent_again_total"), 3);
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
