//! Several collectors on one ClickHouse, behind a load balancer that sends each request anywhere.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdup_tests::collector::{Collector, client, eventually};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;
use tempfile::TempDir;

use super::engine::Engine;
use super::{Chance, folder};
use crate::receiving::{FromText, PROTOBUF, request};

const SERVICE: &str = "spread";

/// One with a folder of its own, in a database.
fn start(engine: &Engine, data: &TempDir, database: &str) -> Collector {
    let arguments = ["--clickhouse-url", &engine.url(), "--clickhouse-database", database];
    Collector::start(data.path(), &arguments)
}

/// What a load balancer knows.
#[derive(Default)]
struct Balancer {
    collectors: Mutex<BTreeMap<usize, String>>,
    ended: AtomicBool,
    /// All that was acknowledged.
    sent: Mutex<Vec<Vec<u8>>>,
}

impl Balancer {
    fn add(&self, number: usize, collector: &Collector) {
        self.collectors.lock().expect("not poisoned").insert(number, collector.http());
    }

    fn remove(&self, number: usize) {
        self.collectors.lock().expect("not poisoned").remove(&number);
    }

    fn any(&self, chance: &mut Chance) -> String {
        let all = self.collectors.lock().expect("not poisoned");
        let place = usize::try_from(chance.up_to(1_000).as_millis()).expect("small") % all.len();
        all.values().nth(place).expect("one of them").clone()
    }

    /// Has each request go to any collector, and to any again until one acknowledges it.
    fn run(&self, of: u64) {
        let mut chance = Chance::new();
        let client = client();
        for number in 0_u64.. {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            for body in polls(of, number) {
                loop {
                    let url = format!("{}/v1/traces", self.any(&mut chance));
                    let sent = client.post(url).header(PROTOBUF.0, PROTOBUF.1).body(body.clone());
                    if sent.send().is_ok_and(|answer| answer.status() == 200) {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                self.sent.lock().expect("not poisoned").push(body);
            }
            // Shorter and longer than the gap between episodes.
            std::thread::sleep(chance.up_to(if number % 8 == 7 { 3_000 } else { 200 }));
        }
    }
}

/// Two polls of an instance in a request; the second is told of while it lasts, in one of its own.
fn polls(of: u64, number: u64) -> Vec<Vec<u8>> {
    let id = of * 1_000_000 + number * 2;
    let mut finished = request(SERVICE, [id, id + 1]);
    for span in spans(&mut finished) {
        span.name = format!("poll {SERVICE}::handler_{}", number % 2);
    }
    let instance = AnyValue::from_text(&format!("instance-{of}"));
    let instance = KeyValue {
        key: "service.instance.id".into(),
        value: Some(instance),
        ..KeyValue::default()
    };
    let resource = finished.resource_spans[0].resource.as_mut().expect("it has one");
    resource.attributes.push(instance);
    let mut stalled = finished.clone();
    spans(&mut stalled).remove(0);
    let span = &mut spans(&mut stalled)[0];
    span.end_time_unix_nano -= 20_000_000;
    let value = AnyValue {
        value: Some(opentelemetry_proto::tonic::common::v1::any_value::Value::BoolValue(true)),
    };
    let key = holdup::contract::STALL.to_owned();
    span.attributes.push(KeyValue { key, value: Some(value), ..KeyValue::default() });
    vec![stalled.encode_to_vec(), finished.encode_to_vec()]
}

fn spans(
    request: &mut ExportTraceServiceRequest,
) -> &mut Vec<opentelemetry_proto::tonic::trace::v1::Span> {
    &mut request.resource_spans[0].scope_spans[0].spans
}

/// Everything that an episode says, but for when it was written.
fn episodes(of: &Collector, database: &str) -> String {
    of.sql(&format!(
        "SELECT * EXCEPT (revision, writer, stored, closed, is_deleted)
         FROM {database}.episodes FINAL ORDER BY instance, function, started FORMAT TSV"
    ))
}

fn sums(of: &Collector, database: &str) -> String {
    of.sql(&format!(
        "SELECT
            (SELECT (count(), uniqExact(span_id), sum(duration_ns)) FROM {database}.poll_spans FINAL),
            (SELECT (sum(calls), sum(blocked_ns), max(max_ns)) FROM {database}.functions_1m),
            (SELECT (sum(calls), sum(blocked_ns)) FROM {database}.functions_1h),
            (SELECT (sum(calls), sum(blocked_ns)) FROM {database}.services_1m),
            (SELECT (sum(polls), sum(blocked_ns)) FROM {database}.episodes FINAL)"
    ))
}

#[test]
fn requests_of_one_instance_at_any_of_three_collectors_come_to_what_they_would_at_one() {
    let folders: Vec<TempDir> = (0..5).map(|_| folder()).collect();
    let engine = Engine::start(&folders[4].path().join("engine"));
    let balancer = Balancer::default();
    let begin = |number: usize| {
        let collector = start(&engine, &folders[number], "holdup");
        balancer.add(number, &collector);
        collector
    };
    let collectors = std::thread::scope(|scope| {
        let mut collectors: Vec<_> = (0..3).map(begin).collect();
        for of in 0..4 {
            let balancer = &balancer;
            scope.spawn(move || balancer.run(of));
        }
        // A rolling restart: it is taken out of the balancer only after it has ended, as happens.
        for number in 0..3 {
            std::thread::sleep(Duration::from_secs(2));
            assert!(collectors.remove(0).stop().success());
            collectors.push(begin(number));
        }
        // One more comes, and one goes for good.
        collectors.push(begin(3));
        std::thread::sleep(Duration::from_secs(2));
        assert!(collectors.remove(0).stop().success());
        balancer.remove(0);
        std::thread::sleep(Duration::from_secs(2));
        // One is killed, and comes back once the others have what it had not answered.
        collectors.remove(0).kill();
        balancer.remove(1);
        std::thread::sleep(Duration::from_secs(2));
        collectors.push(begin(1));
        std::thread::sleep(Duration::from_secs(1));
        balancer.ended.store(true, Ordering::Relaxed);
        collectors
    });
    collectors.iter().for_each(Collector::settle);

    let alone = folder();
    let alone = start(&engine, &alone, "alone");
    let sent = balancer.sent.lock().expect("not poisoned");
    assert!(sent.len() > 100, "{}", sent.len());
    let to = format!("{}/v1/traces", alone.http());
    for body in sent.iter() {
        let answer = client().post(&to).header(PROTOBUF.0, PROTOBUF.1).body(body.clone()).send();
        assert_eq!(answer.expect("it answers").status(), 200);
    }
    eventually("it has folded all", || {
        (sums(&alone, "alone").matches(&format!("({},", sent.len())).count() > 0).then_some(())
    });
    let several = eventually("they agree", || {
        let found = episodes(&collectors[0], "holdup");
        (found == episodes(&alone, "alone")).then_some(found)
    });
    assert!(several.lines().count() > 8, "{several}");
    assert_eq!(sums(&collectors[0], "holdup"), sums(&alone, "alone"));
    eventually("all are closed, also those of the one that went", || {
        let open = "SELECT count() FROM holdup.episodes FINAL WHERE NOT closed";
        (collectors[0].sql(open) == "0").then_some(())
    });
}
