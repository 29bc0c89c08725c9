//! The examples, as a reader runs them: without a collector.

use std::path::PathBuf;
use std::process::Command;

/// The folder of the examples, which are built if they are not there.
fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    if !program.exists() {
        let build = ["build", "--package", "holdup", "--example", name];
        assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    }
    program
}

/// What an example says on stderr.
fn run(name: &str) -> String {
    let mut example = Command::new(built(name));
    let output = example.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn each_names_what_blocks_in_a_line_of_the_log() {
    for (example, function) in [
        ("plain_tokio", "plain_tokio::blocks"),
        ("axum_service", "axum_service::report"),
        ("tonic_service", "tonic_service::Shop::checkout"),
        ("tracing_layer", "tracing_layer::checkout"),
    ] {
        let log = run(example);
        let line =
            log.lines().find(|line| line.contains(function)).unwrap_or_else(|| panic!("{log}"));
        assert!(line.contains("WARN") && line.contains("its thread for"), "{line}");
        assert!(!log.contains("::waits"), "{log}");
    }
}
