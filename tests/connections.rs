//! Connections: how many, how idle, how slow, and how they end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use holdup_tests::collector::{Collector, PATIENCE, eventually, get};
use hyper::body::{Body, Frame};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::{Instant, Interval, interval_at};
use tonic::codegen::{Bytes, Service, http};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::receiving::{PROTOBUF, collector, request, send};

fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

/// Whether the other side has closed it.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    match (&mut &*stream).read(&mut [0; 64]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Memory of its own; pages of files, such as those that its symbols are read from, are the system's.
fn own_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn clients_that_say_nothing_make_room_for_those_that_do() {
    let data = tempfile::tempdir().expect("a folder");
    let few = Collector::start_in(data, &["--connections-max", "20"]);
    let silent = (0..20).map(|_| connect(&few.http())).collect::<Vec<_>>();
    for id in 0..3 {
        // Those that have only just come are left alone, so the first try may be turned away.
        eventually("there is room for one that speaks", || {
            let mut speaks = connect(&few.http());
            let body = request("speaks", [id]).encode_to_vec();
            let head = format!(
                "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            speaks.write_all(&[head.as_bytes(), &body].concat()).ok()?;
            let mut answer = String::new();
            speaks.read_to_string(&mut answer).ok()?;
            answer.starts_with("HTTP/1.1 200 ").then_some(())
        });
    }
    let closed = silent.iter().filter(|stream| is_closed(stream)).count();
    assert!((1..=6).contains(&closed), "the others are left alone: {closed} were closed");
}

#[test]
fn ten_thousand_silent_connections_take_little_memory() {
    // One descriptor for each, on both sides.
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, all).expect("up to the hard limit it is allowed");
    let data = tempfile::tempdir().expect("a folder");
    let many = Collector::start_in(data, &[]);
    assert_eq!(send(&many, &[PROTOBUF], request("many", [1]).encode_to_vec()).status, 200);
    let before = own_kib(many.pid());
    let silent = (0..10_000).map(|_| connect(&many.http())).collect::<Vec<_>>();
    let body = request("many", [2]).encode_to_vec();
    eventually("a client is served beside them", || {
        let url = format!("{}/v1/traces", many.http());
        let sent = reqwest::blocking::Client::new().post(url);
        let sent = sent.header(PROTOBUF.0, PROTOBUF.1).body(body.clone()).send();
        sent.is_ok_and(|answer| answer.status() == 200).then_some(())
    });
    let grown = own_kib(many.pid()).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB for {} connections", silent.len());
}

#[test]
fn a_head_that_does_not_end_is_not_waited_for() {
    let collector = collector();
    let mut slow = connect(&collector.http());
    slow.write_all(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n").expect("it reads");
    let began = std::time::Instant::now();
    let mut answer = Vec::new();
    // It is closed, with an answer or without.
    let _reset = slow.read_to_end(&mut answer);
    assert!(began.elapsed() < PATIENCE, "it is still open");
}

#[test]
fn a_body_that_does_not_end_is_not_waited_for() {
    let collector = collector();
    let mut slow = connect(&collector.http());
    slow.write_all(
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
          content-length: 100\r\nconnection: close\r\n\r\nx",
    )
    .expect("it reads");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// The beginning of a gRPC message, and then a byte of it each time that so long has passed.
struct Drips {
    first: Bytes,
    every: Interval,
}

impl Body for Drips {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut sent = std::mem::take(&mut self.first);
        if sent.is_empty() {
            std::task::ready!(self.every.poll_tick(context));
            sent = Bytes::from_static(&[0]);
        }
        Poll::Ready(Some(Ok(Frame::data(sent))))
    }
}

/// What is answered to a message of which `first` comes at once, and then so little: the code and
/// the text.
async fn dripped(url: &str, first: Bytes, every: Duration) -> (String, String) {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL");
    let mut channel = endpoint.connect().await.expect("it listens");
    let every = interval_at(Instant::now() + every, every);
    let path = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let request = http::Request::post(format!("{url}/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(Drips { first, every }));
    poll_fn(|context| channel.poll_ready(context)).await.expect("it is connected");
    let answer = channel.call(request.expect("a request")).await.expect("it answers");
    let told = |name: &str| {
        let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    (told("grpc-status"), told("grpc-message"))
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

/// The head of a message of 64 KiB.
const HEAD: [u8; 5] = [0, 0, 1, 0, 0];
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_grpc_message_that_drips_or_goes_silent_is_not_waited_for() {
    let collector = collector();
    let refused = "holdup_requests_refused_total{transport=\"grpc\",reason=\"body\"}";
    let count = || {
        let text = get(&format!("{}/metrics", collector.page())).text;
        let line = text.lines().find_map(|line| line.strip_prefix(refused)?.trim().parse().ok());
        line.unwrap_or(0_u64)
    };
    let before = count();
    // Each byte that comes keeps it from being silent, and all of them come too late.
    for (every, expected) in
        [(HOUR, "nothing of the body"), (Duration::from_secs(1), "within 30 s")]
    {
        let first = Bytes::copy_from_slice(&HEAD);
        let (code, text) = runtime().block_on(dripped(&collector.grpc(), first, every));
        assert_eq!(code, i32::from(Code::DeadlineExceeded).to_string(), "{text}");
        assert!(text.replace("%20", " ").contains(expected), "{text}");
    }
    assert!(count() >= before + 2);
}

#[test]
fn grpc_messages_that_do_not_end_have_a_bound_on_memory() {
    let data = tempfile::tempdir().expect("a folder");
    let few = Collector::start_in(data, &["--waiting-bytes-max", "100000"]);
    let first = Bytes::from([&HEAD[..], &[0; 60_000]].concat());
    // Each has room for itself, and both together have not.
    let url = few.grpc();
    let (code, text) = runtime().block_on(async {
        tokio::select! {
            told = dripped(&url, first.clone(), HOUR) => told,
            told = dripped(&url, first.clone(), HOUR) => told,
        }
    });
    assert_eq!(code, i32::from(Code::Unavailable).to_string(), "{text}");
    assert!(text.contains("overloaded"), "{text}");
}

/// What the health service says of a service: its status, 1 when it serves.
fn health(url: &str, service: &str) -> Result<i32, Status> {
    #[derive(Clone, PartialEq, Message)]
    struct Asked {
        #[prost(string, tag = "1")]
        service: String,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Told {
        #[prost(int32, tag = "1")]
        status: i32,
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL");
        let mut grpc = tonic::client::Grpc::new(endpoint.connect().await.expect("it listens"));
        grpc.ready().await.expect("it is ready");
        let codec = tonic_prost::ProstCodec::<Asked, Told>::default();
        let path = "/grpc.health.v1.Health/Check".parse().expect("a path");
        let asked = tonic::Request::new(Asked { service: service.to_owned() });
        Ok(grpc.unary(asked, path, codec).await?.into_inner().status)
    })
}

#[test]
fn the_health_service_tells_what_is_served() {
    let collector = collector();
    for service in ["", "opentelemetry.proto.collector.trace.v1.TraceService"] {
        assert_eq!(health(&collector.grpc(), service).expect("it is known"), 1, "{service}");
    }
    for unknown in ["nobody.Service", &"long".repeat(100)] {
        let status = health(&collector.grpc(), unknown).expect_err("it is not known");
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
    }
}

#[test]
fn a_client_s_calls_run_side_by_side_and_end_well_when_it_stops() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start_in(data, &[]);
    let address = collector.grpc();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let client = runtime.block_on(TraceServiceClient::connect(address)).expect("it listens");
    let calls = |of: u64| {
        let calls = (0..300).map(|n| {
            let mut client = client.clone();
            runtime.spawn(async move { client.export(request("beside", [of + n])).await })
        });
        calls.collect::<Vec<_>>()
    };
    for call in calls(0) {
        runtime.block_on(call).expect("it runs").expect("taken");
    }
    // Whatever is under way when it stops is either answered, or fails with what clients repeat.
    let under_way = calls(1_000);
    assert!(collector.stop().success());
    for call in under_way {
        if let Err(status) = runtime.block_on(call).expect("it runs") {
            let again = [Code::Unavailable, Code::Cancelled, Code::Unknown];
            // What a GOAWAY without an error came before is called so by the client itself.
            let is_turned_away = status.message().contains("h2 protocol error")
                && format!("{status:?}").contains("GoAway(b\"\", NO_ERROR, Remote)");
            assert!(again.contains(&status.code()) || is_turned_away, "{status:?}");
        }
    }
}

#[test]
fn the_page_s_listener_is_bounded_as_well() {
    let data = tempfile::tempdir().expect("a folder");
    let few = Collector::start_in(data, &["--connections-max", "2"]);
    let silent = [connect(&few.page()), connect(&few.page())];
    eventually("a probe is answered", || {
        let url = format!("{}/healthz", few.page());
        reqwest::blocking::get(url).is_ok_and(|answer| answer.status() == 200).then_some(())
    });
    let closed = silent.iter().filter(|stream| is_closed(stream)).count();
    assert!(closed >= 1, "one of the silent made room");
    assert!(
        get(&format!("{}/metrics", few.page())).text.contains("holdup_connections_turned_away")
    );
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it is short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The next frame's kind, stream and payload.
fn read_frame(connection: &mut TcpStream) -> (u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    connection.read_exact(&mut head).expect("a frame comes");
    let [a, b, c, kind, _flags, stream @ ..] = head;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).expect("it fits")];
    connection.read_exact(&mut payload).expect("it comes whole");
    (kind, u32::from_be_bytes(stream), payload)
}

#[test]
fn requests_of_one_connection_at_a_time_are_bounded() {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    let collector = collector();
    let mut client = connect(&collector.http());
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("it is taken");
    client.write_all(&frame(SETTINGS, 0, 0, &[])).expect("it is taken");
    let (kind, _, settings) = read_frame(&mut client);
    // Number 3 is how many streams there may be.
    let streams = settings.chunks(6).find(|setting| setting[..2] == [0, 3]);
    assert_eq!((kind, streams), (SETTINGS, Some(&[0, 3, 0, 0, 0, 128][..])));
    client.write_all(&frame(SETTINGS, 1, 0, &[])).expect("it is taken");
    // POST, http, and by their names: path, authority, content type. No body follows.
    let mut head = vec![0x83, 0x86];
    let texts: [(&[u8], &str); 3] =
        [(&[4], "/v1/traces"), (&[1], "x"), (&[0x0f, 0x10], "application/x-protobuf")];
    for (name, text) in texts {
        head.extend(
            [name, &[u8::try_from(text.len()).expect("it is short")], text.as_bytes()].concat(),
        );
    }
    for stream in (1..).step_by(2).take(129) {
        client.write_all(&frame(HEADERS, 4, stream, &head)).expect("it is taken");
    }
    let reset =
        std::iter::repeat_with(|| read_frame(&mut client)).find(|(kind, ..)| *kind == RESET);
    // The last, with REFUSED_STREAM: nothing was done with it.
    assert_eq!(reset, Some((RESET, 257, vec![0, 0, 0, 7])));
}
