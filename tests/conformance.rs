//! What an OTLP receiver owes its clients, where no other test shows it: the table that numbers all
//! of it is in docs/conformance.md.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use holdup_tests::collector::{Collector, PATIENCE, eventually, get};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use tonic::Code;
use tonic_types::StatusExt;

use crate::receiving::{JSON, PROTOBUF, collector, gzip, now_ns, request, send};

const EXPORT: &str = "opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// How many polls of a service there are, once there are so many.
fn polls(collector: &Collector, service: &str, expected: u64) {
    let count = format!("SELECT uniqExact(span_id) FROM poll_spans WHERE service = '{service}'");
    eventually(&format!("{expected} polls of {service}"), || {
        (collector.sql(&count) == expected.to_string()).then_some(())
    });
}

fn field(number: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut out);
    encode_varint(body.len() as u64, &mut out);
    out.extend_from_slice(body);
    out
}

/// A gRPC call with a message as it is, and the status that it is answered with.
fn call(collector: &Collector, message: &[u8], encoding: Option<&str>) -> tonic::Status {
    let length = u32::try_from(message.len()).expect("a short message").to_be_bytes();
    let flag = u8::from(encoding.is_some());
    let body = [&[flag][..], &length, message].concat();
    let client = reqwest::blocking::Client::builder().http2_prior_knowledge().build();
    let request = client.expect("a client").post(format!("{}/{EXPORT}", collector.grpc()));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let request = match encoding {
        Some(name) => request.header("grpc-encoding", name),
        None => request,
    };
    let answer = request.body(body).send().expect("it answers");
    tonic::Status::from_header_map(answer.headers()).unwrap_or_else(|| tonic::Status::ok(""))
}

#[test]
fn an_encoding_that_is_not_known_is_refused_over_grpc() {
    let status = call(&collector(), &[], Some("br"));
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
}

#[test]
fn bad_data_is_told_with_its_details() {
    let status = call(&collector(), &[0x0a, 0xff], None);
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("BadRequest details");
    assert!(details.field_violations[0].description.contains("no trace request"), "{details:?}");
}

#[test]
fn a_message_in_parts_is_merged_and_what_is_unknown_is_skipped() {
    let collector = collector();
    let whole = request("parts", [1, 2]).encode_to_vec();
    let of_resource = request("parts", [3]);
    let of_resource = &of_resource.resource_spans[0];
    // The resource in two halves, among fields of a later version: each number is free today.
    let resource = of_resource.resource.as_ref().expect("set").encode_to_vec();
    let spans = of_resource.scope_spans[0].encode_to_vec();
    let parts =
        [field(900, b"later"), field(1, &field(901, &[])), field(1, &resource), field(2, &spans)];
    let body = [whole, field(1, &parts.concat()), field(77, b"unknown")].concat();
    assert_eq!(send(&collector, &[PROTOBUF], body.clone()).status, 200);
    polls(&collector, "parts", 3);
}

#[test]
fn hostile_protobuf_gets_an_answer_and_costs_nothing_else() {
    let collector = collector();
    let nested = |depth: usize| (0..depth).fold(Vec::new(), |inner, _| field(5, &inner));
    let deep_value = {
        // An attribute whose value is an array of an array of an array…
        let value = (0..300).fold(Vec::new(), |inner, _| field(5, &field(1, &inner)));
        field(1, &field(1, &field(1, &[field(1, b"k"), field(2, &value)].concat())))
    };
    let group = [0x0b, 0x0b, 0x0c, 0x0c];
    let bodies: [(&str, Vec<u8>, &[u16]); 8] = [
        ("a varint that does not end", vec![0x0a, 0x80, 0x80, 0x80], &[400]),
        ("a varint of eleven bytes", [&[0x08][..], &[0xff; 11]].concat(), &[400]),
        ("a length past the end", vec![0x0a, 0x7f, 0x00], &[400]),
        ("a wrong wire type", vec![0x08, 0x01], &[400]),
        ("a field of number 0", vec![0x02, 0x00], &[400]),
        ("groups", group.to_vec(), &[200, 400]),
        ("deep nesting of what is unknown", field(50, &nested(5_000)), &[200]),
        ("a value nested 300 deep", deep_value, &[400]),
    ];
    for (what, body, statuses) in bodies {
        let answer = send(&collector, &[PROTOBUF], body.clone());
        assert!(statuses.contains(&answer.status), "{what}: {answer:?}");
        let code = call(&collector, &body, None).code();
        let allowed = if answer.status == 200 { Code::Ok } else { Code::InvalidArgument };
        assert_eq!(code, allowed, "{what}");
    }
    let mut odd = request("odd", 1..7);
    let spans = &mut odd.resource_spans[0].scope_spans[0].spans;
    spans[0].trace_id = vec![0; 16];
    spans[1].span_id = vec![1; 9];
    spans[2].end_time_unix_nano = 1;
    (spans[3].start_time_unix_nano, spans[3].end_time_unix_nano) = (0, 0);
    spans[4].start_time_unix_nano = u64::MAX - 50_000_000;
    spans[4].end_time_unix_nano = u64::MAX;
    let answer = send(&collector, &[PROTOBUF], odd.encode_to_vec());
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("poll spans can't be used; the first: "), "{answer:?}");
    eventually("the span that nothing is wrong with is kept", || {
        let count =
            collector.sql("SELECT uniqExact(span_id) FROM poll_spans WHERE service = 'odd'");
        (count.parse::<u64>().expect("a count") >= 1).then_some(())
    });
}

#[test]
fn http_2_and_chunks_and_kept_connections_are_spoken() {
    let collector = collector();
    let url = format!("{}/v1/traces", collector.http());
    let client = reqwest::blocking::Client::builder().http2_prior_knowledge().build();
    let body = request("spoken", [1]).encode_to_vec();
    let sent = client.expect("a client").post(url).header(PROTOBUF.0, PROTOBUF.1).body(body).send();
    let answer = sent.expect("it answers");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));

    let mut kept = TcpStream::connect(collector.http().trim_start_matches("http://"));
    let kept = kept.as_mut().expect("it listens");
    kept.set_read_timeout(Some(PATIENCE)).expect("a time");
    for id in [2, 3] {
        let body = request("spoken", [id]).encode_to_vec();
        let (one, two) = body.split_at(body.len() / 2);
        let chunk =
            |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\
                    content-type: application/x-protobuf\r\n\r\n";
        let sent = [head.as_bytes(), &chunk(one), &chunk(two), b"0\r\n\r\n"].concat();
        kept.write_all(&sent).expect("it reads");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            kept.read_exact(&mut byte).expect("it answers");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    }
    polls(&collector, "spoken", 3);
}

#[test]
fn a_connection_that_is_old_is_replaced_and_no_call_fails() {
    let data = tempfile::tempdir().expect("a folder");
    let young = Collector::start_in(data, &["--connection-age-max", "200ms"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut client = TraceServiceClient::connect(young.grpc()).await.expect("it listens");
        for id in 0..12 {
            client.export(request("young", [id])).await.expect("taken");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    polls(&young, "young", 12);
}

#[test]
fn a_bomb_takes_no_more_memory_than_a_body_may_have() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start_in(data, &["--http-bytes-max", "1000000"]);
    let peak = |pid: u32| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let zeroes = vec![0; 512 << 20];
    let zstd = zstd::encode_all(&zeroes[..], 3).expect("memory");
    let gzip = gzip(&zeroes);
    drop(zeroes);
    assert_eq!(send(&collector, &[JSON], b"{}".to_vec()).status, 200);
    let before = peak(collector.pid());
    for (encoding, bomb) in [("gzip", gzip), ("zstd", zstd)] {
        for _ in 0..4 {
            let answer = send(&collector, &[JSON, ("content-encoding", encoding)], bomb.clone());
            assert_eq!(answer.status, 413, "{encoding}: {answer:?}");
        }
    }
    let grown = peak(collector.pid()) - before;
    assert!(grown < 64 << 10, "{grown} KiB");
}

#[test]
fn clocks_off_by_days_are_set_and_counted() {
    const DAY_NS: u64 = 86_400_000_000_000;
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start_in(data, &[]);
    let mut wrong = request("clocks", [1, 2, 3]);
    let spans = &mut wrong.resource_spans[0].scope_spans[0].spans;
    for (span, shift) in spans.iter_mut().zip([9 * DAY_NS, 0, 40 * DAY_NS]) {
        span.start_time_unix_nano = now_ns() + shift;
        span.end_time_unix_nano = span.start_time_unix_nano + 50_000_000;
    }
    spans[2].start_time_unix_nano -= 80 * DAY_NS;
    spans[2].end_time_unix_nano -= 80 * DAY_NS;
    assert_eq!(send(&collector, &[PROTOBUF], wrong.encode_to_vec()).status, 200);
    polls(&collector, "clocks", 3);
    let near = "SELECT count() FROM poll_spans WHERE service = 'clocks' \
                AND abs(dateDiff('minute', start, now64())) < 10";
    assert_eq!(collector.sql(near), "3", "all are at the time of arrival");
    let metrics = get(&format!("{}/metrics", collector.page())).text;
    assert!(metrics.contains("holdup_spans_clamped_total 2\n"), "{metrics}");
}
