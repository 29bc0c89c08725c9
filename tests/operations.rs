//! What operators do: check, reload, read the log; and what the service manager is told.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdup_tests::collector::{Collector, PATIENCE, eventually, get, signal};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;

use crate::receiving::{PROTOBUF, request, send};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// What `holdup check` says of a configuration: code, stdout, stderr.
fn checked(config: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let at = folder();
    let path = at.path().join("holdup.toml");
    std::fs::write(&path, config).expect("written");
    let ran = Command::new(holdup_tests::program("holdup").expect("built"))
        .arg("check")
        .arg("--config")
        .arg(&path)
        .args(more)
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

#[test]
fn a_check_tells_what_would_not_start_and_what_can_not_be_reached() {
    let (code, out, _) = checked("", &[]);
    assert_eq!(code, Some(0));
    assert!(out.contains("tokens      none") && out.contains("127.0.0.1:4317"), "{out}");
    for (config, said) in [
        ("\nhttp_listn = '127.0.0.1:1'", "line 2: unknown field `http_listn`"),
        ("http_listn = ''", "did you mean `http_listen`?"),
        ("page_listen = '0.0.0.0:4380'", "nothing says who may"),
        ("tls_cert = 'x'", "go together"),
        ("kafka_group = 'x'", "add --kafka-brokers"),
        ("[[receivers]]\nname = 'a'\nslack = { url_file = '/no/such' }", "/no/such"),
    ] {
        let (code, out, error) = checked(config, &[]);
        assert_eq!((code, out.as_str()), (Some(78), ""), "{error}");
        assert!(error.contains(said) && error.lines().count() == 1, "{error}");
    }
    // A receiver that is there, one that is not, and a ClickHouse that is there.
    let clickhouse = Collector::start_in(folder(), &[]);
    let listens = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listens.local_addr().expect("its address");
    let away = "127.0.0.1:1";
    let config = format!(
        "clickhouse_url = '{}'\nkafka_brokers = ['{there}', '{away}']\n\
         [[receivers]]\nname = 'there'\nalertmanager = {{ urls = ['http://{there}'] }}\n\
         [[receivers]]\nname = 'away'\nwebhook = {{ url = 'http://{away}/x' }}\n\
         [[receivers]]\nname = 'program'\ncommand = {{ argv = ['sh', '-c', 'true'] }}\n\
         [route]\nreceiver = 'there'\n",
        clickhouse.clickhouse()
    );
    let (code, out, error) = checked(&config, &["--connect"]);
    assert_eq!(code, Some(1), "{out}{error}");
    for line in [
        "ok          ClickHouse: version 2",
        "as one of the group holdup",
        "ok          broker 127.0.0.1:",
        "failed      broker 127.0.0.1:1: 127.0.0.1:1 does not answer",
        "ok          receiver there (alertmanager): 127.0.0.1:",
        "failed      receiver away (webhook): 127.0.0.1:1 does not answer",
        "ok          receiver program (command): sh is there",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    drop(listens);
}

#[test]
fn a_reload_under_load_loses_and_refuses_nothing() {
    let data = folder();
    let tokens = data.path().join("tokens.toml");
    let token = crate::access::token(&tokens, &["a", "--role", "ingest", "--role", "read"]);
    let config = data.path().join("holdup.toml");
    std::fs::write(&config, format!("tokens_file = {tokens:?}\n")).expect("written");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let collector = Collector::start(data.path(), &["--config", &text(&config)]);
    let done = Arc::new(AtomicBool::new(false));
    let (url, ended) = (collector.grpc(), Arc::clone(&done));
    let bearer = format!("Bearer {token}");
    let sender = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let client = TraceServiceClient::connect(url).await.expect("it listens");
            let mut sent = 0;
            while !ended.load(Ordering::Relaxed) {
                let calls = (0..16).map(|n| {
                    let mut request = tonic::Request::new(request("reload", [sent + n]));
                    request.metadata_mut().insert("authorization", bearer.parse().expect("text"));
                    let mut client = client.clone();
                    tokio::spawn(async move { client.export(request).await })
                });
                for call in calls.collect::<Vec<_>>() {
                    let answer = call.await.expect("it runs").expect("it is taken");
                    assert!(answer.into_inner().partial_success.is_none());
                }
                sent += 16;
            }
            sent
        })
    });
    let metric = |line: &str| -> Option<u64> {
        let client = holdup_tests::collector::client();
        let request = client.get(format!("{}/metrics", collector.page())).bearer_auth(&token);
        let text = request.send().expect("it answers").text().expect("text");
        text.lines().find_map(|it| it.strip_prefix(line)?.trim().parse().ok())
    };
    for reload in 1..=10 {
        signal(collector.pid(), "HUP");
        eventually("it was read again", || {
            (metric("holdup_alert_reloads_total{outcome=\"ok\"}") == Some(reload)).then_some(())
        });
    }
    // What waits for a restart is said, and nothing of it changes.
    let more = format!("tokens_file = {tokens:?}\nconnections_max = 7\nservices_max = 3\n");
    std::fs::write(&config, more).expect("written");
    signal(collector.pid(), "HUP");
    eventually("it is said", || {
        let log = collector.log();
        let of = |what: &str| log.contains(&format!("{what} changed, which waits for a restart"));
        (of("a setting of connections") && of("a setting of batches, names or episodes"))
            .then_some(())
    });
    done.store(true, Ordering::Relaxed);
    let sent: u64 = sender.join().expect("all were taken");
    assert!(sent > 100, "{sent}");
    assert_eq!(metric("holdup_poll_spans_total"), Some(sent));
    assert!(collector.stop().success());
    let again = Collector::start(data.path(), &[]);
    let count = "SELECT uniqExact(span_id) FROM poll_spans WHERE service = 'reload'";
    assert_eq!(again.sql(count), sent.to_string());
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_reloads_lives_and_stops() {
    let data = folder();
    let path = data.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(PATIENCE)).expect("a time");
    let mut command = Collector::command(data.path(), &[]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let told = || {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).expect("it is told");
        String::from_utf8(bytes[..length].to_vec()).expect("text")
    };
    let next = |skipped: &str| {
        std::iter::repeat_with(told).find(|text| text != skipped).expect("without end")
    };
    let collector = Collector::spawn(data.path(), command);
    assert_eq!(told(), "READY=1\n");
    assert_eq!(get(&format!("{}/readyz", collector.page())).status, 200);
    assert_eq!(told(), "WATCHDOG=1\n");
    assert_eq!(told(), "WATCHDOG=1\n");
    signal(collector.pid(), "HUP");
    let reloading = next("WATCHDOG=1\n");
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("a time with it");
    assert!(time.trim().parse::<u64>().expect("a number") > 0);
    assert_eq!(next("WATCHDOG=1\n"), "READY=1\n");
    let body = request("manager", [1]).encode_to_vec();
    assert_eq!(send(&collector, &[PROTOBUF], body).status, 200);
    assert!(collector.stop().success());
    assert_eq!(next("WATCHDOG=1\n"), "STOPPING=1\n");
}

#[test]
fn the_log_is_json_where_that_is_wanted() {
    let data = folder();
    let collector = Collector::start(data.path(), &["--log-format", "json"]);
    let log = data.path().join("serve.log");
    assert!(collector.stop().success());
    let text = std::fs::read_to_string(log).expect("a log");
    assert!(text.lines().count() > 2, "{text}");
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        for key in ["timestamp", "level", "target", "fields"] {
            assert!(!line[key].is_null(), "{key}: {line}");
        }
    }
}

/// `--data-dir` with its variable and its default, where it has them.
fn settings_of(help: &str) -> Vec<(String, String, String)> {
    let between = |text: &str, start: &str, end: &str| {
        let after = text.split_once(start)?.1;
        Some(after.split_once(end)?.0.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let mut found = Vec::new();
    for block in help.split("\n      --").skip(1) {
        let flag = block.split(|c: char| c != '-' && !c.is_ascii_lowercase()).next();
        let flag = format!("--{}", flag.expect("a flag"));
        let variable = between(block, "[env: ", "=").unwrap_or_default();
        let default = between(block, "[default:", "]").unwrap_or_default();
        found.push((flag, variable, default));
    }
    found
}

#[test]
fn the_page_and_the_example_have_every_setting_and_no_other() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let ran = Command::new(holdup_tests::program("holdup").expect("built"))
        .args(["serve", "--help"])
        .output();
    let help = String::from_utf8(ran.expect("it runs").stdout).expect("text");
    let settings = settings_of(&help);
    assert!(settings.len() > 40, "{settings:?}");
    let page = std::fs::read_to_string(format!("{root}/docs/configuration.md")).expect("a page");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `--")).collect();
    let path = format!("{root}/deploy/holdup.toml");
    let example = std::fs::read_to_string(&path).expect("an example");
    for (flag, variable, default) in &settings {
        let row = format!("| `{flag}` | `{variable}` | ");
        let row = rows.iter().find_map(|line| line.strip_prefix(&row));
        let row = row.unwrap_or_else(|| panic!("docs/configuration.md has no {flag}"));
        let told = row.split(" |").next().expect("a cell").replace('`', "");
        assert_eq!(told, default.replace('`', ""), "{flag}");
        let key = flag[2..].replace('-', "_");
        let has = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
        let is_there = example.lines().any(has);
        assert_eq!(is_there, !["config", "log_format"].contains(&key.as_str()), "{key}");
    }
    assert_eq!(rows.len(), settings.len(), "a setting of the page is none");
    let ran = Command::new(holdup_tests::program("holdup").expect("built"))
        .args(["check", "--config", &path])
        .output()
        .expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}
