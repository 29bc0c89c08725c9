//! What an outage left is stored faster than one insert after the other.

use holdup_tests::collector::{Collector, eventually};
use prost::Message;

use super::engine::Engine;
use super::proxy::Proxy;
use super::{assert_once, folder, metric};
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
