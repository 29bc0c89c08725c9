use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::time::Instant;

use super::{GATHER, Gathered, Pace, Settings};
use crate::decode::{Decoded, Limits, decode};

const NOW: u64 = 1_800_000_000_000_000_000;
/// Poll spans that a sender puts into one request, at most.
const REQUEST_SPANS: u64 = 512;

/// The rows of so many poll spans with what the crate says of a poll, as they come in one request.
fn request(spans: u64) -> Decoded {
    let attribute = |key: &str, value| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    let text = |key: &str, value: &str| attribute(key, Value::StringValue(value.into()));
    let number = |key: &str, value| attribute(key, Value::IntValue(value));
    let span = |id: u64| Span {
        trace_id: u128::from(id).to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        name: "poll shop::checkout::handler".into(),
        start_time_unix_nano: NOW - 50_000_000,
        end_time_unix_nano: NOW,
        attributes: vec![
            text("code.function.name", "shop::checkout::handler"),
            text("code.file.path", "src/checkout.rs"),
            number("code.line.number", 40),
            number("thread.id", 4_100),
            text("thread.name", "tokio-rt-worker"),
            number("holdup.self_ns", 50_000_000),
            number("holdup.cpu_ns", 1_000_000),
            number("holdup.threshold_ns", 10_000_000),
            text("holdup.cause", "disk"),
            text("holdup.stack.id", "00000000000000a1"),
            text("code.stacktrace", "std::sys::fs::read\nshop::ledger::load\n"),
            number("holdup.worker", 1),
        ],
        ..Span::default()
    };
    let scope = InstrumentationScope { name: "holdup".into(), ..InstrumentationScope::default() };
    let spans = (1..=spans).map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    decode(ExportTraceServiceRequest { resource_spans }, &Limits::default(), NOW)
}

/// How many batches a second so many poll spans a second make, each stored at once: while one is
/// under way, few rows wait longer.
fn batches_a_second(rate: u64) -> f64 {
    const SECONDS: u32 = 60;
    let settings = Settings::default();
    let spans = rate.min(REQUEST_SPANS);
    let decoded = request(spans);
    assert_eq!(decoded.polls.len() as u64, spans);
    let (began, mut pace) = (Instant::now(), Pace::new());
    let end = began + Duration::from_secs(1) * SECONDS;
    let arrival =
        |request: u64| began + Duration::from_nanos(request * spans * 1_000_000_000 / rate);
    let (mut now, mut requests, mut batches) = (began, 0, 0_u32);
    while now < end {
        let (bounds, mut gathered) = (pace.bounds(&settings), Gathered::default());
        let mut due = None;
        loop {
            while !gathered.is_full(bounds) && arrival(requests) <= now {
                gathered.count(decoded.rows(), decoded.bytes);
                requests += 1;
                due.get_or_insert_with(|| pace.due(now, &settings));
            }
            let next = arrival(requests);
            match due {
                _ if gathered.is_full(bounds) => break,
                Some(due) if due <= now => break,
                Some(due) => now = due.min(next.max(now) + GATHER),
                None => now = next,
            }
        }
        pace.gathered(&gathered, bounds);
        pace.sent(now);
        batches += 1;
    }
    f64::from(batches) / f64::from(SECONDS)
}

#[test]
fn one_span_and_a_million_a_second_make_few_inserts() {
    let rates = [1, 1_000, 20_000, 50_000, 100_000, 1_000_000];
    let made = rates.map(|rate| (rate, batches_a_second(rate)));
    println!("{} bytes a span; {made:?}", request(REQUEST_SPANS).bytes as u64 / REQUEST_SPANS);
    for ((rate, made), most) in made.into_iter().zip([0.5, 0.5, 0.5, 0.6, 0.6, 5.1]) {
        assert!(made <= most + 0.04, "{made} batches a second of {rate} spans a second");
    }
}
