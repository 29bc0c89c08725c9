//! The way of a task dump: from the crate in a service, through the collector, to whoever asks.

use std::process::Command;
use std::time::Duration;

use holdup_tests::collector::{Collector, eventually, post};
use holdup_tests::program;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, logs_service_client as client,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::receiving::{FromText, PROTOBUF, collector, now_ns};

fn holdup(arguments: &[&str]) -> (bool, String) {
    let ran = Command::new(program("holdup").expect("built")).args(arguments).output();
    let ran = ran.expect("it runs");
    let text = if ran.status.success() { &ran.stdout } else { &ran.stderr };
    (ran.status.success(), String::from_utf8_lossy(text).into_owned())
}

#[test]
fn the_tasks_of_a_service_are_listed_from_its_dumps_and_from_its_endpoint() {
    let collector = collector();
    let dumps =
        holdup::TaskDumps::default().every(Duration::from_millis(200)).listen("127.0.0.1:0");
    let guard = holdup::builder()
        .service_name("dumping")
        .endpoint(collector.http())
        .task_dumps(dumps)
        .install()
        .expect("nothing else is installed here");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let idle = {
        let _inside = runtime.enter();
        holdup::spawn_named("shop::waits", std::future::pending::<()>())
    };
    let row = eventually("a dump is stored", || {
        let rows = collector.ask("tasks?service=dumping");
        rows.into_iter().find(|row| row["name"] == "shop::waits" && row["state"] == "idle")
    });
    assert_eq!((&row["service"], &row["reason"]), (&"dumping".into(), &"periodic".into()));
    assert_eq!(row["file"], "tests/tasks.rs", "{row}");
    assert!(row["task_id"].as_u64().expect("a number") > 0, "{row}");

    let (listed, text) = holdup(&["tasks", "--service", "dumping", "--page", &collector.page()]);
    assert!(listed && text.contains("shop::waits"), "{text}");
    let address = guard.tasks_address().expect("it listens").to_string();
    let (told, text) = holdup(&["tasks", "--endpoint", &address]);
    assert!(told && text.contains("shop::waits (tests/tasks.rs:"), "{text}");
    idle.abort();
    drop(guard);
    let (told, text) = holdup(&["tasks", "--endpoint", &address]);
    assert!(!told && text.contains("HOLDUP_TASKS_LISTEN"), "{text}");
    let (told, _) = holdup(&["tasks"]);
    assert!(!told, "whose tasks?");
}

#[test]
fn a_task_that_is_idle_for_too_long_is_told_by_a_dump_of_its_own() {
    let collector = collector();
    let guard = holdup::builder()
        .service_name("sticking")
        .endpoint(collector.http())
        .task_dumps(holdup::TaskDumps::default().stuck_after(Duration::from_secs(1)))
        .install()
        .expect("nothing else is installed here");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let idle = {
        let _inside = runtime.enter();
        holdup::spawn_named("shop::runs", async {
            loop {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        holdup::spawn_named("shop::sticks", std::future::pending::<()>())
    };
    let row = eventually("a dump is stored", || {
        let rows = collector.ask("tasks?service=sticking");
        rows.into_iter().find(|row| row["name"] == "shop::sticks")
    });
    assert_eq!((&row["state"], &row["reason"]), (&"idle".into(), &"stuck".into()), "{row}");
    let said = "SELECT any(stuck_after_ns) FROM tasks WHERE service = 'sticking'";
    assert_eq!(collector.sql(said), "1000000000");
    idle.abort();
    eventually("a last dump does not have it", || {
        let rows = collector.ask("tasks?service=sticking");
        rows.iter().all(|row| row["name"] == "shop::runs").then_some(())
    });
    drop(guard);
}

/// A dump of one task.
pub(crate) fn logs(scope: &str, state: &str) -> ExportLogsServiceRequest {
    let of = |key: &str, text: &str| {
        let value = Some(AnyValue::from_text(text));
        KeyValue { key: key.into(), value, ..KeyValue::default() }
    };
    let record = LogRecord {
        time_unix_nano: now_ns(),
        event_name: "holdup.task".into(),
        attributes: vec![of("holdup.task.name", "by hand"), of("holdup.task.state", state)],
        ..LogRecord::default()
    };
    let scope = InstrumentationScope { name: scope.into(), ..InstrumentationScope::default() };
    let scope_logs =
        vec![ScopeLogs { scope: Some(scope), log_records: vec![record], ..ScopeLogs::default() }];
    let resource =
        Resource { attributes: vec![of("service.name", "logging")], ..Resource::default() };
    let of_resource =
        ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![of_resource] }
}

pub(crate) fn send_logs(
    collector: &Collector,
    request: &ExportLogsServiceRequest,
) -> (u16, String) {
    let url = format!("{}/v1/logs", collector.http());
    let answer = post(&url, &[PROTOBUF], request.encode_to_vec());
    (answer.status, answer.text)
}

#[test]
fn logs_that_are_no_tasks_are_taken_with_a_warning_over_both_transports() {
    let collector = collector();
    let (status, text) = send_logs(&collector, &logs("some.logger", "idle"));
    assert!(status == 200 && text.contains("dropped these logs"), "{text}");
    assert!(collector.ask("tasks?service=logging").is_empty());
    let (status, text) = send_logs(&collector, &logs("holdup", "asleep"));
    assert!(status == 200 && text.contains("1 tasks can't be used"), "{text}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.expect("a runtime").block_on(async {
        let mut client =
            client::LogsServiceClient::connect(collector.grpc()).await.expect("it listens");
        client.export(logs("holdup", "ready")).await.expect("taken").into_inner()
    });
    assert_eq!(answer.partial_success, None);
    let row = collector.ask("tasks?service=logging").remove(0);
    assert_eq!((&row["name"], &row["state"]), (&"by hand".into(), &"ready".into()));
}
