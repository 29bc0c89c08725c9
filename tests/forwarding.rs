//! Requests that are passed on to another receiver: here a second collector; and the example of an
//! OpenTelemetry Collector that passes on to Holdup.

mod otel_collector;

use holdup_tests::collector::{Collector, eventually, get, post};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use prost::Message;

use crate::receiving::{JSON, PROTOBUF, gzip, request, send};

fn second() -> Collector {
    Collector::start_in(tempfile::tempdir().expect("a folder"), &[])
}

fn before(second: &str, what: &str) -> Collector {
    let data = tempfile::tempdir().expect("a folder");
    Collector::start_in(data, &["--forward-url", second, "--forward", what])
}

fn metric(collector: &Collector, name: &str) -> u64 {
    let text = get(&format!("{}/metrics", collector.page())).text;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

fn has_polls(collector: &Collector, service: &str, count: u64) {
    let query = format!("SELECT uniqExact(span_id) FROM poll_spans WHERE service = '{service}'");
    eventually(&format!("{count} polls of {service}"), || {
        (collector.sql(&query) == count.to_string()).then_some(())
    });
}

/// A request with a span that is no poll, and is kept as a suspect by its busy time.
fn of_others(service: &str) -> Vec<u8> {
    let mut request = request(service, [900]);
    let of_scope = &mut request.resource_spans[0].scope_spans[0];
    of_scope.scope.as_mut().expect("set").name = "an.app".into();
    let value = Some(AnyValue { value: Some(Value::IntValue(700_000_000)) });
    let busy = KeyValue { key: "busy_ns".into(), value, ..KeyValue::default() };
    of_scope.spans[0].attributes.push(busy);
    request.encode_to_vec()
}

#[test]
fn everything_is_passed_on_as_it_came_if_that_is_wanted() {
    let second = second();
    let first = before(&second.http(), "all");
    for (id, headers) in [(1, vec![PROTOBUF]), (2, vec![PROTOBUF, ("content-encoding", "gzip")])] {
        let body = request("all", [id]).encode_to_vec();
        let body = if id == 2 { gzip(&body) } else { body };
        assert_eq!(send(&first, &headers, body).status, 200);
    }
    has_polls(&second, "all", 2);
    has_polls(&first, "all", 2);
    // Of logs nothing is kept here, and no warning says so.
    let logs = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs::default()],
            ..ResourceLogs::default()
        }],
    };
    for (headers, body) in
        [([PROTOBUF], logs.encode_to_vec()), ([JSON], br#"{"resourceLogs": []}"#.to_vec())]
    {
        let answer = post(&format!("{}/v1/logs", first.http()), &headers, body);
        assert_eq!(answer.status, 200);
        assert!(!answer.text.contains("dropped"), "{answer:?}");
    }
    eventually("all four are passed on", || {
        (metric(&first, "holdup_forwarded_total{outcome=\"taken\"}") == 4).then_some(())
    });
    assert_eq!(metric(&second, "holdup_requests_not_kept_total{signal=\"logs\"}"), 1);
}

#[test]
fn only_what_is_not_ours_is_passed_on_unless_all_is_wanted() {
    let second = second();
    let first = before(&second.http(), "others");
    assert_eq!(send(&first, &[PROTOBUF], request("ours", [1]).encode_to_vec()).status, 200);
    // The two requests' bytes one after the other are one request with both groups.
    let mixed = [request("ours", [2]).encode_to_vec(), of_others("theirs")].concat();
    assert_eq!(send(&first, &[PROTOBUF], mixed).status, 200);
    has_polls(&first, "ours", 2);
    eventually("the others' span comes to the second", || {
        second.ask("suspects?service=theirs").pop()
    });
    assert_eq!(second.sql("SELECT count() FROM poll_spans"), "0");
}

#[test]
fn what_was_acknowledged_is_passed_on_after_the_receiver_was_away_and_a_restart() {
    let away = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    let data = tempfile::tempdir().expect("a folder");
    let url = format!("http://{away}");
    let arguments = ["--forward-url", url.as_str(), "--forward", "all"];
    let first = Collector::start(data.path(), &arguments);
    for id in 0..20 {
        let body = request("away", [id]).encode_to_vec();
        assert_eq!(send(&first, &[PROTOBUF], body).status, 200, "it is taken all the same");
    }
    eventually("it was tried", || {
        (metric(&first, "holdup_forwarded_total{outcome=\"put_off\"}") > 0).then_some(())
    });
    has_polls(&first, "away", 20);
    first.kill();
    let second_data = tempfile::tempdir().expect("a folder");
    let second = Collector::start_in(second_data, &["--http-listen", &away]);
    let first = Collector::start(data.path(), &arguments);
    has_polls(&second, "away", 20);
    assert!(first.stop().success());
    assert_eq!(second.sql("SELECT sum(calls) FROM functions_1m WHERE service = 'away'"), "20");
}
