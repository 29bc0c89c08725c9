//! Alerts, from what a service sends to what is told: real collectors, the real engine.

mod checking;
pub(crate) mod hostile;
mod listed;
mod reloading;
mod restarts;
mod silences;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use holdup_tests::collector::{Collector, eventually, get, post};
use holdup_tests::program;
use serde_json::Value;

use crate::durable::engine::Engine;
use crate::receiving::{JSON, now_ns};

fn holdup(arguments: &[&str]) -> Output {
    let ran = Command::new(program("holdup").expect("built")).args(arguments).output();
    ran.expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// A span of a poll of `function` that began then; one that has not returned unless it ended.
fn poll(service: &str, function: &str, id: u64, start_ns: u64, ended_ns: Option<u64>) -> String {
    let end_ns = ended_ns.unwrap_or(start_ns + 20_000_000);
    let stall = ended_ns.is_none();
    format!(
        r#"{{"resourceSpans": [{{"resource": {{"attributes": [{{"key": "service.name", "value":
            {{"stringValue": "{service}"}}}}]}}, "scopeSpans": [{{"scope": {{"name": "holdup"}},
            "spans": [{{"traceId": "{id:032x}", "spanId": "{id:016x}", "name": "poll {function}",
            "startTimeUnixNano": "{start_ns}", "endTimeUnixNano": "{end_ns}", "attributes": [
            {{"key": "holdup.cause", "value": {{"stringValue": "sleep"}}}},
            {{"key": "code.stacktrace", "value": {{"stringValue":
                "clock_nanosleep\nstd::thread::sleep\n{function} at src/pay.rs:7"}}}},
            {{"key": "holdup.stack.id", "value": {{"stringValue": "00000000000000aa"}}}},
            {{"key": "holdup.stall", "value": {{"boolValue": {stall}}}}}]}}]}}]}}]}}"#
    )
}

fn send(collector: &Collector, body: String) {
    let answer = post(&format!("{}/v1/traces", collector.http()), &[JSON], body);
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// The alert of a rule about a service, as the panel shows it.
fn alert(collector: &Collector, name: &str, service: &str) -> Option<Value> {
    let rows = collector.ask(&format!("alerts?service={service}"));
    rows.into_iter().find(|row| row["alert"] == name)
}

fn is(row: Option<&Value>, state: &str) -> bool {
    row.is_some_and(|row| row["state"] == state)
}

/// A number of `/metrics`, by the beginning of its line.
fn number(collector: &Collector, line: &str) -> f64 {
    let text = get(&format!("{}/metrics", collector.page())).text;
    let found = text.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(' '));
    found.unwrap_or("0").parse().expect("a number")
}

#[test]
fn rules_that_come_along_are_good_and_fire_where_they_must() {
    let checked = holdup(&["rules", "check"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).contains("rules are good"), "{}", text(&checked.stdout));
    let folder = repository().join("tests/alerts");
    let files = std::fs::read_dir(&folder).expect("the tests of rules");
    let files: Vec<String> =
        files.map(|file| file.expect("a file").path().display().to_string()).collect();
    let files: Vec<String> = files.into_iter().filter(|path| path.ends_with(".yaml")).collect();
    assert!(files.len() >= 5, "{files:?}");
    let mut arguments = vec!["rules", "test"];
    arguments.extend(files.iter().map(String::as_str));
    let ran = holdup(&arguments);
    assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
}

#[test]
fn the_rules_and_the_test_that_the_page_shows_are_good() {
    let page = std::fs::read_to_string(repository().join("docs/alerting.md")).expect("the page");
    let blocks = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().expect("a folder");
    let [rules, tests] = ["shop.yaml", "tests/shop.yaml"].map(|name| folder.path().join(name));
    std::fs::create_dir(folder.path().join("tests")).expect("a folder");
    for (path, text) in [&rules, &tests].into_iter().zip(blocks) {
        std::fs::write(path, text).expect("written");
    }
    let path = |path: &Path| path.display().to_string();
    for arguments in [["rules", "check", &path(&rules)], ["rules", "test", &path(&tests)]] {
        let ran = holdup(&arguments);
        assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    }
}

#[test]
fn what_is_wrong_in_a_rule_file_is_told_with_its_line_and_a_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let rule = |rest: &str| format!("groups:\n- name: g\n  rules:\n  - alert: A\n{rest}");
    let keys = write("keys.yaml", &rule("    exprr: x\n"));
    let query =
        "    expr: |\n      SELECT service,\n        selff_ns AS value\n      FROM poll_spans\n";
    let sql = write("sql.yaml", &rule(query));
    let syntax = write("syntax.yaml", &rule("    expr: |\n      SELECT 1\n      FORM x y z\n"));
    let query = "    expr: SELECT service, self_ns AS value FROM poll_spans\n    annotations:\n      \
                 summary: '{{ $labels.servcie }}'\n";
    let columns = write("columns.yaml", &rule(query));
    let ran = holdup(&["rules", "check", &keys, &sql, &syntax, &columns]);
    assert_eq!(ran.status.code(), Some(1));
    let told = text(&ran.stderr);
    for expected in [
        "keys.yaml:5: unknown field `exprr`",
        "(did you mean `expr`?)",
        "sql.yaml:6: A: ",
        "selff_ns",
        "syntax.yaml:7: A: Syntax error",
        "columns.yaml:5: A: summary: there is no `$labels.servcie` (did you mean `service`?)",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in\n{told}");
    }
    let served = Collector::command(folder.path(), &["--alert-rules", &keys]).output();
    let served = served.expect("it runs");
    assert_eq!(served.status.code(), Some(78), "{}", text(&served.stderr));
    assert!(text(&served.stderr).contains("keys.yaml:5"), "{}", text(&served.stderr));
    assert_eq!(holdup(&["rules", "chekc"]).status.code(), Some(2));
    let tests = "tests:\n- name: wrong\n  alert_rule_test:\n  - alertname: HoldupWatchdog\n    \
                 eval_time: 0s\n";
    let tests = write("tests.yaml", tests);
    let ran = holdup(&["rules", "test", &tests]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stdout).contains("line 4: HoldupWatchdog at 0s: fires, and should not"));
}

#[test]
fn a_stall_pages_within_ten_seconds_of_its_threshold_and_is_over_when_it_returns() {
    let data = tempfile::tempdir().expect("a folder");
    let hook = Webhook::start();
    let config = hook.configuration(data.path());
    // As it is set for users, not for tests.
    let collector = Collector::start_in(data, &["--batch-interval", "2s", "--config", &config]);
    let (start_ns, began) = (now_ns(), Instant::now());
    send(&collector, poll("stalling", "stalling::pay", 7, start_ns, None));
    eventually("a page", || (hook.told("stalling", "firing") > 0).then_some(()));
    let delay = began.elapsed();
    assert!(delay >= Duration::from_secs(5), "it was told before its threshold: {delay:?}");
    assert!(delay <= Duration::from_secs(15), "{delay:?} from block to page");
    let row = eventually("the history has it", || {
        alert(&collector, "HoldupPollStalled", "stalling").filter(|row| is(Some(row), "firing"))
    });
    assert_eq!((&row["function"], &row["severity"]), (&"stalling::pay".into(), &"critical".into()));
    assert_eq!(number(&collector, "holdup_alert_began_to_firing_seconds_count"), 1.0);
    let measured = number(&collector, "holdup_alert_began_to_firing_seconds_sum");
    assert!((5.0..=15.0).contains(&measured), "{measured} s");
    let page = |collector: &Collector| {
        let paged = number(collector, "holdup_alert_began_to_page_seconds_count") == 1.0;
        paged.then(|| number(collector, "holdup_alert_began_to_page_seconds_sum"))
    };
    let page = eventually("the page is measured", || page(&collector));
    assert!((measured..=15.0).contains(&page), "{page} s");
    let told = format!("from block to page: {page:.1} s, of which {measured:.1} s until it fired");
    writeln!(std::io::stderr(), "{told}").expect("stderr is there");
    let annotations = "SELECT annotations['cause'], annotations['advice'] != '', \
                       annotations['stack'] LIKE 'clock_nanosleep%pay.rs:7' FROM alert_transitions \
                       WHERE labels['service'] = 'stalling' AND state = 'firing' FORMAT TSV";
    assert_eq!(collector.sql(annotations), "sleep\t1\t1");

    send(&collector, poll("stalling", "stalling::pay", 7, start_ns, Some(now_ns())));
    let resolved = || is(alert(&collector, "HoldupPollStalled", "stalling").as_ref(), "resolved");
    eventually("it is over", || resolved().then_some(()));
    let history = collector.ask("alert_history?service=stalling");
    let events: Vec<&str> = history.iter().filter_map(|row| row["event"].as_str()).collect();
    assert_eq!(events, ["resolved", "notified: sent", "firing"]);
    assert_eq!(hook.told("stalling", "firing"), 1, "once");
}

/// A receiver of webhooks for the lifetime of the tests.
struct Webhook {
    url: String,
    taken: Arc<Mutex<Vec<Value>>>,
    refuses: Arc<Mutex<Refuses>>,
}

/// What it does not take, and how often it did not.
#[derive(Default)]
struct Refuses {
    service: String,
    times: usize,
}

impl Webhook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let bodies = Arc::clone(&taken);
        let refuses = Arc::new(Mutex::new(Refuses::default()));
        let refused = Arc::clone(&refuses);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that breaks off is the sender's to make again.
                if let Ok(Some(body)) = take(&stream, &refused) {
                    bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body);
                }
            }
        });
        Self { url, taken, refuses }
    }

    /// From here on it refuses what tells of a service.
    fn refuse(&self, service: &str) {
        service.clone_into(&mut self.refuses.lock().expect("nobody panicked").service);
    }

    /// How often it refused.
    fn refused(&self) -> usize {
        self.refuses.lock().expect("nobody panicked").times
    }

    /// A configuration that sends all alerts to it.
    fn configuration(&self, folder: &Path) -> String {
        let path = folder.join("holdup.toml");
        let text = format!(
            "[[receivers]]\nname = 'hook'\nwebhook = {{ url = '{}' }}\n\n[route]\nreceiver = \
             'hook'\n",
            self.url
        );
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// As `configuration`, and it is told of changes at once.
    fn at_once(&self, folder: &Path) -> String {
        let path = self.configuration(folder);
        let text = std::fs::read_to_string(&path).expect("the configuration");
        let times = "group_wait = '0s'\ngroup_interval = '1s'\n";
        std::fs::write(&path, text + times).expect("written");
        path
    }

    /// How often it was told of a service's alerts in a state.
    fn told(&self, service: &str, status: &str) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let alerts = taken.iter().filter_map(|body| body["alerts"].as_array()).flatten();
        let of_it =
            |alert: &&Value| alert["labels"]["service"] == service && alert["status"] == status;
        alerts.filter(of_it).count()
    }
}

/// Reads a request of HTTP and answers it; gives its body when it is taken.
fn take(stream: &TcpStream, refuses: &Mutex<Refuses>) -> std::io::Result<Option<Value>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body: Value = serde_json::from_slice(&body)?;
    let mut refuses = refuses.lock().expect("nobody panicked");
    let mut services = body["alerts"].as_array().into_iter().flatten();
    let is_taken = services.all(|alert| alert["labels"]["service"] != refuses.service.as_str());
    refuses.times += usize::from(!is_taken);
    let status = if is_taken { "200 OK" } else { "503 Service Unavailable" };
    let mut stream = stream;
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes())?;
    Ok(is_taken.then_some(body))
}

/// Rules over a table of the test, asked each second; and failing queries told soon.
const SWITCHED: &str = "groups:
- name: switched
  interval: 1s
  rules:
  - alert: Switched
    expr: SELECT service, value FROM switch
    labels: {severity: warning}
  - alert: HoldupRuleFailing
    measure: rule_failing_seconds
    threshold: 2
    labels: {severity: warning}
";

fn switched(data: &Path) -> String {
    let path = data.join("switched.yaml");
    std::fs::write(&path, SWITCHED).expect("written");
    path.display().to_string()
}

const SWITCH: &str = "CREATE TABLE switch (service String, value Float64) ENGINE = Memory";

#[test]
fn a_query_that_fails_resolves_nothing_and_is_told() {
    let data = tempfile::tempdir().expect("a folder");
    let rules = switched(data.path());
    let collector = Collector::start_in(data, &["--alert-rules", &rules]);
    collector.sql(SWITCH);
    collector.sql("INSERT INTO switch VALUES ('on', 1)");
    let state = |name: &str, service: &str, state: &str| {
        is(alert(&collector, name, service).as_ref(), state).then_some(())
    };
    eventually("it fires", || state("Switched", "on", "firing"));

    collector.sql("DROP TABLE switch");
    eventually("the failure is told", || state("HoldupRuleFailing", "", "firing"));
    let failed = number(&collector, "holdup_rule_evaluations_total{outcome=\"failed\"}");
    assert!(failed >= 2.0, "{failed}");
    assert_eq!(number(&collector, "holdup_alert_rules_failing"), 1.0);
    assert!(state("Switched", "on", "firing").is_some(), "nobody knows that it is over");
    assert!(collector.log().contains("rule Switched can't be evaluated"));

    collector.sql(SWITCH);
    eventually("it is over", || state("Switched", "on", "resolved"));
    eventually("the rule works", || state("HoldupRuleFailing", "", "resolved"));
}

#[test]
fn a_restart_in_the_middle_tells_nothing_again() {
    let data = tempfile::tempdir().expect("a folder");
    let hook = Webhook::start();
    let config = hook.configuration(data.path());
    let start_ns = now_ns() - 6_000_000_000;
    let collector = Collector::start(data.path(), &["--config", &config]);
    send(&collector, poll("restarted", "restarted::pay", 9, start_ns, None));
    let fires = |collector: &Collector| {
        is(alert(collector, "HoldupPollStalled", "restarted").as_ref(), "firing").then_some(())
    };
    eventually("a page", || (hook.told("restarted", "firing") > 0).then_some(()));
    eventually("the history has it", || fires(&collector));
    // That a receiver took it is on disk a moment later than that it is to be sent.
    eventually("it is on disk that the page was taken", || {
        let kept = std::fs::read(data.path().join("alerts/notifications.json")).ok()?;
        let kept: Value = serde_json::from_slice(&kept).ok()?;
        (kept["waiting"] == Value::Array(Vec::new())).then_some(())
    });
    collector.kill();

    let collector = Collector::start(data.path(), &["--config", &config]);
    eventually("rules are evaluated", || {
        let asked = number(&collector, "holdup_rule_evaluations_total{outcome=\"ok\"}");
        (asked > 40.0).then_some(())
    });
    assert!(fires(&collector).is_some());
    assert_eq!(number(&collector, "holdup_alerts{state=\"firing\"}"), 2.0, "with the watchdog");
    assert_eq!(number(&collector, "holdup_alert_transitions_total{state=\"firing\"}"), 0.0);
    // What may not have been noted before is noted again: the same row, which the table replaces.
    let told = "SELECT count() FROM alert_transitions FINAL WHERE labels['service'] = 'restarted'";
    assert_eq!(collector.sql(told), "1");
    assert_eq!(hook.told("restarted", "firing"), 1, "nobody is woken twice");
}

#[test]
fn alerts_of_a_rule_that_was_taken_away_are_over() {
    let data = tempfile::tempdir().expect("a folder");
    let rules = switched(data.path());
    let collector = Collector::start(data.path(), &["--alert-rules", &rules]);
    collector
        .sql("CREATE TABLE switch (service String, value Float64) ENGINE = MergeTree ORDER BY ()");
    collector.sql("INSERT INTO switch VALUES ('gone', 1)");
    let state = |collector: &Collector, state: &str| {
        is(alert(collector, "Switched", "gone").as_ref(), state).then_some(())
    };
    eventually("it fires", || state(&collector, "firing"));
    assert!(collector.stop().success());
    let collector = Collector::start(data.path(), &[]);
    eventually("it is over", || state(&collector, "resolved"));
}

#[test]
fn of_several_collectors_one_tells_and_another_takes_over() {
    let data = tempfile::tempdir().expect("a folder");
    let engine = Engine::start(&data.path().join("engine"));
    let url = engine.url();
    let start = |name: &str| {
        let folder = data.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Collector::start(&folder, &["--clickhouse-url", &url])
    };
    let leads = |collector: &Collector| number(collector, "holdup_alerts_leader") > 0.0;
    let first = start("first");
    eventually("the only one leads", || leads(&first).then_some(()));
    let second = start("second");
    // Each asks every ten seconds: until the first has heard of the second, both may lead.
    let first_leads = eventually("one of two leads", || {
        let of_both = (leads(&first), leads(&second));
        (of_both.0 != of_both.1).then_some(of_both.0)
    });
    let (leader, other) = if first_leads { (first, second) } else { (second, first) };
    leader.kill();
    eventually("the other takes over", || leads(&other).then_some(()));
}

#[test]
fn rules_for_prometheus_are_good_and_name_metrics_and_runbooks_that_there_are() {
    let folder = repository().join("deploy/prometheus");
    for arguments in
        [["check", "rules", "holdup.rules.yaml"], ["test", "rules", "holdup.test.yaml"]]
    {
        let ran = Command::new("promtool").args(arguments).current_dir(&folder).output();
        let ran = ran.expect("promtool: `apt-get install prometheus` on Debian");
        assert!(ran.status.success(), "{}{}", text(&ran.stdout), text(&ran.stderr));
    }
    let rules = std::fs::read_to_string(folder.join("holdup.rules.yaml")).expect("the rules");
    let data = tempfile::tempdir().expect("a folder");
    let config = Webhook::start().configuration(data.path());
    let collector = Collector::start_in(data, &["--config", &config]);
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    for name in rules.split(word).filter(|word| word.starts_with("holdup_")) {
        let known = name.trim_end_matches("_bucket").trim_end_matches("_total");
        // Some are there from their first count on.
        eventually(&format!("there is a metric {name}"), || {
            let metrics = get(&format!("{}/metrics", collector.page())).text;
            metrics.contains(&format!("# TYPE {known} ")).then_some(())
        });
    }
    let links = rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: "));
    for link in links {
        assert!(repository().join(link).is_file(), "there is no {link}");
        let served = get(&format!("{}/{link}", collector.page()));
        assert!(served.status == 200 && served.text.contains("## Do"), "{link}: {served:?}");
    }
}
