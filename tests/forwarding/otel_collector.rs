//! The example of an OpenTelemetry Collector in front of Holdup: whether it is whole, and whether
//! Holdup takes what it would send, in the way it would send it.

use holdup::contract;
use holdup_tests::collector::Collector;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde_json::Value as Json;
use tonic::codec::CompressionEncoding;

use crate::receiving::{grpc, request};

fn example() -> Json {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/otel-collector/holdup.yaml");
    holdup_tests::yaml(path.as_ref()).expect("YAML")
}

fn strings(of: &Json) -> Vec<&str> {
    of.as_array().into_iter().flatten().map(|it| it.as_str().expect("text")).collect()
}

/// `traces` of `traces/in` and of `routing/traces`.
fn signal(name: &str) -> &str {
    let (kind, id) = name.split_once('/').expect("two parts");
    if kind == "routing" { id } else { kind }
}

#[test]
fn the_example_of_an_opentelemetry_collector_joins_up() {
    let example = example();
    let pipelines = example["service"]["pipelines"].as_object().expect("pipelines");
    let is_connector = |name: &str| !example["connectors"][name].is_null();
    for (name, pipeline) in pipelines {
        for (end, defined) in [("receivers", "receivers"), ("exporters", "exporters")] {
            let parts = strings(&pipeline[end]);
            assert!(!parts.is_empty(), "{name} has no {end}");
            for part in parts {
                assert!(!example[defined][part].is_null() || is_connector(part), "{name}: {part}");
                if is_connector(part) {
                    assert_eq!(signal(part), signal(name), "a route of one signal");
                }
            }
        }
    }
    for (connector, settings) in example["connectors"].as_object().expect("connectors") {
        let table = settings["table"].as_array().expect("a table");
        let routes = table.iter().flat_map(|route| strings(&route["pipelines"]));
        for pipeline in routes.chain(strings(&settings["default_pipelines"])) {
            let from = strings(&pipelines[pipeline]["receivers"]);
            assert_eq!(from, [connector.as_str()], "{pipeline} takes from its route");
        }
        let feeds =
            pipelines.values().filter(|it| strings(&it["exporters"]).contains(&&**connector));
        assert_eq!(feeds.count(), 1, "{connector} is fed once");
        let ours = &table[0];
        let condition = format!("instrumentation_scope.name == \"{}\"", contract::SCOPE);
        assert_eq!(ours["condition"], condition, "{connector}: what the crate sends");
        assert_eq!(strings(&ours["pipelines"]), [format!("{}/holdup", signal(connector))]);
    }
    let ways_in = &example["receivers"]["otlp"]["protocols"];
    assert!(ways_in["grpc"].is_object() && ways_in["http"].is_object());
}

#[test]
fn what_the_example_routes_to_holdup_is_taken_as_it_comes() {
    let example = example();
    let exporter = &example["exporters"]["otlp/holdup"];
    assert_eq!(exporter["compression"], "zstd");
    assert_eq!(exporter["retry_on_failure"]["max_elapsed_time"], "0s", "nothing is given up");
    let condition = example["connectors"]["routing/traces"]["table"][1]["condition"].as_str();
    let busy_ns = condition.and_then(|text| text.rsplit(' ').next()?.parse::<i64>().ok());
    let busy_ns = busy_ns.expect("a bound on busy_ns");

    let collector = Collector::start_in(tempfile::tempdir().expect("a folder"), &[]);
    let send = |request| {
        grpc(&collector, request, Some(CompressionEncoding::Zstd)).expect("it is taken whole");
    };
    send(request("routed", [1, 2]));
    // The bound is where Holdup itself begins to see a suspect.
    for (id, busy_ns) in [(11, busy_ns), (12, busy_ns - 1)] {
        let mut suspect = request("routed", [id]);
        let of_scope = &mut suspect.resource_spans[0].scope_spans[0];
        of_scope.scope.as_mut().expect("set").name = "an.app".into();
        let value = Some(AnyValue { value: Some(Value::IntValue(busy_ns)) });
        let busy = KeyValue { key: "busy_ns".into(), value, ..KeyValue::default() };
        of_scope.spans[0].attributes.push(busy);
        send(suspect);
    }
    let count = |table| collector.sql(&format!("SELECT count() FROM {table}"));
    assert_eq!([count("poll_spans"), count("suspects")], ["2", "1"]);
}
