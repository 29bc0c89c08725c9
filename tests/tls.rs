//! TLS on every listener: who is served, who is not, and how a certificate follows another.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use holdup_tests::collector::{Collector, PATIENCE, eventually, signal};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::notify::authority::Authority;

/// The address of a listener that speaks TLS.
pub(crate) fn https(url: &str) -> String {
    url.replace("http://127.0.0.1", "https://localhost")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A collector with a certificate of the authority, and with further arguments.
fn started(data: &Path, authority: &Authority, more: &[&str]) -> Collector {
    let (cert, key) = authority.issued_files(data, "server");
    let arguments = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    Collector::start(data, &[&arguments, more].concat())
}

/// Bases of the three listeners.
fn bases(collector: &Collector) -> [String; 3] {
    [collector.grpc(), collector.http(), collector.page()].map(|url| https(&url))
}

/// The number of a metric, over TLS.
fn number(client: &reqwest::blocking::Client, collector: &Collector, line: &str) -> u64 {
    let url = format!("{}/metrics", https(&collector.page()));
    let text = client.get(url).send().expect("it answers").text().expect("text");
    let found = text.lines().find_map(|it| it.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or(0)
}

/// An empty request of traces in JSON.
fn send(client: &reqwest::blocking::Client, collector: &Collector) -> reqwest::Result<u16> {
    let url = format!("{}/v1/traces", https(&collector.http()));
    let request = client.post(url).header("content-type", "application/json").body("{}");
    request.send().map(|answer| answer.status().as_u16())
}

#[test]
fn every_listener_speaks_tls_and_nothing_else() {
    let data = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(&["localhost"]);
    let collector = started(data.path(), &authority, &[]);
    let client = authority.client();
    for base in bases(&collector) {
        // HTTP/2 is agreed on by ALPN.
        let answer = client.get(&base).send().expect("it answers");
        assert_eq!(answer.version(), reqwest::Version::HTTP_2, "{base}");
        let plain = base.replace("https://localhost", "http://127.0.0.1");
        assert!(reqwest::blocking::get(&plain).is_err(), "{plain} answers without TLS");
        assert!(Authority::new(&[]).client().get(&base).send().is_err(), "another authority");
    }
    assert_eq!(send(&client, &collector).expect("it answers"), 200);
    let failed = "holdup_tls_handshakes_failed_total{reason=\"refused\"}";
    assert!(number(&client, &collector, failed) >= 3);

    let ca = data.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let page = https(&collector.page());
    let mut query = Command::new(holdup_tests::program("holdup").expect("built"));
    query.args(["query", "top", "--page", &page, "--ca-file", text(&ca)]);
    let ran = query.output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn opentelemetrys_sdk_for_python_sends_over_tls() {
    let data = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(&["localhost"]);
    let collector = started(data.path(), &authority, &[]);
    let ca = data.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let script = "
import sys
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
span = TracerProvider().get_tracer('x').start_span('y')
span.end()
for exporter in [Grpc(endpoint=sys.argv[1]), Http(endpoint=sys.argv[2] + '/v1/traces')]:
    assert exporter.export([span]) == SpanExportResult.SUCCESS
";
    let [grpc, http, _] = bases(&collector);
    let ran = Command::new(holdup_tests::python().expect("a Python"))
        .args(["-c", script, &grpc, &http])
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca)
        // The library below would rather believe these.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .output()
        .expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn clients_without_a_certificate_of_the_authority_are_not_served() {
    let data = tempfile::tempdir().expect("a folder");
    let (authority, clients) = (Authority::new(&["localhost"]), Authority::new(&["x"]));
    let ca = data.path().join("clients.pem");
    std::fs::write(&ca, clients.pem()).expect("written");
    let collector = started(data.path(), &authority, &["--tls-client-ca", text(&ca)]);
    let strangers = [authority.client(), authority.client_showing(&authority.issued())];
    let known = authority.client_showing(&clients.issued());
    for base in bases(&collector) {
        for stranger in &strangers {
            assert!(stranger.get(&base).send().is_err(), "{base}");
        }
        assert!(known.get(&base).send().is_ok(), "{base}");
    }
    assert_eq!(send(&known, &collector).expect("it answers"), 200);
}

/// The certificate that a new connection is shown.
fn shown(collector: &Collector, authority: &Authority) -> CertificateDer<'static> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("PEM"))
        .expect("one");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().expect("a name");
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = TcpStream::connect(collector.http().trim_start_matches("http://"));
    let stream = stream.as_mut().expect("it listens");
    while tls.is_handshaking() {
        tls.complete_io(stream).expect("they agree");
    }
    tls.peer_certificates().expect("shown")[0].clone().into_owned()
}

#[test]
fn another_certificate_is_taken_without_losing_a_connection() {
    let data = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(&["localhost"]);
    let collector = started(data.path(), &authority, &[]);
    let client = authority.client();
    assert_eq!(send(&client, &collector).expect("it answers"), 200);
    let first = shown(&collector, &authority);
    let (cert, key) = authority.issued_files(data.path(), "server");
    // It notices by itself; SIGHUP is for those who don't want to wait.
    eventually("new connections are shown another", || {
        (shown(&collector, &authority) != first).then_some(())
    });
    let second = shown(&collector, &authority);
    authority.issued_files(data.path(), "server");
    signal(collector.pid(), "HUP");
    eventually("and another", || (shown(&collector, &authority) != second).then_some(()));
    assert_eq!(send(&client, &collector).expect("the old connection goes on"), 200);

    // What can't be used changes nothing, is told and counted.
    let third = shown(&collector, &authority);
    let good = std::fs::read(&key).expect("the key");
    std::fs::write(&key, "no key").expect("written");
    eventually("it is told", || {
        collector.log().contains("server.key: it has no private key in PEM").then_some(())
    });
    assert_eq!(number(&client, &collector, "holdup_tls_reload_ok"), 0);
    assert_eq!(shown(&collector, &authority), third);
    std::fs::write(&key, good).expect("written");
    eventually("it is well again", || {
        (number(&client, &collector, "holdup_tls_reload_ok") == 1).then_some(())
    });
    assert!(cert.exists());
}

#[test]
fn a_handshake_that_does_not_end_is_not_waited_for() {
    let data = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(&["localhost"]);
    let collector = started(data.path(), &authority, &[]);
    let mut silent = TcpStream::connect(collector.page().trim_start_matches("http://"));
    let silent = silent.as_mut().expect("it listens");
    silent.set_read_timeout(Some(PATIENCE)).expect("a time");
    // The head of a handshake record, and no more.
    silent.write_all(&[22, 3, 1, 2, 0]).expect("it reads");
    assert_eq!(silent.read(&mut [0; 8]).expect("it is closed"), 0);
    let late = "holdup_tls_handshakes_failed_total{reason=\"late\"}";
    assert_eq!(number(&authority.client(), &collector, late), 1);
}

/// What is said of a start that is refused.
fn refused(arguments: &[&str]) -> String {
    let data = tempfile::tempdir().expect("a folder");
    let ran = Command::new(holdup_tests::program("holdup").expect("built"))
        .args(["serve", "--data-dir", text(data.path())])
        .args(arguments)
        .env("RUST_LOG", "off")
        .output()
        .expect("it runs");
    assert_eq!(ran.status.code(), Some(78), "{ran:?}");
    let said = String::from_utf8(ran.stderr).expect("text");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn files_that_can_not_be_used_keep_it_from_starting() {
    let data = tempfile::tempdir().expect("a folder");
    let authority = Authority::new(&["localhost"]);
    let (cert, key) = authority.issued_files(data.path(), "server");
    let (_, other) = authority.issued_files(data.path(), "other");
    let (cert, key, other) = (text(&cert), text(&key), text(&other));
    for (arguments, said) in [
        (&["--tls-cert", cert][..], "--tls-cert and --tls-key go together"),
        (&["--tls-client-ca", cert], "add --tls-cert and --tls-key"),
        (&["--tls-cert", cert, "--tls-key", other], "it is not the certificate of the key"),
        (&["--tls-cert", key, "--tls-key", key], "line 1: it begins a PRIVATE KEY"),
    ] {
        let error = refused(arguments);
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn it_listens_beyond_loopback_only_where_something_says_who_may() {
    for flag in ["--grpc-listen", "--http-listen", "--page-listen"] {
        for address in ["0.0.0.0:0", "[::]:0", "10.0.0.1:4317"] {
            let error = refused(&[flag, address]);
            assert!(error.contains(&format!("{flag} {address} can be reached")), "{error}");
            assert!(
                error.contains("holdup token new") && error.contains("--tokens-file"),
                "{error}"
            );
        }
    }
    let error = refused(&["--engine-listen", "0.0.0.0:0", "--tokens-file", "/no/tokens"]);
    assert!(error.contains("/no/tokens"), "{error}");
    let data = tempfile::tempdir().expect("a folder");
    let file = data.path().join("tokens.toml");
    crate::access::token(&file, &["a"]);
    let error = refused(&["--engine-listen", "0.0.0.0:0", "--tokens-file", text(&file)]);
    assert!(error.contains("embedded ClickHouse asks nobody who they are"), "{error}");
    for let_in in [&["--tokens-file", text(&file)][..], &["--allow-unauthenticated"]] {
        let arguments = [&["--http-listen", "0.0.0.0:0"], let_in].concat();
        let collector = Collector::start(data.path(), &arguments);
        let url = collector.http().replace("0.0.0.0", "127.0.0.1");
        let body = json!({}).to_string();
        let json = [("content-type", "application/json")];
        let status = holdup_tests::collector::post(&format!("{url}/v1/traces"), &json, body).status;
        assert_eq!(status, if let_in.len() == 1 { 200 } else { 401 });
        assert!(collector.stop().success());
    }
}
