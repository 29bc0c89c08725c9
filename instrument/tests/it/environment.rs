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
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "environment::service", "--ignored", "--nocapture"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    receiver
}

#[test]
#[ignore = "run by the others, in a process of its own"]
fn service() {
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).finish();
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
