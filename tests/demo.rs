//! First light: from a blocked thread of the demo service to a row and a line on the page.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use holdup_tests::collector::{Collector, eventually, signal};
use holdup_tests::program;
use serde_json::Value;

/// How long the demo runs: each fault is called about once a second.
const DURATION: &str = "25s";

/// What the demo service measured of itself.
#[derive(Debug)]
struct Truth {
    calls: u64,
    blocked_ns: u64,
    culprit: bool,
}

/// Runs the demo against a collector and returns what it says of itself when it ends.
fn run_demo(collector: &Collector) -> BTreeMap<String, Truth> {
    let mut demo = Command::new(program("holdup-demo").expect("built"))
        .args(["--listen", "127.0.0.1:0", "--duration", DURATION])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the demo starts");
    let stdout = demo.stdout.take().expect("a pipe");
    let last = BufReader::new(stdout).lines().map_while(Result::ok).last().expect("a last line");
    assert!(demo.wait().expect("it is our child").success());
    let truth: Vec<Value> = serde_json::from_str(&last).expect("the truth is JSON");
    let number = |row: &Value, name: &str| row[name].as_u64().expect("a number");
    let row = |row: Value| {
        let calls = number(&row, "calls");
        let truth = Truth {
            calls,
            blocked_ns: number(&row, "blocked_ns"),
            culprit: row["culprit"].as_bool().expect("true or false"),
        };
        (row["function"].as_str().expect("a name").to_owned(), truth)
    };
    truth.into_iter().map(row).collect()
}

#[test]
fn every_culprit_is_found_and_no_innocent() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let truth = run_demo(&collector);
    let (culprits, innocents): (Vec<_>, Vec<_>) = truth.iter().partition(|(_, t)| t.culprit);
    assert_eq!((culprits.len(), innocents.len()), (6, 4), "{truth:?}");
    assert!(truth.values().all(|t| t.calls > 3), "each was called several times: {truth:?}");

    // The demo flushed before it ended, and an acknowledged span can be asked for.
    let found: BTreeMap<String, Value> = collector
        .ask("top?service=demo")
        .into_iter()
        .map(|row| (row["function"].as_str().expect("a name").to_owned(), row))
        .collect();
    for (function, truth) in &culprits {
        let row = found.get(*function).unwrap_or_else(|| panic!("{function} was not found"));
        assert_eq!(row["calls"], truth.calls, "{function}");
        let (found, true_ns) = (row["blocked_ns"].as_f64().expect("ns"), truth.blocked_ns);
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no 53 bits")]
        let ratio = found / true_ns as f64;
        assert!((0.9..1.1).contains(&ratio), "{function}: {found} ns found, {true_ns} true");
    }
    for (function, _) in &innocents {
        let blamed = found.get(*function);
        assert!(blamed.is_none(), "{function} is innocent, however busy the machine: {blamed:?}");
    }
    assert!(found.keys().all(|f| truth.contains_key(f)), "nothing else is blamed: {found:?}");
    let episodes = collector.ask("episodes?service=demo");
    let of_culprits = |e: &&Value| e["function"].as_str().is_some_and(|f| truth[f].culprit);
    let polls = |e: &Value| e["polls"].as_u64().expect("a count");
    let polls: u64 = episodes.iter().filter(of_culprits).map(polls).sum();
    assert_eq!(polls, culprits.iter().map(|(_, t)| t.calls).sum::<u64>());

    let names = |all: &[(&String, &Truth)]| {
        all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",")
    };
    page_in_a_browser(&collector, &names(&culprits), &names(&innocents));
}

/// The page's own tests, against this collector, in Chromium.
fn page_in_a_browser(collector: &Collector, culprits: &str, innocents: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collector/page");
    assert!(
        page.join("node_modules").exists(),
        "the page's tests are not installed: run `npm ci` in collector/page, or `cargo xtask test`"
    );
    let ran = Command::new("npm")
        .args(["test", "--silent"])
        .current_dir(page)
        .env("HOLDUP_PAGE", collector.page())
        .env("EXPECT_CULPRITS", culprits)
        .env("EXPECT_INNOCENTS", innocents)
        .output()
        .expect("npm runs");
    assert!(
        ran.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// Processes below this one, however deep.
fn descendants(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut found = Vec::new();
    for task in tasks.into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in text.split_whitespace().map(|id| id.parse().expect("a number")) {
            found.push(child);
            found.extend(descendants(child));
        }
    }
    found
}

/// Whether a process still runs this repository's programs: an id may have been given anew.
fn runs(pid: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.starts_with("holdup")
}

#[test]
fn the_demo_ends_with_ctrl_c_and_leaves_nothing_running() {
    let mut demo = Command::new(program("xtask").expect("built"))
        // Another build would leave out what these tests have the collector built with.
        .args(["demo", "--free-ports", "--no-build"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the demo starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("a pipe")).lines();
    let page = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("page ")));
    assert!(page.is_some(), "it prints the page's address");
    let table = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("holdup_demo::")));
    assert!(table.is_some(), "it prints the top functions");
    let started = descendants(demo.id());
    assert!(started.iter().filter(|pid| runs(**pid)).count() >= 3, "engine, collector, service");
    signal(demo.id(), "INT");
    // What it still prints must not block it.
    std::thread::spawn(move || lines.for_each(drop));
    let status = eventually("it ends", || demo.try_wait().expect("it is our child"));
    assert!(status.success(), "{status}");
    eventually("nothing is left running", || (!started.iter().any(|p| runs(*p))).then_some(()));
}

/// What a service in another repository adds: a path, a line in `main`, and an attribute.
const OTHER_MAIN: &str = r#"
#[tokio::main]
async fn main() {
    let _guard = holdup::init();
    reads_settings().await;
}

#[holdup::detect_blocking]
async fn reads_settings() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}
"#;

#[test]
fn a_service_in_another_repository_appears_on_the_page() {
    let data = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("it exists");
    let service = data.path().join("elsewhere");
    std::fs::create_dir_all(service.join("src")).expect("a folder");
    std::fs::write(service.join("src/main.rs"), OTHER_MAIN).expect("written");
    let manifest = format!(
        "[package]\nname = \"elsewhere\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nholdup = {{ path = {:?} }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n",
        root.join("instrument")
    );
    std::fs::write(service.join("Cargo.toml"), manifest).expect("written");
    // The versions that the workspace was built with are there already.
    std::fs::copy(root.join("Cargo.lock"), service.join("Cargo.lock")).expect("copied");

    let target = holdup_tests::target_dir().expect("known").join("elsewhere");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--target-dir"]).arg(&target).current_dir(&service);
    let built = cargo.output().expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let collector = Collector::start(data.path(), &[]);
    let mut ran = Command::new(target.join("debug/elsewhere"))
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http())
        .env("OTEL_SERVICE_NAME", "elsewhere")
        .spawn()
        .expect("it starts");
    assert!(ran.wait().expect("it is our child").success());
    let rows = collector.ask("top?service=elsewhere");
    assert_eq!(rows[0]["function"], "elsewhere::reads_settings");
    let blocked = Duration::from_nanos(rows[0]["blocked_ns"].as_u64().expect("ns"));
    assert!(blocked >= Duration::from_millis(50), "{blocked:?}");
}
