//! The direct decoder beside the tree of messages: the same rows, the same counts, the same bounds.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message;

use super::size;
use crate::corpus::fuzz;
use crate::decode::{self, Decoded, Limits};

const NOW_NS: u64 = 1_800_000_030_000_000_000;
const ELEMENTS_MAX: usize = 300;

fn limits() -> Limits {
    Limits { name_bytes_max: 24, frames_max: 4, ..Limits::default() }
}

fn text(mut rows: Decoded) -> String {
    rows.stacks.sort_by_key(|stack| stack.id);
    let Decoded { polls, suspects, stacks, measured: _, services, counts, bytes: _ } = rows;
    format!("{:#?} {suspects:#?} {stacks:#?} {services:?} {counts:#?}", polls.spans())
}

/// Whether the direct decoder takes a message. What it takes is what the tree says.
fn is_same(body: &[u8]) -> bool {
    let Ok(rows) = decode::decode_directly(body, &limits(), ELEMENTS_MAX, None, NOW_NS) else {
        return false;
    };
    assert_eq!(size::check_protobuf(body, ELEMENTS_MAX), Ok(()));
    let tree = ExportTraceServiceRequest::decode(body).expect("it was taken");
    assert_eq!(text(rows), text(decode::decode(tree, &limits(), NOW_NS)));
    true
}

#[test]
fn changed_messages_have_the_same_rows_or_are_left_to_the_tree() {
    fuzz("traces", |input| {
        is_same(input);
    });
}

fn value() -> impl Strategy<Value = Option<AnyValue>> {
    const WORDS: [&str; 7] =
        ["", "disk", "lock", "00000000000000ff", "zz", "shop::pay", "a\n b\n\nc\nd\ne\nf"];
    let leaf = prop_oneof![
        prop::sample::select(&WORDS[..]).prop_map(|word| Value::StringValue(word.into())),
        "[a-zé]{0,30}".prop_map(Value::StringValue),
        any::<i64>().prop_map(Value::IntValue),
        (0..50_000_000_i64).prop_map(Value::IntValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<f64>().prop_map(Value::DoubleValue),
        prop::collection::vec(any::<u8>(), 0..4).prop_map(Value::BytesValue),
    ];
    let any_value = |value| AnyValue { value: Some(value) };
    let nested = leaf.prop_recursive(3, 12, 3, move |inner| {
        let values = prop::collection::vec(inner, 0..3);
        prop_oneof![
            values.clone().prop_map(move |values| {
                let values = values.into_iter().map(any_value).collect();
                Value::ArrayValue(ArrayValue { values })
            }),
            values.prop_map(move |values| {
                let pair = |value| KeyValue {
                    key: "k".into(),
                    value: Some(any_value(value)),
                    ..KeyValue::default()
                };
                let values = values.into_iter().map(pair).collect();
                Value::KvlistValue(KeyValueList { values })
            }),
        ]
    });
    prop::option::weighted(0.95, prop::option::weighted(0.95, nested))
        .prop_map(|value| value.map(|value| AnyValue { value }))
}

fn attributes(keys: &'static [&'static str], max: usize) -> impl Strategy<Value = Vec<KeyValue>> {
    let one = (prop::sample::select(keys), value());
    prop::collection::vec(one, 0..max).prop_map(|pairs| {
        let pair =
            |(key, value): (&str, _)| KeyValue { key: key.into(), value, ..KeyValue::default() };
        pairs.into_iter().map(pair).collect()
    })
}

const OF_SPANS: [&str; 37] = [
    "code.function.name",
    "code.file.path",
    "code.line.number",
    "code.stacktrace",
    "thread.id",
    "thread.name",
    "holdup.self_ns",
    "holdup.cpu_ns",
    "holdup.runqueue_ns",
    "holdup.threshold_ns",
    "holdup.cause",
    "holdup.blame.function",
    "holdup.blame.crate",
    "holdup.stack.id",
    "holdup.victims",
    "holdup.task.id",
    "holdup.task.name",
    "holdup.task.spawned_at",
    "holdup.runtime",
    "holdup.worker",
    "holdup.stall",
    "holdup.throttled_ns",
    "holdup.runtime.stalled",
    "holdup.runtime.driver_idle",
    "holdup.sampled",
    "holdup.lock.holder.thread.id",
    "holdup.lock.holder.thread.name",
    "holdup.lock.holder.function",
    "holdup.lock.holder.evidence",
    "holdup.poll.dropped",
    "busy_ns",
    "idle_ns",
    "code.namespace",
    "target",
    "code.module.name",
    "",
    "other",
];

const OF_RESOURCES: [&str; 9] = [
    "service.name",
    "service.version",
    "service.instance.id",
    "deployment.environment.name",
    "deployment.environment",
    "host.name",
    "process.pid",
    "process.command_args",
    "",
];

fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    let zeroes = Just(vec![0; length]);
    let odd = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![20 => prop::collection::vec(any::<u8>(), length), 1 => zeroes, 1 => odd]
}

fn span() -> impl Strategy<Value = Span> {
    const NAMES: [&str; 5] =
        ["poll shop::pay", "poll ", "", "request", "poll a name that is longer than allowed"];
    let time = prop_oneof![
        20 => NOW_NS - 1_000_000_000..NOW_NS,
        1 => Just(0_u64),
        1 => any::<u64>(),
    ];
    let parts = (id(16), id(8), id(8), prop::sample::select(&NAMES[..]), time);
    let long = prop_oneof![20 => 0..100_000_000_u64, 1 => any::<u64>()];
    (parts, long, attributes(&OF_SPANS, 12), attributes(&["k", ""], 3), 0..3_usize).prop_map(
        |((trace_id, span_id, parent_span_id, name, start), long, attributes, others, events)| {
            let event = Event { name: "e".into(), attributes: others.clone(), ..Event::default() };
            let link = Link { attributes: others, trace_state: "s".into(), ..Link::default() };
            Span {
                trace_id,
                span_id,
                parent_span_id,
                name: name.into(),
                start_time_unix_nano: start,
                end_time_unix_nano: start.wrapping_add(long),
                attributes,
                events: vec![event; events],
                links: vec![link; events / 2],
                status: (events > 1).then(|| Status { message: "m".into(), code: 2 }),
                flags: 257,
                kind: 1,
                trace_state: "a=b".into(),
                ..Span::default()
            }
        },
    )
}

fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = (prop::sample::select(&["holdup", "holdup", "other", ""][..]), 0..3_usize);
    let of_scope = (scope, prop::collection::vec(span(), 0..5));
    let scopes = prop::collection::vec(of_scope, 0..3);
    let resource = prop::option::weighted(0.9, attributes(&OF_RESOURCES, 6));
    prop::collection::vec((resource, scopes), 0..3).prop_map(|all| {
        let of_scope = |((name, version), spans): ((&str, usize), Vec<Span>)| ScopeSpans {
            scope: (!name.is_empty()).then(|| InstrumentationScope {
                name: name.into(),
                version: "1".repeat(version * 15),
                ..InstrumentationScope::default()
            }),
            spans,
            schema_url: "https://opentelemetry.io/schemas/1.40.0".into(),
        };
        let resource_spans = all.into_iter().map(|(attributes, scopes)| ResourceSpans {
            resource: attributes.map(|attributes| Resource { attributes, ..Resource::default() }),
            scope_spans: scopes.into_iter().map(of_scope).collect(),
            schema_url: String::new(),
        });
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
    })
}

/// Whether a span of ours can't be used for its ids or times: the tree says why.
fn is_rejected(span: &Span) -> bool {
    let zero = |id: &[u8]| id.iter().all(|byte| *byte == 0);
    let long = span.end_time_unix_nano.checked_sub(span.start_time_unix_nano);
    span.trace_id.len() != 16
        || span.span_id.len() != 8
        || zero(&span.trace_id)
        || zero(&span.span_id)
        || span.start_time_unix_nano == 0
        || long.is_none_or(|long| long > 30 * 86_400 * 1_000_000_000)
}

/// Whether a foreign span names something that has to be cut.
fn is_cut(span: &Span) -> bool {
    let keys = ["code.function.name", "code.namespace", "target", "code.module.name"];
    span.attributes.iter().filter(|pair| keys.contains(&pair.key.as_str())).any(|pair| {
        matches!(&pair.value, Some(AnyValue { value: Some(Value::StringValue(text)) })
            if text.len() > limits().name_bytes_max)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn made_messages_have_the_same_rows(request in request()) {
        let body = request.encode_to_vec();
        let is_usual = request.resource_spans.iter().flat_map(|of| &of.scope_spans).all(|of| {
            let ours = of.scope.as_ref().is_some_and(|scope| scope.name == "holdup");
            of.spans.iter().all(|span| if ours { !is_rejected(span) } else { !is_cut(span) })
        });
        let fits = size::check_protobuf(&body, ELEMENTS_MAX).is_ok();
        prop_assert_eq!(is_same(&body), is_usual && fits, "what is usual is not left to the tree");
    }

    #[test]
    fn broken_messages_have_the_same_rows_or_are_left_to_the_tree(
        request in request(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut body = request.encode_to_vec();
        if !body.is_empty() {
            let at = at.index(body.len());
            if cut { body.truncate(at) } else { body[at] = byte }
            is_same(&body);
        }
    }
}

/// A field that tells its length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("short");
    [&[number << 3 | 2, length], bytes].concat()
}

#[test]
fn what_is_unusual_is_left_to_the_tree() {
    let scope = field(1, &field(1, b"holdup"));
    let name = |name: &str| field(2, &field(5, name.as_bytes()));
    let of_resource = |parts: &[&[u8]]| field(1, &field(2, &parts.concat()));
    assert!(!is_same(&of_resource(&[&name("poll f"), &scope])), "the scope comes late");
    assert!(!is_same(&of_resource(&[&scope, &scope])), "in two parts");
    assert!(!is_same(&of_resource(&[&scope, &[0x1b, 0x1c]])), "a group");
    assert!(!is_same(&of_resource(&[&scope, &field(2, &[5 << 3, 1])])), "another type");
    assert!(!is_same(&of_resource(&[&scope, &field(2, &field(5, &[0xff]))])), "no text");
    assert!(is_same(&of_resource(&[&scope, &field(9, b"unknown")])), "an unknown field");
}
