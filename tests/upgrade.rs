//! What earlier versions left behind and send: their tables, their log, their requests. A folder of
//! `tests/upgrade/` is of the version that it is named after, and stays as it is.

mod wire;

use std::path::{Path, PathBuf};
use std::process::Command;

use holdup_tests::collector::Collector;
use holdup_tests::program;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/upgrade")).join(name)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The statements of a file, one by one.
fn statements(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(fixture(name)).expect("there");
    let all = text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty());
    all.map(str::to_owned).collect()
}

#[test]
fn a_database_of_0_1_0_is_migrated_and_gives_the_same_answers() {
    let engine = Collector::start_in(folder(), &[]);
    engine.sql("CREATE DATABASE upg");
    for statement in statements("0.1.0/schema.sql").iter().chain(&statements("0.1.0/rows.sql")) {
        engine.sql(statement);
    }
    let url = engine.clickhouse();
    let of_database = ["--clickhouse-url", url.as_str(), "--clickhouse-database", "upg"];
    let later = Collector::start_in(folder(), &of_database);
    let steps = engine.sql("SELECT count(), max(version) FROM upg.schema_migrations FINAL");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/../queries/schema");
    let known = std::fs::read_dir(schema).expect("there").count();
    assert_eq!(steps, format!("{known}\t{known}"), "each step was applied, and none twice");
    let top = later.ask("top?service=shop");
    assert_eq!(top.len(), 4, "{top:?}");
    // Of 1,000 polls of 20 ms, ten had not returned: those of the function whose turn it was.
    let calls = |name: &str| {
        let row = top.iter().find(|row| row["function"] == name).expect("a row");
        (row["calls"].as_u64(), row["blocked_ns"].as_u64())
    };
    assert_eq!(calls("shop::f0"), (Some(250), Some(5_000_000_000)), "{top:?}");
    let rollups = "SELECT (SELECT sum(calls) FROM upg.functions_1m), \
                   (SELECT sum(calls) FROM upg.functions_1h), \
                   (SELECT sum(calls) FROM upg.services_1h), \
                   (SELECT count() FROM upg.poll_spans FINAL WHERE stall), \
                   (SELECT sum(calls) FROM upg.poll_histograms)";
    assert_eq!(engine.sql(rollups), "990\t990\t990\t10\t4000");
    let stacks = later.ask("stacks?service=shop&function=shop::f0");
    assert_eq!(stacks.len(), 1, "{stacks:?}");
    let muted = "SELECT reason FROM upg.mutes FINAL WHERE active AND function = 'shop::f3'";
    assert_eq!(engine.sql(muted), "known");
}

#[test]
fn a_log_of_0_1_0_is_read_and_stored() {
    let data = folder();
    let log = data.path().join("log");
    std::fs::create_dir(&log).expect("made");
    std::fs::copy(fixture("0.1.0/log.bin"), log.join("000000000001.log")).expect("copied");
    let collector = Collector::start(data.path(), &[]);
    let stored = "SELECT (SELECT count() FROM poll_spans FINAL), \
                  (SELECT sum(calls) FROM poll_histograms)";
    assert_eq!(collector.sql(stored), "2\t182", "{}", collector.log());
}

#[test]
fn a_log_of_a_later_version_is_refused_with_what_to_do_and_left_as_it_is() {
    let data = folder();
    let log = data.path().join("log");
    std::fs::create_dir(&log).expect("made");
    let file = log.join("000000000001.log");
    std::fs::copy(fixture("log-of-version-2.bin"), &file).expect("copied");
    let mut command = Collector::command(data.path(), &[]);
    let ran = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success(), "{said}");
    assert!(said.contains("is of version 2, and this holdup reads version 1 only"), "{said}");
    assert!(said.contains("let the one that wrote it empty it"), "{said}");
    let before = std::fs::read(fixture("log-of-version-2.bin")).expect("there");
    assert_eq!(std::fs::read(&file).expect("there"), before);
}

fn post(collector: &Collector, signal: &str, body: &Path) {
    let body = std::fs::read(body).expect("there");
    let client = reqwest::blocking::Client::new();
    let request = client
        .post(format!("{}/v1/{signal}", collector.http()))
        .header("content-type", "application/x-protobuf");
    let answer = request.body(body).send().expect("an answer");
    assert_eq!(answer.status(), 200);
    // Full success is an empty message: nothing was left out.
    assert_eq!(answer.bytes().expect("a body").len(), 0);
}

#[test]
fn requests_of_the_crate_0_1_0_are_stored_whole() {
    let collector = Collector::start_in(folder(), &[]);
    post(&collector, "traces", &fixture("0.1.0/traces.bin"));
    post(&collector, "metrics", &fixture("0.1.0/metrics.bin"));
    let poll = "SELECT service, function, line, self_ns, runqueue_ns, cause, blame_crate, task_id, \
                worker, hex(stack_id), stall, scope_version FROM poll_spans FINAL";
    let is = "demo\tholdup_demo::faults::sleeps_in_handler\t31\t61814000\t1781000\tsleep\t\
              holdup_demo\t405\t3\t6571DA797007215A\tfalse\t0.1.0";
    assert_eq!(collector.sql(poll), is);
    let frames = "SELECT frames[1], arrayExists(f -> f LIKE '%sleeps_in_handler%', frames) \
                  FROM stacks FINAL";
    assert_eq!(collector.sql(frames), "clock_nanosleep\t1");
    let polls = "SELECT sum(calls), uniqExact(function) FROM poll_histograms";
    assert_eq!(collector.sql(polls), "182\t10");
    assert_eq!(collector.sql("SELECT count() FROM runtime_gauges"), "6");
}

/// Runs a script of `deploy/clickhouse` and gives its exit code and all that it says.
fn script(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/clickhouse/").to_owned() + name;
    let ran = Command::new(path).args(arguments).output().expect("it runs");
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8(said).expect("UTF-8"))
}

#[test]
fn a_backup_that_is_restored_gives_the_same_answers() {
    let from = Collector::start_in(folder(), &[]);
    post(&from, "traces", &fixture("0.1.0/traces.bin"));
    post(&from, "metrics", &fixture("0.1.0/metrics.bin"));
    let rows = "SELECT (SELECT groupArray(function) FROM poll_spans FINAL), \
                (SELECT sum(calls) FROM functions_1m), (SELECT sum(calls) FROM functions_1h), \
                (SELECT count() FROM stacks FINAL), (SELECT sum(calls) FROM poll_histograms)";
    let before = from.sql(rows);
    assert!(before.ends_with("\t1\t1\t1\t182"), "{before}");
    let out = folder();
    let tar = out.path().join("holdup.tar");
    let tar = tar.to_str().expect("UTF-8");
    let (code, said) = script("backup.sh", &[&from.clickhouse(), tar]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = script("backup.sh", &[&from.clickhouse(), tar]);
    assert!(code == Some(1) && said.contains("is there already"), "{said}");

    let into = Collector::start_in(folder(), &[]);
    let url = into.clickhouse();
    let fresh = ["migrate", "--clickhouse-url", &url, "--clickhouse-database", "restored"];
    let program = program("holdup").expect("built");
    assert!(Command::new(program).args(fresh).status().expect("it runs").success());
    let restore = |database: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/clickhouse/restore.sh");
        let mut command = Command::new(script);
        command.args([&url, tar]).env("HOLDUP_CLICKHOUSE_DATABASE", database);
        let ran = command.output().expect("it runs");
        let said = [ran.stdout, ran.stderr].concat();
        (ran.status.code(), String::from_utf8(said).expect("UTF-8"))
    };
    let (code, said) = restore("restored");
    assert_eq!(code, Some(0), "{said}");
    let of_copy = rows.replace("FROM ", "FROM restored.");
    assert_eq!(into.sql(&of_copy), before);
    let (code, said) = restore("restored");
    assert!(code == Some(1) && said.contains("restore into an empty database"), "{said}");
    assert_eq!(into.sql(&of_copy), before, "a second time changes nothing");
    let (code, said) = restore("nothing");
    assert!(code == Some(1) && said.contains("holdup migrate"), "{said}");
}
