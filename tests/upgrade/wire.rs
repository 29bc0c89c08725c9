//! What goes over the wire between a service and a collector of different versions.
//!
//! There is no program of 0.1.0 to run here: what its collector takes is read from the bytes that its
//! crate sent. What both versions send has to be the same kind of thing in both, and what every span
//! of 0.1.0 has, every span of today has; the rest a collector passes over.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use holdup_tests::collector::{Collector, post};
use holdup_tests::program;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint};
use prost::Message;

use super::{fixture, folder};
use crate::notify::server::{Reply, Server};
use crate::receiving::PROTOBUF;

/// A kind of value: what may not change under a name.
fn kind(value: &AnyValue) -> &'static str {
    match &value.value {
        Some(Value::StringValue(_)) => "text",
        Some(Value::IntValue(_)) => "number",
        Some(Value::BoolValue(_)) => "truth",
        _ => "other",
    }
}

/// Names and kinds.
type Kinds = BTreeMap<String, &'static str>;

fn kinds(attributes: &[KeyValue]) -> Kinds {
    let kind = |it: &KeyValue| (it.key.clone(), kind(it.value.as_ref().expect("a value")));
    attributes.iter().map(kind).collect()
}

/// What requests of one version have.
#[derive(Debug, Default)]
struct Sent {
    resource: Kinds,
    /// Of any span of the scope,
    spans: Kinds,
    /// and of each of them.
    each_span: Option<BTreeSet<String>>,
    metrics: Kinds,
    of_metrics: Kinds,
}

fn is_ours(scope: Option<&InstrumentationScope>) -> bool {
    scope.is_some_and(|scope| scope.name == "holdup")
}

impl Sent {
    fn traces(&mut self, body: &[u8]) {
        let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
        for of_resource in request.resource_spans {
            self.resource.extend(kinds(&of_resource.resource.expect("one").attributes));
            let ours = of_resource.scope_spans.iter().filter(|it| is_ours(it.scope.as_ref()));
            for span in ours.flat_map(|it| &it.spans) {
                assert!(span.name.starts_with("poll "), "{}", span.name);
                assert_eq!((span.trace_id.len(), span.span_id.len(), span.kind), (16, 8, 1));
                assert!(span.start_time_unix_nano < span.end_time_unix_nano);
                let of_span = kinds(&span.attributes);
                let names = of_span.keys().cloned().collect();
                self.each_span = Some(match self.each_span.take() {
                    Some(each) => &each & &names,
                    None => names,
                });
                self.spans.extend(of_span);
            }
        }
    }

    fn metrics(&mut self, body: &[u8]) {
        let request = ExportMetricsServiceRequest::decode(body).expect("OTLP");
        for of_resource in request.resource_metrics {
            self.resource.extend(kinds(&of_resource.resource.expect("one").attributes));
            let ours =
                of_resource.scope_metrics.into_iter().filter(|it| is_ours(it.scope.as_ref()));
            for metric in ours.flat_map(|it| it.metrics) {
                let name = format!("{}, {}", metric.name, metric.unit);
                let (kind, points) = match metric.data.expect("data") {
                    Data::ExponentialHistogram(it) => {
                        assert_eq!(it.aggregation_temporality, 1, "delta: {name}");
                        let points = it.data_points.into_iter().map(|it| it.attributes);
                        ("histogram", points.collect::<Vec<_>>())
                    }
                    Data::Sum(it) => {
                        assert_eq!(it.aggregation_temporality, 1, "delta: {name}");
                        ("sum", it.data_points.into_iter().map(|it| it.attributes).collect())
                    }
                    Data::Gauge(it) => {
                        ("gauge", it.data_points.into_iter().map(|it| it.attributes).collect())
                    }
                    other => panic!("{name}: {other:?}"),
                };
                for attributes in points {
                    let of_metric = kinds(&attributes).into_iter();
                    self.of_metrics
                        .extend(of_metric.map(|(key, is)| (format!("{name}: {key}"), is)));
                }
                self.metrics.insert(name, kind);
            }
        }
    }
}

fn of_0_1_0() -> Sent {
    let mut sent = Sent::default();
    sent.traces(&std::fs::read(fixture("0.1.0/traces.bin")).expect("there"));
    sent.metrics(&std::fs::read(fixture("0.1.0/metrics.bin")).expect("there"));
    sent
}

/// What the demo service sends.
fn of_today() -> Sent {
    let receiver = Server::start(|_| Reply::text(200, ""));
    let demo = Command::new(program("holdup-demo").expect("built"))
        .args(["--listen", "127.0.0.1:0", "--duration", "12s"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(demo.expect("it runs").success());
    let mut sent = Sent::default();
    for request in receiver.got() {
        assert_eq!(request.header("content-type"), Some("application/x-protobuf"));
        match request.target.as_str() {
            "/v1/traces" => sent.traces(request.body()),
            "/v1/metrics" => sent.metrics(request.body()),
            other => panic!("{other} is not asked for by 0.1.0"),
        }
    }
    sent
}

/// What is in both and differs.
fn changed<'a>(old: &'a Kinds, new: &'a Kinds) -> Vec<(&'a String, &'a str, &'a str)> {
    let both = old.iter().filter_map(|(name, was)| Some((name, *was, *new.get(name)?)));
    both.filter(|(_, was, is)| was != is).collect()
}

#[test]
fn the_crate_sends_what_a_collector_of_0_1_0_takes() {
    let (old, new) = (of_0_1_0(), of_today());
    let pairs = [
        (&old.resource, &new.resource),
        (&old.spans, &new.spans),
        (&old.metrics, &new.metrics),
        (&old.of_metrics, &new.of_metrics),
    ];
    for (old, new) in pairs {
        assert!(!old.is_empty());
        assert_eq!(changed(old, new), [], "what a name stands for has changed");
    }
    let missing = |old: &Kinds, new: &Kinds| -> Vec<String> {
        old.keys().filter(|name| !new.contains_key(*name)).cloned().collect()
    };
    let none: [String; 0] = [];
    assert_eq!(missing(&old.resource, &new.resource), none);
    assert_eq!(missing(&old.metrics, &new.metrics), none);
    assert_eq!(missing(&old.of_metrics, &new.of_metrics), none);
    // One span has all of the fixture's; today's are many, and what is in none of them is not sent.
    assert_eq!(missing(&old.spans, &new.spans), none);
    let always = ["code.function.name", "holdup.self_ns", "holdup.threshold_ns", "holdup.cause"];
    let each = new.each_span.expect("spans");
    assert!(always.iter().all(|name| each.contains(*name)), "{each:?}");
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

/// What a later version may add, wherever attributes are.
fn later() -> Vec<KeyValue> {
    let text = || Value::StringValue("of a later version".into());
    let list = ArrayValue { values: vec![AnyValue { value: Some(text()) }] };
    vec![
        attribute("holdup.later", text()),
        attribute("holdup.later.list", Value::ArrayValue(list)),
        attribute("holdup.later.share", Value::DoubleValue(0.5)),
    ]
}

#[test]
fn what_a_later_crate_adds_is_passed_over_and_the_rest_is_stored() {
    let traces = std::fs::read(fixture("0.1.0/traces.bin")).expect("there");
    let mut traces = ExportTraceServiceRequest::decode(traces.as_slice()).expect("OTLP");
    for of_resource in &mut traces.resource_spans {
        of_resource.resource.as_mut().expect("one").attributes.extend(later());
        for of_scope in &mut of_resource.scope_spans {
            of_scope.scope.as_mut().expect("one").attributes.extend(later());
            of_scope.spans.iter_mut().for_each(|span| span.attributes.extend(later()));
        }
    }
    let metrics = std::fs::read(fixture("0.1.0/metrics.bin")).expect("there");
    let mut metrics = ExportMetricsServiceRequest::decode(metrics.as_slice()).expect("OTLP");
    let value = Some(number_data_point::Value::AsDouble(1.0));
    let point = NumberDataPoint { attributes: later(), value, ..NumberDataPoint::default() };
    let data = Some(Data::Gauge(Gauge { data_points: vec![point] }));
    let gauge = Metric { name: "holdup.later".into(), data, ..Metric::default() };
    metrics.resource_metrics[0].scope_metrics[0].metrics.push(gauge);

    let collector = Collector::start_in(folder(), &[]);
    for (signal, body) in [("traces", traces.encode_to_vec()), ("metrics", metrics.encode_to_vec())]
    {
        let answer = post(&format!("{}/v1/{signal}", collector.http()), &[PROTOBUF], body);
        assert_eq!((answer.status, answer.bytes.len()), (200, 0), "{signal}: {answer:?}");
    }
    let poll = "SELECT service, function, self_ns, cause, blame_crate FROM poll_spans FINAL";
    let is = "demo\tholdup_demo::faults::sleeps_in_handler\t61814000\tsleep\tholdup_demo";
    assert_eq!(collector.sql(poll), is);
    let polls = "SELECT sum(calls), uniqExact(function) FROM poll_histograms";
    assert_eq!(collector.sql(polls), "182\t10");
}
