//! What the collector takes, and what it says to what it can't take.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use holdup_tests::collector::{Answer, Collector, eventually, get, post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

/// One collector for all tests that run at a time: each uses a service of its own, and the last to
/// end stops it.
pub(crate) fn collector() -> Arc<Collector> {
    static SHARED: Mutex<Weak<Collector>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let data = tempfile::tempdir().expect("a folder");
    let limits = ["--grpc-bytes-max", "100000", "--http-bytes-max", "100000"];
    let started = Arc::new(Collector::start_in(data, &limits));
    *shared = Arc::downgrade(&started);
    started
}

pub(crate) fn now_ns() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("it is past 1970");
    u64::try_from(since.as_nanos()).expect("it is before 2554")
}

/// A request with one poll span of 50 ms for each id.
pub(crate) fn request(
    service: &str,
    ids: impl IntoIterator<Item = u64>,
) -> ExportTraceServiceRequest {
    let text = |text: &str| Some(AnyValue::from_text(text));
    let start = now_ns() - 1_000_000_000;
    let spans = ids.into_iter().map(|id| Span {
        trace_id: (u128::from(id) + 1).to_be_bytes().to_vec(),
        span_id: (id + 1).to_be_bytes().to_vec(),
        name: format!("poll {service}::handler"),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 50_000_000,
        ..Span::default()
    });
    let service_name =
        KeyValue { key: "service.name".into(), value: text(service), ..KeyValue::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: vec![service_name], ..Resource::default() }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope { name: "holdup".into(), ..Default::default() }),
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

pub(crate) trait FromText {
    fn from_text(text: &str) -> Self;
}

impl FromText for AnyValue {
    fn from_text(text: &str) -> Self {
        use opentelemetry_proto::tonic::common::v1::any_value::Value;
        Self { value: Some(Value::StringValue(text.to_owned())) }
    }
}

fn calls(collector: &Collector, service: &str) -> u64 {
    let rows = collector.ask(&format!("top?service={service}"));
    rows.iter().map(|row| row["calls"].as_u64().expect("a count")).sum()
}

pub(crate) fn send(collector: &Collector, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    post(&format!("{}/v1/traces", collector.http()), headers, body)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

pub(crate) fn grpc(
    collector: &Collector,
    request: ExportTraceServiceRequest,
    by: Option<CompressionEncoding>,
) -> Result<(), Status> {
    let address = collector.grpc();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = TraceServiceClient::connect(address).await.expect("it listens");
        let mut client = match by {
            Some(encoding) => client.send_compressed(encoding),
            None => client,
        };
        let answer = client.export(request).await?.into_inner();
        assert_eq!(answer.partial_success, None, "all is well");
        Ok(())
    })
}

#[test]
fn every_way_of_otlp_is_acknowledged_once_the_rows_can_be_asked_for() {
    let collector = collector();
    let of = |n: u64| request("ways", [n]).encode_to_vec();
    let json = |n: u64| {
        format!(
            r#"{{"resourceSpans": [{{"resource": {{"attributes": [{{"key": "service.name",
                "value": {{"stringValue": "ways"}}}}]}}, "scopeSpans": [{{"scope": {{"name":
                "holdup"}}, "spans": [{{"traceId": "{n:032x}", "spanId": "{n:016x}", "name":
                "poll ways::handler", "startTimeUnixNano": "{start}", "endTimeUnixNano":
                {end}}}]}}]}}]}}"#,
            start = now_ns() - 20_000_000,
            end = now_ns(),
        )
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("memory");
    let by_gzip = ("content-encoding", "gzip");
    let by_zstd = ("content-encoding", "zstd");
    for (headers, body) in [
        (vec![PROTOBUF], of(10)),
        (vec![PROTOBUF, by_gzip], gzip(&of(11))),
        (vec![PROTOBUF, by_zstd], zstd(&of(12))),
        (vec![JSON], json(113).into_bytes()),
        (vec![JSON, by_gzip], gzip(json(114).as_bytes())),
        (vec![("content-type", "Application/JSON; charset=utf-8")], json(115).into_bytes()),
    ] {
        let before = calls(&collector, "ways");
        let answer = send(&collector, &headers, body);
        assert_eq!(
            (answer.status, calls(&collector, "ways") - before),
            (200, 1),
            "{headers:?} {answer:?}"
        );
    }
    let encodings = [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)];
    for (id, by) in (20..).zip(encodings) {
        let before = calls(&collector, "ways");
        grpc(&collector, request("ways", [id]), by).expect("taken");
        assert_eq!(calls(&collector, "ways") - before, 1, "{by:?}");
    }
}

#[test]
fn an_empty_request_succeeds() {
    let collector = collector();
    let answer = send(&collector, &[PROTOBUF], vec![]);
    assert_eq!((answer.status, answer.bytes.len()), (200, 0));
    assert_eq!(answer.content_type, "application/x-protobuf");
    let answer = send(&collector, &[JSON], b"{}".to_vec());
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
    grpc(&collector, ExportTraceServiceRequest::default(), None).expect("taken");
}

#[test]
fn what_is_no_otlp_is_refused_in_its_own_encoding() {
    let collector = collector();
    let answer = send(&collector, &[JSON], b"{\"resourceSpans\": [".to_vec());
    assert_eq!((answer.status, answer.content_type.as_str()), (400, "application/json"));
    assert!(answer.text.contains("no trace request: EOF"), "{}", answer.text);
    let answer = send(&collector, &[PROTOBUF], vec![0x0a, 0xff]);
    assert_eq!((answer.status, answer.content_type.as_str()), (400, "application/x-protobuf"));
    let status = tonic_types::Status::decode(&answer.bytes[..]).expect("a google.rpc.Status");
    assert_eq!(status.code, i32::from(Code::InvalidArgument));
    assert!(status.message.contains("no trace request"), "{}", status.message);
}

#[test]
fn http_says_what_is_wrong_with_a_request() {
    let collector = collector();
    let url = collector.http();
    let too_much = vec![b' '; 100_001];
    let bomb = gzip(&vec![0; 10 << 20]);
    let unknown = ("content-encoding", "br");
    for (answer, status, expected) in [
        (get(&format!("{url}/v1/traces")), 405, "use POST"),
        (post(&format!("{url}/v1/trace"), &[JSON], ""), 404, "/v1/traces"),
        (send(&collector, &[], b"{}".to_vec()), 415, "Content-Type"),
        (send(&collector, &[("content-type", "text/plain")], b"{}".to_vec()), 415, "Content-Type"),
        (send(&collector, &[JSON, unknown], b"{}".to_vec()), 415, "send none, gzip or zstd"),
        (send(&collector, &[JSON], too_much), 413, "larger than 100000 bytes"),
        (
            send(&collector, &[JSON, ("content-encoding", "gzip")], bomb),
            413,
            "larger than 100000 bytes",
        ),
        (
            send(&collector, &[JSON, ("content-encoding", "gzip")], b"{}".to_vec()),
            400,
            "no valid gzip",
        ),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        let body: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
        let message = body["message"].as_str().expect("a google.rpc.Status");
        assert!(message.contains(expected), "{message} should contain {expected}");
    }
}

#[test]
fn grpc_says_what_is_wrong_with_a_request() {
    let collector = collector();
    let too_large = request("large", 0..2_000);
    assert!(too_large.encoded_len() > 100_000);
    for by in [None, Some(CompressionEncoding::Gzip)] {
        let status = grpc(&collector, too_large.clone(), by).expect_err("over the limit");
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    }
    assert_eq!(calls(&collector, "large"), 0);
    let status = raw_grpc(&collector, &[0x0a, 0xff]);
    assert_eq!(status, Some(i32::from(Code::InvalidArgument)));
}

/// Sends bytes as a gRPC message and returns the status of the answer.
#[test]
fn a_grpc_message_has_room_for_the_batches_of_busy_exporters() {
    let collector = Collector::start_in(tempfile::tempdir().expect("a folder"), &[]);
    let of = |spans: u64, bytes: usize| {
        let mut request = request("busy", 0..spans);
        for span in &mut request.resource_spans[0].scope_spans[0].spans {
            let room = bytes.saturating_sub(span.encoded_len() + "code.stacktrace".len() + 8);
            let value = Some(AnyValue::from_text(&"f\n".repeat(room / 2)));
            let key = "code.stacktrace".to_owned();
            span.attributes = vec![KeyValue { key, value, ..KeyValue::default() }];
        }
        request
    };
    let batch = of(8_192, 540);
    assert!(batch.encoded_len() > 8_192 * 512, "{}", batch.encoded_len());
    grpc(&collector, batch, None).expect("taken");
    let status = grpc(&collector, of(8_192, 2_700), None).expect_err("over 20 MiB");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(calls(&collector, "busy"), 8_192);
}

fn raw_grpc(collector: &Collector, message: &[u8]) -> Option<i32> {
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    let body = [&[0][..], &length, message].concat();
    let client = reqwest::blocking::Client::builder().http2_prior_knowledge().build();
    let path = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let request = client.expect("a client").post(format!("{}/{path}", collector.grpc()));
    let answer = request.header("content-type", "application/grpc").body(body).send();
    let answer = answer.expect("it answers");
    answer.headers().get("grpc-status")?.to_str().ok()?.parse().ok()
}

#[test]
fn spans_that_cannot_be_used_do_not_cost_the_others() {
    let collector = collector();
    let mut mixed = request("mixed", [30, 31, 32]);
    mixed.resource_spans[0].scope_spans[0].spans[1].span_id.clear();
    let answer = send(&collector, &[PROTOBUF], mixed.encode_to_vec());
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("1 poll spans can't be used; the first: a span_id"), "{answer:?}");
    assert_eq!(calls(&collector, "mixed"), 2);
}

#[test]
fn a_request_that_is_sent_again_counts_once() {
    let collector = collector();
    let body = request("again", [70, 71, 71]).encode_to_vec();
    for _ in 0..3 {
        assert_eq!(send(&collector, &[PROTOBUF], body.clone()).status, 200);
    }
    assert_eq!(calls(&collector, "again"), 2, "in the rollup");
    let stored = "SELECT count() FROM poll_spans WHERE service = 'again'";
    assert_eq!(collector.sql(stored), "2");
    let polls = eventually("its episode is written", || {
        collector.ask("episodes?service=again").pop().map(|episode| episode["polls"].clone())
    });
    assert_eq!(polls, 2);
}

#[test]
fn a_small_body_of_many_spans_is_refused_before_it_is_read() {
    let data = tempfile::tempdir().expect("a folder");
    let few = Collector::start_in(data, &["--elements-max", "1000"]);
    let json = format!(
        r#"{{"resourceSpans": [{{"scopeSpans": [{{"spans": [{}{{}}]}}]}}]}}"#,
        "{},".repeat(5_000)
    );
    let protobuf = request("many", 0..5_000).encode_to_vec();
    for (answer, what) in [
        (send(&few, &[JSON], json.clone().into_bytes()), "JSON"),
        (send(&few, &[JSON, ("content-encoding", "gzip")], gzip(json.as_bytes())), "gzip"),
        (send(&few, &[PROTOBUF], protobuf), "protobuf"),
    ] {
        assert_eq!(answer.status, 413, "{what}: {answer:?}");
        assert!(answer.text.contains("more than 1000 spans"), "{what}: {answer:?}");
    }
    let status = grpc(&few, request("many", 0..5_000), None).expect_err("too many");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(few.ask("top?service=many").is_empty());
}

#[test]
fn what_waits_for_clickhouse_is_bounded() {
    let data = tempfile::tempdir().expect("a folder");
    let full = Collector::start_in(data, &["--waiting-bytes-max", "10"]);
    // One request may have all there is, and two do not fit: a body that never ends holds it.
    let mut holds = std::net::TcpStream::connect(full.http().trim_start_matches("http://"));
    let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n";
    holds.as_mut().expect("it listens").write_all(head.as_bytes()).expect("it reads");
    let answer = eventually("the first request holds the room", || {
        let answer = send(&full, &[JSON], b"{\"resourceSpans\": []}".to_vec());
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text.contains("overloaded"), "{answer:?}");
    let status = grpc(&full, request("full", [1]), None).expect_err("no room");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().is_some(), "{status:?}");
    // And it can be stopped although that request never ends.
    assert!(full.stop().success());
}

#[test]
fn signals_that_are_not_kept_are_taken_with_a_warning() {
    let collector = collector();
    let answer = post(&format!("{}/v1/logs", collector.http()), &[JSON], "{}");
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("dropped these logs"), "{}", answer.text);
}

#[test]
fn a_stall_is_one_poll_when_it_has_ended() {
    let collector = collector();
    let start = now_ns() - 40_000_000;
    let stall = |milliseconds: u64, stalls: bool| {
        use opentelemetry_proto::tonic::common::v1::any_value::Value;
        let mut sent = request("stalls", [40]);
        let span = &mut sent.resource_spans[0].scope_spans[0].spans[0];
        span.start_time_unix_nano = start;
        span.end_time_unix_nano = span.start_time_unix_nano + milliseconds * 1_000_000;
        let value = Some(AnyValue { value: Some(Value::BoolValue(stalls)) });
        let key = "holdup.stall".into();
        span.attributes.push(KeyValue { key, value, ..KeyValue::default() });
        assert_eq!(send(&collector, &[PROTOBUF], sent.encode_to_vec()).status, 200);
        let row = collector.ask("top?service=stalls").remove(0);
        let figures = ["calls", "stalled", "blocked_ns"];
        figures.map(|name| row[name].as_u64().expect("a number"))
    };
    // It counts, and is not said to block now before half a second of it is known.
    assert_eq!(stall(10, true), [1, 0, 10_000_000]);
    assert_eq!(stall(20, true), [1, 0, 20_000_000]);
    assert_eq!(stall(35, false), [1, 0, 35_000_000]);
    let episode = eventually("its episode is complete", || {
        collector.ask("episodes?service=stalls").into_iter().find(|e| e["max_ns"] == 35_000_000)
    });
    assert_eq!((&episode["polls"], &episode["blocked_ns"]), (&1.into(), &35_000_000.into()));
}

#[test]
fn who_held_the_lock_and_what_the_runtime_did_meanwhile_are_kept() {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let collector = collector();
    let mut sent = request("holders", [60]);
    let span = &mut sent.resource_spans[0].scope_spans[0].spans[0];
    let text = |text: &str| Value::StringValue(text.into());
    let given = [
        ("holdup.lock.holder.thread.name", text("writer")),
        ("holdup.lock.holder.function", text("shop::write")),
        ("holdup.lock.holder.evidence", text("owner")),
        ("holdup.throttled_ns", Value::IntValue(7_000_000)),
        ("holdup.runtime.stalled", Value::BoolValue(true)),
        ("holdup.runtime.driver_idle", Value::BoolValue(true)),
    ];
    span.attributes = Vec::from(given.map(|(key, value)| {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.into(), value, ..KeyValue::default() }
    }));
    assert_eq!(send(&collector, &[PROTOBUF], sent.encode_to_vec()).status, 200);
    let poll = collector.ask("polls?service=holders").remove(0);
    assert_eq!(
        (&poll["holder_thread_name"], &poll["holder_function"]),
        (&"writer".into(), &"shop::write".into())
    );
    assert_eq!(
        (&poll["holder_evidence"], &poll["throttled_ns"]),
        (&"owner".into(), &7_000_000.into())
    );
    let told = ["runtime_stalled", "driver_idle", "sampled"].map(|name| poll[name] == true);
    assert_eq!(told, [true, true, false], "{poll}");
}

#[test]
fn a_busy_span_of_tracing_opentelemetry_is_a_suspect_and_no_culprit() {
    let collector = collector();
    let body = serde_json::json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "suspects"}}]},
        "scopeSpans": [{"scope": {"name": "app"}, "spans": [{
            "traceId": format!("{:032x}", 60), "spanId": format!("{:016x}", 60),
            "name": "checkout", "startTimeUnixNano": (now_ns() - 1_000_000_000).to_string(),
            "endTimeUnixNano": now_ns().to_string(),
            "attributes": [
                {"key": "code.namespace", "value": {"stringValue": "shop::web"}},
                {"key": "busy_ns", "value": {"intValue": "150000000"}},
                {"key": "idle_ns", "value": {"intValue": 800_000_000}}]}]}]}]});
    assert_eq!(send(&collector, &[JSON], body.to_string().into_bytes()).status, 200);
    let suspect = collector.ask("suspects?service=suspects").remove(0);
    assert_eq!(
        (&suspect["function"], &suspect["busy_ns"]),
        (&"shop::web::checkout".into(), &150_000_000.into(),)
    );
    assert!(collector.ask("top?service=suspects").is_empty());
}

#[test]
fn the_api_says_what_is_wrong_with_a_question() {
    let collector = collector();
    for (question, status, expected) in [
        ("query/tops", 404, "did you mean \"top\"?"),
        ("query/top?from=x", 400, "unix milliseconds"),
        ("query/top?servce=x", 400, "known are from, to, service"),
        ("nothing", 404, "no such path"),
    ] {
        let answer = get(&format!("{}/api/v1/{question}", collector.page()));
        assert_eq!(answer.status, status, "{answer:?}");
        let body: serde_json::Value = serde_json::from_str(&answer.text).expect("JSON");
        let message = body.pointer("/error/message").and_then(|m| m.as_str()).expect("a message");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn hostile_names_are_data() {
    let collector = collector();
    let service = "x'] OR 1=1 --<script>alert(1)</script>";
    assert_eq!(send(&collector, &[PROTOBUF], request(service, [50]).encode_to_vec()).status, 200);
    let escaped: String = form_urlencoded::byte_serialize(service.as_bytes()).collect();
    let rows = collector.ask(&format!("top?service={escaped}"));
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["service"], service);
}

#[test]
fn a_span_of_python_s_own_sdk_comes_in() {
    let collector = collector();
    let python = holdup_tests::python().expect("a Python with the SDK");
    let script = r#"
import sys, time
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
import opentelemetry.exporter.otlp.proto.http.trace_exporter as http
import opentelemetry.exporter.otlp.proto.grpc.trace_exporter as grpc
for exporter in (http.OTLPSpanExporter(endpoint=sys.argv[1] + "/v1/traces"),
                 grpc.OTLPSpanExporter(endpoint=sys.argv[2], insecure=True)):
    provider = TracerProvider(resource=Resource.create({"service.name": "snake"}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    end = time.time_ns()
    span = provider.get_tracer("holdup", "0.1").start_span("poll app.views.index", start_time=end - 40_000_000)
    span.set_attribute("code.function.name", "app.views.index")
    span.set_attribute("holdup.cause", "disk")
    span.end(end)
    assert provider.force_flush()
    provider.shutdown()
"#;
    let (http, grpc) = (collector.http(), collector.grpc());
    let ran = std::process::Command::new(python).args(["-c", script, &http, &grpc]).output();
    let ran = ran.expect("python runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let row = collector.ask("top?service=snake").remove(0);
    assert_eq!((&row["function"], &row["calls"]), (&"app.views.index".into(), &2.into()));
    assert_eq!((&row["blocked_ns"], &row["cause"]), (&80_000_000.into(), &"disk".into()));
}
