//! What ClickHouse said that it stored: whether it has it, for how long it knows it, and whether it
//! is on its disk.

use holdup_tests::collector::{Collector, eventually};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;

use super::engine::Engine;
use super::proxy::{Fault, Proxy};
use super::{assert_once, folder, metric, spool};
use crate::measuring::{report, send_metrics};
use crate::receiving::{FromText, JSON, PROTOBUF, now_ns, request, send};
use crate::tasks::{logs, send_logs};

#[test]
fn an_insert_that_succeeds_and_stores_nothing_is_found_out_and_sent_again() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let collector = Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    let not_found = || metric(&collector, "holdup_batches_not_found_total");
    proxy.fail_insert(Fault::Swallows);
    assert_eq!(send(&collector, &[PROTOBUF], request("empty", 0..9).encode_to_vec()).status, 200);
    collector.settle();
    assert_eq!(not_found(), 1, "{}", collector.log());
    // Something that says yes to everything is no ClickHouse, however often it is asked.
    proxy.answers_itself(true);
    assert_eq!(send(&collector, &[PROTOBUF], request("empty", 9..20).encode_to_vec()).status, 200);
    eventually("it is asked again and again", || (not_found() > 7).then_some(()));
    proxy.answers_itself(false);
    assert_once(&collector, "empty", 20);
}

#[test]
fn rows_of_any_table_that_are_not_stored_are_found_out_and_sent_again() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let collector = Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    let suspect = |id: u64| {
        serde_json::json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "empty"}}]},
            "scopeSpans": [{"scope": {"name": "app"}, "spans": [{
                "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"),
                "name": "checkout", "startTimeUnixNano": (now_ns() - 1_000_000_000).to_string(),
                "endTimeUnixNano": now_ns().to_string(),
                "attributes": [{"key": "busy_ns", "value": {"intValue": "150000000"}}]}]}]}]})
    };
    let tables = ["poll_histograms", "runtime_gauges", "heartbeats", "suspects"];
    for (found_out, table) in (1..).zip(tables) {
        proxy.fail_insert_into(table, Fault::Swallows);
        let answer = if table == "suspects" {
            send(&collector, &[JSON], suspect(found_out).to_string().into_bytes())
        } else {
            send_metrics(&collector, &report("empty"))
        };
        assert_eq!(answer.status, 200, "{answer:?}");
        collector.settle();
        assert!(proxy.is_well(), "{table}");
        assert_eq!(metric(&collector, "holdup_batches_not_found_total"), found_out, "{table}");
    }
    let stored = "SELECT (SELECT sum(calls) FROM poll_histograms),                   (SELECT count() FROM runtime_gauges), (SELECT count() FROM suspects) FORMAT TSV";
    assert_eq!(collector.sql(stored), "3000\t6\t1");
}

/// A poll with a stack of its own.
fn with_stack(id: u64) -> Vec<u8> {
    let mut sent = request("stacked", [id]);
    let text = |key: &str, text: &str| KeyValue {
        key: key.into(),
        value: Some(AnyValue::from_text(text)),
        ..KeyValue::default()
    };
    sent.resource_spans[0].scope_spans[0].spans[0].attributes = vec![
        text("holdup.stack.id", &format!("{:016x}", id + 1)),
        text("code.stacktrace", &format!("std::fs::read\nshop::load_{id}\n")),
    ];
    sent.encode_to_vec()
}

#[test]
fn tasks_and_stacks_whose_answer_gets_lost_or_that_are_not_stored_are_there_once() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let collector = Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    let faults = [Fault::LosesAnswer, Fault::CutsAnswer, Fault::Says500, Fault::Swallows];
    for (id, fault) in (0..).zip(faults) {
        proxy.fail_insert_into("tasks", fault);
        let (status, text) = send_logs(&collector, &logs("holdup", "idle"));
        assert_eq!(status, 200, "{text}");
        collector.settle();
        assert!(proxy.is_well(), "{fault:?} of tasks");
        proxy.fail_insert_into("stacks", fault);
        assert_eq!(send(&collector, &[PROTOBUF], with_stack(id)).status, 200);
        collector.settle();
        assert!(proxy.is_well(), "{fault:?} of stacks");
    }
    let stored = "SELECT (SELECT count() FROM tasks WHERE service = 'logging'),
                         (SELECT count() FROM stacks FINAL),
                         (SELECT uniqExact(frames) FROM stacks) FORMAT TSV";
    assert_eq!(collector.sql(stored), "4\t4\t4");
    assert_once(&collector, "stacked", 4);
    assert_eq!(metric(&collector, "holdup_batches_not_found_total"), 2);
    assert_eq!(metric(&collector, "holdup_batches_sent_again_total"), 6);
}

#[test]
fn a_batch_that_comes_again_after_many_of_other_collectors_counts_once() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let start = || Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    let collector = start();
    proxy.hold_answers();
    assert_eq!(send(&collector, &[PROTOBUF], request("late", 0..10).encode_to_vec()).status, 200);
    eventually("ClickHouse has the batch", || (proxy.held() == 1).then_some(()));
    collector.kill();
    proxy.release_answers();
    // Others insert meanwhile. A block is what one insert has of one month.
    let others =
        Collector::start(&data.path().join("engine"), &["--clickhouse-url", &engine.url()]);
    others.sql("ALTER TABLE functions_1m MODIFY SETTING fsync_after_insert = 0");
    for insert in 0..3 {
        let months = (0..400_u64).map(|month| 1_800_000_000 + month * 31 * 86_400);
        let rows: Vec<String> = months.map(|month| format!("('{month}', 'others')")).collect();
        others.sql(&format!(
            "INSERT INTO functions_1m (minute, service)
             SETTINGS max_partitions_per_insert_block = 0, async_insert = 0,
                 insert_deduplication_token = 'others-{insert}'
             VALUES {}",
            rows.join(", ")
        ));
    }
    let blocks = others.sql(
        "SELECT max(max_block_number) FROM system.parts
         WHERE database = 'holdup' AND table = 'functions_1m'",
    );
    assert!(blocks.parse::<u32>().expect("a number") > 1_200, "{blocks} blocks");
    let collector = start();
    assert_once(&collector, "late", 10);
    assert_eq!(metric(&collector, "holdup_batches_sent_again_total"), 1);
}

#[test]
fn an_insert_that_a_crash_cut_off_after_its_token_is_taken_again() {
    let data = folder();
    let path = data.path().join("engine");
    let engine = Engine::start(&path);
    let proxy = Proxy::start(engine.address());
    let start = || Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    let collector = start();
    assert_eq!(send(&collector, &[PROTOBUF], request("cut", 0..5).encode_to_vec()).status, 200);
    collector.settle();
    proxy.hold_answers();
    assert_eq!(send(&collector, &[PROTOBUF], request("cut", 5..10).encode_to_vec()).status, 200);
    eventually("ClickHouse has the batch", || (proxy.held() == 1).then_some(()));
    let asked = "SELECT argMax(path, max_block_number) FROM system.parts
                 WHERE database = 'holdup' AND active
                     AND table IN ('poll_spans', 'functions_1m', 'functions_1h')
                 GROUP BY table";
    let client = holdup_tests::collector::client();
    let parts = client.post(engine.url()).body(asked).send().expect("ClickHouse answers");
    let parts = parts.text().expect("text");
    collector.kill();
    engine.kill();
    proxy.release_answers();
    // As between the token and the part.
    for part in parts.lines().map(std::path::Path::new) {
        let name = part.file_name().expect("a part").to_string_lossy();
        let before = part.with_file_name(format!("tmp_insert_{name}"));
        std::fs::rename(part, before).expect("it is there");
    }
    assert_eq!(parts.lines().count(), 3, "{parts}");
    let engine = Engine::start(&path);
    proxy.turn_to(engine.address());
    let collector = start();
    assert_once(&collector, "cut", 10);
    assert_eq!(metric(&collector, "holdup_batches_not_found_total"), 0);
    let by_hour = "SELECT sum(calls) FROM functions_1h WHERE service = 'cut'";
    assert_eq!(collector.sql(by_hour), "10");
}

#[test]
fn rows_that_clickhouse_takes_for_stored_and_does_not_have_are_put_aside() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let collector = Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    proxy.hold_answers();
    assert_eq!(send(&collector, &[PROTOBUF], request("gone", 0..5).encode_to_vec()).status, 200);
    eventually("ClickHouse has the batch", || (proxy.held() == 1).then_some(()));
    let client = holdup_tests::collector::client();
    // It knows the token, and has no rows.
    let deleted = "DELETE FROM holdup.poll_spans WHERE service = 'gone'";
    let answer = client.post(engine.url()).body(deleted).send().expect("ClickHouse answers");
    assert!(answer.status().is_success(), "{answer:?}");
    proxy.release_answers();
    let listed = || spool(data.path(), &["list"]);
    eventually("it is put aside", || listed().contains("poll_spans").then_some(()));
    assert!(listed().contains("does not have what it took"), "{}", listed());
    // Nothing waits for it.
    assert_eq!(send(&collector, &[PROTOBUF], request("gone", 5..9).encode_to_vec()).status, 200);
    collector.settle();
    let count = || collector.sql("SELECT count() FROM poll_spans FINAL WHERE service = 'gone'");
    assert_eq!(count(), "4");
    spool(data.path(), &["replay", "--all"]);
    eventually("it is stored", || (count() == "9").then_some(()));
}

#[test]
fn rows_are_on_the_disk_of_clickhouse_before_it_answers() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let proxy = Proxy::start(engine.address());
    let collector = Collector::start(data.path(), &["--clickhouse-url", &proxy.url()]);
    let lacking = collector.sql(
        "SELECT groupArray(name) FROM system.tables
         WHERE database = 'holdup' AND engine LIKE '%MergeTree'
             AND name IN
             (
                 SELECT table FROM system.columns
                 WHERE database = 'holdup' AND (name = 'span_id' OR name = 'frames'
                     OR name = 'runtime' OR name = 'dump_id' OR type LIKE '%AggregateFunction(%')
             )
             AND NOT (engine_full LIKE '%fsync_after_insert = 1, fsync_part_directory = 1%')",
    );
    assert_eq!(lacking, "[]", "what can't be made again from the rest is synced");
    let forgetful = collector.sql(
        "SELECT groupArray(name) FROM system.tables AS t
         WHERE database = 'holdup' AND engine LIKE '%MergeTree'
             AND NOT (engine_full LIKE '%non_replicated_deduplication_window = 50000%')
             AND name IN
             (
                 SELECT table FROM system.columns
                 WHERE database = 'holdup' AND type LIKE 'SimpleAggregateFunction(sum%'
             )",
    );
    assert_eq!(forgetful, "[]", "what adds up remembers the batches that it has");
    let events = |event: &str| {
        let asked = format!("SELECT sum(value) FROM system.events WHERE event = '{event}'");
        let client = holdup_tests::collector::client();
        let answer = client.post(engine.url()).body(asked).send().expect("ClickHouse answers");
        answer.text().expect("text").trim().parse::<u64>().expect("a number")
    };
    let before = [events("FileSync"), events("DirectorySync")];
    proxy.hold_answers();
    assert_eq!(send(&collector, &[PROTOBUF], request("synced", 0..10).encode_to_vec()).status, 200);
    eventually("ClickHouse has answered", || (proxy.held() == 1).then_some(()));
    let after = [events("FileSync"), events("DirectorySync")];
    assert!(after[0] > before[0] && after[1] > before[1], "{before:?} {after:?}");
    proxy.release_answers();
    assert_once(&collector, "synced", 10);
}
