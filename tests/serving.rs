//! The collector's start, its end, and what comes back after either.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use holdup_tests::collector::{Collector, eventually, get, post, signal};
use holdup_tests::program;

/// Runs `holdup` to its end: exit code, and stderr.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(program("holdup").expect("built"))
        .args(arguments)
        .env("RUST_LOG", "off")
        .output()
        .expect("holdup runs");
    (ran.status.code(), String::from_utf8(ran.stderr).expect("text"))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The time, unix ms.
fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("it is past 1970");
    u64::try_from(since.as_millis()).expect("it fits")
}

/// One poll of 50 ms that began at `start`, unix ms.
fn send(collector: &Collector, service: &str, id: u64, start: u64) {
    let body = serde_json::json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": service}},
            {"key": "service.instance.id", "value": {"stringValue": "one"}}]},
        "scopeSpans": [{"scope": {"name": "holdup"}, "spans": [{
            "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "poll a::b",
            "startTimeUnixNano": format!("{start}000000"),
            "endTimeUnixNano": format!("{}000000", start + 50)}]}]}]});
    let json = [("content-type", "application/json")];
    let answer = post(&format!("{}/v1/traces", collector.http()), &json, body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn a_stopped_collector_has_written_all_that_it_took() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    let begin = now_ms() - 3_000;
    for id in 1..=20 {
        send(&collector, "stop", id, begin + id * 100);
    }
    assert!(collector.stop().success());
    let again = Collector::start(data.path(), &[]);
    assert_eq!(again.ask("top?service=stop")[0]["calls"], 20);
    assert_eq!(again.ask("episodes?service=stop")[0]["polls"], 20);
}

#[test]
fn episodes_go_on_after_a_crash() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    let begin = now_ms() - 3_000;
    send(&collector, "crash", 1, begin);
    eventually("the episode is written", || collector.ask("episodes?service=crash").pop());
    send(&collector, "crash", 2, begin + 500);
    // The second poll is acknowledged; its episode may or may not have been written.
    collector.kill();
    let again = Collector::start(data.path(), &[]);
    send(&again, "crash", 3, begin + 1_000);
    // Sent once more, as a client does whose answer got lost.
    send(&again, "crash", 2, begin + 500);
    let episodes = eventually("one episode holds all", || {
        let episodes = again.ask("episodes?service=crash");
        let whole = episodes.len() == 1 && episodes[0]["polls"] == 3;
        whole.then_some(episodes)
    });
    assert_eq!(episodes[0]["blocked_ns"], 150_000_000);
    eventually("it is closed when its time has come", || {
        (again.ask("episodes?service=crash")[0]["state"] == "closed").then_some(())
    });
}

#[test]
fn an_episode_that_was_left_open_is_closed_at_the_next_start() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    send(&collector, "left", 1, now_ms() - 1_200_000);
    let state = |collector: &Collector| {
        let from = now_ms() - 3_600_000;
        let episode = collector.ask(&format!("episodes?service=left&from={from}")).pop();
        episode.map(|episode| episode["state"].as_str().expect("a word").to_owned())
    };
    eventually("the episode is written", || state(&collector));
    // As a run leaves it that ends while the episode goes on.
    let open = "SELECT * REPLACE (false AS closed, revision + 1 AS revision) FROM episodes FINAL";
    collector.sql(&format!("INSERT INTO episodes {open}"));
    assert_eq!(state(&collector).as_deref(), Some("open"));
    assert!(collector.stop().success());
    let again = Collector::start(data.path(), &[]);
    eventually("it is closed", || (state(&again).as_deref() == Some("closed")).then_some(()));
}

#[test]
fn a_stall_shows_in_every_range_that_it_lasts_through() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    let start = now_ms() - 3_000_000;
    let span = |long_ms: u64, stalls: bool| {
        serde_json::json!({"resourceSpans": [{
            "resource": {"attributes": [
                {"key": "service.name", "value": {"stringValue": "deadlock"}}]},
            "scopeSpans": [{"scope": {"name": "holdup"}, "spans": [{
                "traceId": "1".repeat(32), "spanId": "1".repeat(16), "name": "poll a::b",
                "startTimeUnixNano": format!("{start}000000"),
                "endTimeUnixNano": format!("{}000000", start + long_ms),
                "attributes": [{"key": "holdup.stall", "value": {"boolValue": stalls}}]}]}]}]})
    };
    let sent = |body: serde_json::Value| {
        let json = [("content-type", "application/json")];
        let answer = post(&format!("{}/v1/traces", collector.http()), &json, body.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
        let row = collector.ask("top").remove(0);
        [&row["stalled"], &row["calls"], &row["blocked_ns"]].map(|n| n.as_u64().expect("a number"))
    };
    assert_eq!(sent(span(2_990_000, true)), [1, 1, 2_990_000_000_000]);
    assert_eq!(sent(span(2_995_000, false)), [0, 1, 2_995_000_000_000], "it ended in the range");
    assert_eq!(collector.ask(&format!("top?to={}", start + 60_000)).len(), 0);
}

#[test]
fn the_engine_comes_back_and_so_does_the_data() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    send(&collector, "engine", 1, now_ms() - 100);
    let engine = children(collector.pid()).pop().expect("the engine is a child");
    signal(engine, "KILL");
    eventually("it runs again", || children(collector.pid()).pop().filter(|pid| *pid != engine));
    eventually("it is ready again", || {
        (get(&format!("{}/readyz", collector.page())).status == 200).then_some(())
    });
    assert_eq!(collector.ask("top?service=engine")[0]["calls"], 1);
    send(&collector, "engine", 2, now_ms() - 100);
    assert_eq!(collector.ask("top?service=engine")[0]["calls"], 2);
    let metrics = get(&format!("{}/metrics", collector.page())).text;
    assert!(metrics.contains("holdup_engine_restarts 1"), "{metrics}");
}

/// Ids of the processes that this one started.
fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task");
    let tasks = std::fs::read_dir(path).expect("it runs");
    let text = tasks.map(|task| {
        std::fs::read_to_string(task.expect("a task").path().join("children")).unwrap_or_default()
    });
    let ids: Vec<String> = text.collect();
    ids.join(" ").split_whitespace().map(|id| id.parse().expect("a number")).collect()
}

#[test]
fn nothing_of_it_is_left_when_it_is_killed() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    let engine = children(collector.pid()).pop().expect("the engine is a child");
    collector.kill();
    eventually("the engine ends with its parent", || {
        (!Path::new(&format!("/proc/{engine}")).exists() || is_zombie(engine)).then_some(())
    });
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[test]
fn a_server_of_the_users_own_is_used_as_it_is() {
    let data = folder();
    let first = Collector::start(data.path(), &[]);
    let url = first.clickhouse();
    let of_server = ["--clickhouse-url", url.as_str(), "--clickhouse-database", "elsewhere"];
    let other = folder();
    let second = Collector::start(other.path(), &of_server);
    send(&second, "server", 1, now_ms() - 100);
    assert_eq!(second.ask("top?service=server")[0]["calls"], 1);
    assert!(first.ask("top?service=server").is_empty(), "another database");
    assert!(children(second.pid()).is_empty(), "no engine of its own");

    let migrate = ["migrate", "--clickhouse-url", &url, "--clickhouse-database", "elsewhere"];
    let ran = Command::new(program("holdup").expect("built")).args(migrate).output();
    assert_eq!(ran.expect("holdup runs").stdout, b"up to date\n");
    first.sql("INSERT INTO elsewhere.schema_migrations (version, name) VALUES (99, 'later')");
    let (code, error) = refused(&migrate);
    assert_eq!(code, Some(78));
    assert!(error.contains("schema version 99, but this holdup knows"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_folder_that_is_named_from_here_is_as_good_as_a_whole_path() {
    let here = folder();
    let mut command = Collector::command("data".as_ref(), &[]);
    command.current_dir(here.path());
    let collector = Collector::spawn(here.path(), command);
    send(&collector, "near", 1, now_ms() - 100);
    assert_eq!(collector.ask("top?service=near")[0]["calls"], 1);
    assert!(here.path().join("data/clickhouse").is_dir());
}

#[test]
fn what_keeps_it_from_starting_is_one_line_that_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let free = "127.0.0.1:0";
    let nobody = "http://127.0.0.1:9";
    let config = folder();
    let file = config.path().join("holdup.toml");
    std::fs::write(&file, "page_listn = '127.0.0.1:0'\n").expect("written");
    let file = file.to_str().expect("text");
    let listen = ["--grpc-listen", free, "--http-listen", free, "--page-listen", free];
    let log = config.path().join("log");
    let without = [&listen[..], &["--log-dir", log.to_str().expect("text")]].concat();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--grpc-listen", &address], 1, "choose another address with --grpc-listen"),
        (&["--grpc-listen", "here"], 2, "--grpc-listen"),
        (&["--no-such-flag"], 2, "--no-such-flag"),
        (&["--config", file], 78, "line 1: unknown field `page_listn`"),
        (&["--config", "/no/such/file"], 78, "cannot read /no/such/file"),
        (&["--clickhouse-user", "me"], 78, "add --clickhouse-url"),
        (&[&without[..], &["--clickhouse-url", nobody]].concat(), 1, "cannot reach ClickHouse at"),
    ];
    for (arguments, code, expected) in cases {
        let (ended, error) = refused(&[&["serve"], arguments].concat());
        assert_eq!(ended, Some(code), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        if code != 2 {
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

#[test]
fn wrong_credentials_are_told_as_such() {
    let data = folder();
    let password = data.path().join("password");
    std::fs::write(&password, "right\n").expect("written");
    let mut engine = Command::new(program("holdup").expect("built"))
        .args(["engine", "run", "--listen", "127.0.0.1:0", "--user", "watcher"])
        .arg("--path")
        .arg(data.path().join("data"))
        .arg("--password-file")
        .arg(&password)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the engine starts");
    let mut line = String::new();
    let stdout = engine.stdout.take().expect("a pipe");
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("a line");
    let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let url = format!("http://{}", ready["listening"].as_str().expect("an address"));
    let wrong = data.path().join("wrong");
    std::fs::write(&wrong, "wrong\n").expect("written");
    let migrate = |file: &Path| {
        let file = file.to_str().expect("text");
        let user = ["--clickhouse-user", "watcher", "--clickhouse-password-file", file];
        refused(&[&["migrate", "--clickhouse-url", &url][..], &user].concat())
    };
    let (denied, error) = migrate(&wrong);
    let (allowed, _) = migrate(&password);
    signal(engine.id(), "TERM");
    assert!(engine.wait().expect("it is our child").success());
    assert_eq!(denied, Some(1));
    assert!(error.contains("refuses user \"watcher\""), "{error}");
    assert!(error.contains("--clickhouse-password-file") && error.lines().count() == 1, "{error}");
    assert_eq!(allowed, Some(0));
}

#[test]
fn bytes_a_row() {
    let data = folder();
    let collector = Collector::start(data.path(), &[]);
    let (rows, slices) = (1_000_000, 10);
    for _ in 0..slices {
        let slice = rows / slices;
        collector.sql(&format!(
            "INSERT INTO poll_spans (
            start, duration_ns, self_ns, cpu_ns, runqueue_ns, threshold_ns, service, environment,
            service_version, instance, function, file, line, cause, blame_function, blame_crate,
            stack_id, victims, thread_id, thread_name, runtime, worker, task_id, task_name,
            task_spawned_at, stall, trace_id, span_id, parent_span_id, scope_version
        ) SELECT
            fromUnixTimestamp64Nano(toUnixTimestamp64Nano(now64(9)) - toInt64(rand64(1) % 86400e9)),
            (10e6 + pow(rand(2) % 1000, 3) / 10)::UInt64 + rand(3) % 1000000 AS duration,
            duration, duration / 3, duration / 50, 10000000,
            'service-' || toString(rand(4) % 20), 'production', '1.4.' || toString(rand(5) % 3),
            'instance-' || toString(rand(6) % 100), 'app::handler_' || toString(rand(7) % 500),
            'src/app.rs', rand(7) % 500, ['cpu', 'sleep', 'lock', 'disk'][rand(8) % 4 + 1],
            'app::read_' || toString(rand(7) % 100), 'app', cityHash64(rand(7) % 500),
            rand(9) % 5, 1000 + rand(10) % 16, 'tokio-rt-worker', 'main', rand(11) % 8,
            rand(12) % 100000, '', 'src/main.rs:12:5', false,
            randomFixedString(16), randomFixedString(8), randomFixedString(8), '0.1.0'
        FROM numbers({slice})
        SETTINGS max_partitions_per_insert_block = 10"
        ));
    }
    for table in ["poll_spans", "functions_1m"] {
        collector.sql(&format!("OPTIMIZE TABLE {table} FINAL"));
        let bytes = collector.sql(&format!(
            "SELECT sum(bytes_on_disk) / {rows} FROM system.parts
             WHERE database = 'holdup' AND table = '{table}' AND active"
        ));
        println!("{table}: {bytes} bytes on disk a poll span");
        assert!(bytes.parse::<f64>().expect("a number") < 70.0, "{table}: {bytes}");
    }
}
