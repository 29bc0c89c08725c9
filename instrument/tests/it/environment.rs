//! Environment variables, each in a process of its own.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use holdup::DetectBlocking;

use crate::receiver::{Poll, Receiver};
use crate::session::{block, names, on_one_thread};

/// Runs the ignored test [`service`] with these variables, and returns the polls that it sent.
fn run(variables: &[(&str, &str)]) -> Vec<Poll> {
    service_with(variables).polls()
}

fn service_with(variables: &[(&str, &str)]) -> Receiver {
    let receiver = Receiver::start();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str());
    process(&[&[endpoint], variables].concat());
    receiver
}

/// Runs the service with these variables, and returns what it said on stderr: of its way to the
/// collector, and not of what was found.
pub(crate) fn process(variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "environment::service", "--ignored", "--nocapture"])
        .env("HOLDUP_LOG", "0")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
#[ignore = "run by the others, in a process of its own"]
fn service() {
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let guard = holdup::init();
    on_one_thread(async { block(30) }.detect_blocking("it::thirty"));
    on_one_thread(async { block(15) }.detect_blocking("it::fifteen"));
    drop(guard);
}

#[test]
fn defaults() {
    let polls = run(&[]);
    assert_eq!(names(&polls), ["it::fifteen", "it::thirty"]);
    let name = polls[0].resource("service.name").unwrap();
    assert!(name.starts_with("unknown_service:it-"), "{name}");
}

#[test]
fn the_service_is_named_by_opentelemetrys_variables() {
    let polls = run(&[
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,service.version=1.2,team=a"),
    ]);
    assert_eq!(polls[0].resource("service.name").as_deref(), Some("shop"));
    assert_eq!(polls[0].resource("service.version").as_deref(), Some("1.2"));
    assert_eq!(polls[0].resource("team").as_deref(), Some("a"));
    let polls = run(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=other")]);
    assert_eq!(polls[0].resource("service.name").as_deref(), Some("other"));
}

#[test]
fn the_threshold_is_set_and_nonsense_leaves_the_default() {
    assert_eq!(names(&run(&[("HOLDUP_THRESHOLD", "25ms")])), ["it::thirty"]);
    assert_eq!(run(&[("HOLDUP_THRESHOLD", "soon")]).len(), 2);
}

#[test]
fn it_can_be_switched_off() {
    assert!(run(&[("HOLDUP_ENABLED", "0")]).is_empty());
    assert!(run(&[("OTEL_SDK_DISABLED", "true")]).is_empty());
}

#[test]
fn debug_mode_is_switched_on() {
    // The service's polls block, and are all there is of their futures: only debug mode tells.
    let told = |value| {
        let (lines, _receiver) = warnings(&[("HOLDUP_DEBUG", value), ("HOLDUP_LOG", "1")]);
        let of =
            |text| lines.iter().filter(|line| line.contains(text)).cloned().collect::<Vec<_>>();
        assert_eq!(of("in one poll").len(), 2, "{lines:?}");
        of("without giving it back")
    };
    let lines = told("1");
    assert_eq!(lines.len(), 2, "{lines:?}");
    for function in ["it::thirty", "it::fifteen"] {
        let line = lines.iter().find(|line| line.contains(function)).unwrap();
        assert!(line.contains("it/environment.rs:") && line.contains("yield_now"), "{line}");
    }
    assert!(told("0").is_empty());
}

#[test]
fn a_poll_without_an_installation_is_a_plain_poll() {
    let _alone = crate::session::alone();
    let polled = AtomicBool::new(false);
    let future = async { polled.store(true, Ordering::Relaxed) }.detect_blocking("it::plain");
    let mut future = std::pin::pin!(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert!(polled.load(Ordering::Relaxed));
}

#[test]
fn metrics_obey_the_variables_of_opentelemetry() {
    let receiver = service_with(&[
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-tenant=a%20b"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ]);
    let is_metrics = |head: &&String| head.starts_with("post /v1/metrics");
    let heads = receiver.heads();
    let head = heads.iter().find(is_metrics).unwrap();
    assert!(head.contains("x-tenant: a b") && head.contains("content-encoding: gzip"), "{head}");
    assert_eq!(receiver.histograms("it::thirty")[0].count, 1);

    let receiver = service_with(&[("OTEL_METRICS_EXPORTER", "none")]);
    assert!(receiver.reports().is_empty());
    assert_eq!(receiver.polls().len(), 2);
}

fn warnings(variables: &[(&str, &str)]) -> (Vec<String>, Receiver) {
    let receiver = Receiver::start();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str());
    let stderr = process(&[&[endpoint], variables].concat());
    let lines = stderr.lines().filter(|line| line.contains("WARN"));
    (lines.map(str::to_owned).collect(), receiver)
}

#[test]
fn each_signal_may_go_elsewhere() {
    let (traces, metrics) = (Receiver::start(), Receiver::start());
    let stderr = process(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/own/path", traces.url)),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &format!("{}/v1/metrics", metrics.url)),
    ]);
    assert_eq!(names(&traces.polls()), ["it::fifteen", "it::thirty"], "{stderr}");
    assert!(traces.heads().iter().all(|head| head.starts_with("post /own/path ")));
    assert!(traces.reports().is_empty() && metrics.polls().is_empty());
    assert!(!metrics.reports().is_empty(), "{stderr}");
}

#[test]
fn headers_and_compression_are_those_of_all_signals() {
    let receiver = service_with(&[
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc,x-tenant=a%2Cb"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
    ]);
    assert_eq!(receiver.polls().len(), 2);
    for head in receiver.heads() {
        assert!(head.contains("authorization: bearer abc"), "{head}");
        assert!(head.contains("x-tenant: a,b"), "{head}");
        let zipped = head.contains("content-encoding: gzip");
        assert_eq!(zipped, head.starts_with("post /v1/metrics"), "{head}");
    }
}

#[test]
fn what_is_not_supported_is_said_and_the_default_is_used() {
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no header"),
    ] {
        let (warnings, receiver) = warnings(&[(variable, value), ("HOLDUP_LOG", "0")]);
        assert_eq!(receiver.polls().len(), 2, "{warnings:?}");
        let [warning] = &warnings[..] else { panic!("{variable}: {warnings:?}") };
        assert!(warning.contains(variable), "{warning}");
    }
    let protobuf = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let (warnings, _) = warnings(&[protobuf, ("HOLDUP_LOG", "0")]);
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn a_receiver_that_is_too_slow_for_the_timeout_is_told_of() {
    // It takes connections, and nothing ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let variables =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("OTEL_EXPORTER_OTLP_TIMEOUT", "200")];
    let stderr = process(&variables);
    assert!(stderr.contains("WARN") && stderr.contains("timed out"), "{stderr}");
}

#[test]
fn a_redirect_is_no_delivery() {
    let receiver = Receiver::start();
    receiver.answer_first_with(302);
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str());
    let stderr = process(&[endpoint]);
    assert!(stderr.contains("it answers with status 302"), "{stderr}");
}

#[test]
fn thresholds_and_rules_that_are_both_unusable_leave_the_defaults_in_force() {
    let receiver = Receiver::start();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str()),
        ("HOLDUP_THRESHOLD", "soon"),
        ("HOLDUP_THRESHOLDS", "it::thirty"),
    ];
    let stderr = process(&variables);
    assert!(stderr.contains("the default of 10ms is used"), "{stderr}");
    assert!(stderr.contains("no rule of that variable is used"), "{stderr}");
    assert_eq!(names(&receiver.polls()), ["it::fifteen", "it::thirty"]);
}
