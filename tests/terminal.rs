//! The command in a shell: what it prints, writes and draws.

mod ci;
mod exports;
mod report;
mod shell;
mod tail;
mod tmux;
mod top;

use std::process::Command;

use holdup_tests::collector::{Collector, post};
use holdup_tests::program;
use serde_json::{Value, json};

/// What a command left when it ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs `holdup` to its end.
fn holdup(arguments: &[&str]) -> Ran {
    let mut command = Command::new(program("holdup").expect("built"));
    ran(command.args(arguments).env_remove("HOLDUP_PAGE"))
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code();
    Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("it is past 1970");
    u64::try_from(since.as_millis()).expect("it fits")
}

/// A poll as a service tells of it.
#[derive(Clone, Copy, Debug)]
struct Poll<'a> {
    id: u64,
    service: &'a str,
    function: &'a str,
    start_ms: u64,
    long_ms: u64,
    /// Leaf first, a line a frame.
    stack: &'a str,
    /// Not over yet.
    stall: bool,
}

impl Poll<'_> {
    /// One of 50 ms of the service `shop`.
    fn of(function: &str, id: u64, start_ms: u64) -> Poll<'_> {
        Poll { id, service: "shop", function, start_ms, long_ms: 50, stack: "", stall: false }
    }

    fn send(&self, collector: &Collector) {
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let mut attributes = vec![
            text("code.function.name", self.function),
            text("holdup.cause", "sleep"),
            json!({"key": "holdup.stall", "value": {"boolValue": self.stall}}),
        ];
        if !self.stack.is_empty() {
            attributes.push(text("code.stacktrace", self.stack));
            attributes.push(text("holdup.blame.function", "shop::db::wait"));
            attributes.push(text("holdup.stack.id", &format!("{:016x}", self.id)));
        }
        self.post(collector, &Value::from(attributes));
    }

    fn post(&self, collector: &Collector, attributes: &Value) {
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": [
                text("service.name", self.service), text("service.instance.id", "one")]},
            "scopeSpans": [{"scope": {"name": "holdup"}, "spans": [{
                "traceId": format!("{:032x}", self.id), "spanId": format!("{:016x}", self.id),
                "name": format!("poll {}", self.function),
                "startTimeUnixNano": format!("{}000000", self.start_ms),
                "endTimeUnixNano": format!("{}000000", self.start_ms + self.long_ms),
                "attributes": attributes}]}]}]});
        let json = [("content-type", "application/json")];
        let answer = post(&format!("{}/v1/traces", collector.http()), &json, body.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
