use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::{Decoded, Limits, decode};

const NOW: u64 = 1_800_000_000_000_000_000;
const MS: u64 = 1_000_000;

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(super::AnyValue { value: Some(value) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn boolean(key: &str) -> KeyValue {
    attribute(key, Value::BoolValue(true))
}

fn span() -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "poll shop::pay".into(),
        start_time_unix_nano: NOW - 100 * MS,
        end_time_unix_nano: NOW - 50 * MS,
        ..Span::default()
    }
}

fn request(scope: &str, span: Span) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope { name: scope.into(), ..InstrumentationScope::default() };
    let spans = ScopeSpans { scope: Some(scope), spans: vec![span], ..ScopeSpans::default() };
    let attributes = vec![text("service.name", "shop"), number("process.pid", 7)];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let resource_spans =
        vec![ResourceSpans { resource, scope_spans: vec![spans], ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }
}

fn decoded(scope: &str, span: Span) -> Decoded {
    decode(request(scope, span), &Limits::default(), NOW)
}

#[test]
fn a_poll_span_needs_no_attribute_but_its_name() {
    let out = decoded("holdup", span());
    let poll = &out.polls.span(0);
    assert_eq!((poll.function.as_str(), poll.self_ns, poll.worker), ("shop::pay", 50 * MS, -1));
    assert_eq!((poll.origin.service.as_str(), poll.origin.instance.as_str()), ("shop", ":7"));
    assert_eq!((poll.cause, poll.stall), ("unknown", false));
}

#[test]
fn every_attribute_of_the_contract_finds_its_place() {
    let mut given = span();
    given.attributes = vec![
        text("code.function.name", "shop::cart::pay"),
        text("code.file.path", "src/cart.rs"),
        number("code.line.number", 42),
        text("code.stacktrace", "libc::read\nshop::cart::load\n"),
        number("thread.id", 9),
        text("thread.name", "tokio-rt-worker"),
        number("holdup.self_ns", 40_000_000),
        number("holdup.cpu_ns", 1_000),
        number("holdup.runqueue_ns", 2_000),
        number("holdup.threshold_ns", 10_000_000),
        text("holdup.cause", "disk"),
        text("holdup.blame.function", "shop::cart::load"),
        text("holdup.blame.crate", "shop"),
        text("holdup.stack.id", "00000000000000ff"),
        number("holdup.victims", 3),
        number("holdup.throttled_ns", 4_000),
        boolean("holdup.runtime.stalled"),
        boolean("holdup.runtime.driver_idle"),
        boolean("holdup.sampled"),
        number("holdup.lock.holder.thread.id", 12),
        text("holdup.lock.holder.thread.name", "writer"),
        text("holdup.lock.holder.function", "shop::write"),
        text("holdup.lock.holder.evidence", "owner"),
        number("holdup.task.id", 11),
        text("holdup.task.name", "cart"),
        text("holdup.task.spawned_at", "src/main.rs:3:5"),
        text("holdup.runtime", "main"),
        number("holdup.worker", 1),
        boolean("holdup.stall"),
        number("holdup.poll.dropped", 5),
    ];
    let out = decoded("holdup", given);
    let poll = &out.polls.span(0);
    assert_eq!((poll.function.as_str(), poll.file.as_str()), ("shop::cart::pay", "src/cart.rs"));
    assert_eq!((poll.line, poll.thread_id, poll.self_ns), (42, 9, 40 * MS));
    assert_eq!((poll.cpu_ns, poll.runqueue_ns, poll.threshold_ns), (1_000, 2_000, 10 * MS));
    assert_eq!((poll.cause, poll.blame_crate.as_str(), poll.stack_id), ("disk", "shop", 255));
    assert_eq!((poll.victims, poll.task_id, poll.worker, poll.stall), (3, 11, 1, true));
    let runtime = (poll.throttled_ns, poll.runtime_stalled, poll.driver_idle, poll.sampled);
    assert_eq!(runtime, (4_000, true, true, true));
    let holder = [&poll.holder_thread_name, &poll.holder_function, &poll.holder_evidence];
    assert_eq!(
        (poll.holder_thread_id, holder.map(String::as_str)),
        (12, ["writer", "shop::write", "owner"])
    );
    assert_eq!(out.stacks[0].frames, ["libc::read", "shop::cart::load"]);
    assert_eq!(out.counts.dropped_by_senders, 5);
}

#[test]
fn what_a_poll_measured_is_cut_to_whole_microseconds() {
    let mut given = span();
    given.start_time_unix_nano += 1_234;
    given.end_time_unix_nano += 4_000;
    given.attributes = vec![
        number("holdup.self_ns", 40_000_999),
        number("holdup.cpu_ns", 1_999),
        number("holdup.runqueue_ns", 999),
        number("holdup.throttled_ns", 2_001),
        number("holdup.threshold_ns", 10_000_001),
    ];
    let out = decoded("holdup", given);
    let poll = &out.polls.span(0);
    assert_eq!(poll.start_ns, NOW - 100 * MS + 1_000);
    assert_eq!((poll.duration_ns, poll.self_ns), (50 * MS + 2_000, 40 * MS));
    assert_eq!((poll.cpu_ns, poll.runqueue_ns, poll.throttled_ns), (1_000, 0, 2_000));
    assert_eq!(poll.threshold_ns, 10_000_001, "a setting stays as it is set");
}

#[test]
fn a_poll_span_that_cannot_be_used_is_rejected_with_a_reason() {
    type Break = fn(&mut Span);
    let broken: [(Break, &str); 7] = [
        (|s| s.trace_id = vec![1; 15], "trace_id"),
        (|s| s.span_id = vec![], "span_id"),
        (|s| s.span_id = vec![0; 8], "zero"),
        (|s| s.end_time_unix_nano = 1, "ends before it starts"),
        (|s| s.start_time_unix_nano = 0, "no start"),
        (|s| s.start_time_unix_nano = 1, "30 days"),
        (|s| s.name = "GET /".into(), "code.function.name"),
    ];
    for (break_it, reason) in broken {
        let mut given = span();
        break_it(&mut given);
        let counts = decoded("holdup", given).counts;
        assert_eq!(counts.rejected, 1, "{reason}");
        let said = counts.first_rejection.unwrap();
        assert!(said.contains(reason), "{said} should speak of {reason}");
    }
}

#[test]
fn a_wrong_clock_is_set_to_the_time_of_arrival() {
    for start in [NOW - 30 * 86_400_000 * MS, NOW + 2 * 3_600_000 * MS] {
        let mut given = span();
        given.start_time_unix_nano = start;
        given.end_time_unix_nano = start + 20 * MS;
        let out = decoded("holdup", given);
        let poll = out.polls.span(0);
        assert_eq!((poll.start_ns, poll.duration_ns), (NOW - 20 * MS, 20 * MS));
        assert_eq!(out.counts.clamped, 1);
    }
}

#[test]
fn names_are_cut_between_characters() {
    let mut given = span();
    given.attributes = vec![text("code.function.name", &"ü".repeat(5_000))];
    let out = decoded("holdup", given);
    assert_eq!(out.polls.span(0).function.len(), 1_024);
    assert_eq!(out.counts.cut, 1);
}

#[test]
fn another_scopes_span_is_a_suspect_only_when_it_was_busy() {
    let mut given = span();
    assert_eq!(decoded("app", given.clone()).counts.ignored, 1);
    given.name = "checkout".into();
    given.attributes = vec![number("busy_ns", 30_000_000), text("code.namespace", "shop::web")];
    let out = decoded("app", given);
    assert_eq!(out.polls.len(), 0);
    assert_eq!((out.suspects[0].function.as_str(), out.counts.ignored), ("shop::web::checkout", 0));
}

#[test]
fn a_part_is_not_longer_than_the_whole() {
    let mut given = span();
    given.attributes = vec![number("holdup.self_ns", i64::MAX)];
    assert_eq!(decoded("holdup", given).polls.span(0).self_ns, 50 * MS);
}
