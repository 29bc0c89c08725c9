//! The API behind the page, as a client sees it: issues and mutes, pages and formats, mistakes.

mod blocked;
mod leaving;
mod regained;
mod session;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use holdup_tests::collector::{Answer, Collector, client, eventually, get, post};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Journeys of the page with collectors of their own, all of which must have been made.
fn in_a_browser(name: &str, journeys: usize) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collector/page");
    assert!(
        page.join("node_modules").exists(),
        "the page's tests are not installed: run `npm ci` in collector/page, or `cargo xtask test`"
    );
    let ran = Command::new("node")
        .args(["--test", "--test-reporter=tap", &format!("test/{name}.test.mjs")])
        .current_dir(page)
        .env("HOLDUP_PROGRAM", holdup_tests::program("holdup").expect("built"))
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains(&format!("# pass {journeys}")), "each was made: {said}");
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("it is past 1970");
    u64::try_from(since.as_millis()).expect("it fits")
}

/// A poll of 50 ms of a function of the service `shop`.
fn send(collector: &Collector, function: &str, version: &str, start_ms: u64) {
    let id = start_ms ^ u64::from(crc(function));
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "service.version", "value": {"stringValue": version}},
            {"key": "service.instance.id", "value": {"stringValue": "one"}}]},
        "scopeSpans": [{"scope": {"name": "holdup"}, "spans": [{
            "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"),
            "name": format!("poll {function}"),
            "startTimeUnixNano": format!("{start_ms}000000"),
            "endTimeUnixNano": format!("{}000000", start_ms + 50)}]}]}]});
    let json = [("content-type", "application/json")];
    let answer = post(&format!("{}/v1/traces", collector.http()), &json, body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Tells names apart.
fn crc(name: &str) -> u32 {
    name.bytes().fold(7, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

fn api(collector: &Collector, path: &str) -> Answer {
    get(&format!("{}/api/v1/{path}", collector.page()))
}

/// `function state` of each issue of the last hour.
fn states(collector: &Collector) -> Vec<String> {
    let from = now_ms() - HOUR_MS;
    let rows = collector.ask(&format!("issues?from={from}"));
    let text = |row: &Value, key: &str| row[key].as_str().expect("a text").to_owned();
    let mut states: Vec<String> =
        rows.iter().map(|row| text(row, "function") + " " + &text(row, "state")).collect();
    states.sort();
    states
}

fn change(collector: &Collector, method: &str, body: &Value) -> u16 {
    let url = format!("{}/api/v1/mutes", collector.page());
    let request = client().request(method.parse().expect("a method"), url);
    let answer = request.header("content-type", "application/json").body(body.to_string()).send();
    answer.expect("it answers").status().as_u16()
}

#[test]
fn an_issue_is_new_ongoing_regressed_quiet_or_muted() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let now = now_ms();
    // Version 2 ran for two hours without `fixed`; the clocks of senders may be days behind.
    send(&collector, "a::other", "1", now - 5 * HOUR_MS);
    send(&collector, "a::fixed", "1", now - 5 * HOUR_MS);
    send(&collector, "a::other", "2", now - 4 * HOUR_MS);
    send(&collector, "a::other", "2", now - 2 * HOUR_MS);
    send(&collector, "a::quiet", "1", now - DAY_MS);
    for function in ["a::other", "a::fixed", "a::new"] {
        send(&collector, function, "3", now - 60_000);
    }
    let all = ["a::fixed regressed", "a::new new", "a::other ongoing", "a::quiet quiet"];
    assert_eq!(states(&collector), all);
    let from = now - HOUR_MS;
    let fixed = collector.ask(&format!("issues?search=FIX&from={from}")).remove(0);
    assert_eq!((&fixed["first_version"], &fixed["last_version"]), (&json!("1"), &json!("3")));
    assert!((fixed["share"].as_f64().expect("a share") - 1.0 / 3.0).abs() < 1e-9, "{fixed}");
    assert_eq!(collector.ask(&format!("issues?state=new&from={from}")).len(), 1);
}

#[test]
fn a_mute_ends_by_hand_at_its_time_and_with_the_version() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let names = json!({"service": "shop", "function": "a::b"});
    let mute = |end: Value| {
        let mut body = names.clone();
        body["reason"] = "known, see ticket 7".into();
        body.as_object_mut().expect("an object").extend(end.as_object().expect("one").clone());
        body
    };
    send(&collector, "a::b", "1", now_ms() - 60_000);
    collector.settle();
    let later = json!({"until_ms": now_ms() + HOUR_MS});
    assert_eq!(change(&collector, "POST", &mute(later)), 200);
    assert_eq!(states(&collector), ["a::b muted"]);
    let row = collector.ask("issues").remove(0);
    assert_eq!(row["muted_reason"], "known, see ticket 7");
    assert_eq!(change(&collector, "DELETE", &names), 200);
    assert_eq!(states(&collector), ["a::b new"]);
    let later = json!({"until_ms": now_ms() + HOUR_MS});
    assert_eq!(change(&collector, "POST", &mute(later)), 200);
    assert_eq!(states(&collector), ["a::b muted"]);
    // The last one holds.
    assert_eq!(change(&collector, "POST", &mute(json!({"until_ms": now_ms() + 500}))), 200);
    eventually("its time has come", || (states(&collector) == ["a::b new"]).then_some(()));
    assert_eq!(change(&collector, "POST", &mute(json!({"version": "1"}))), 200);
    assert_eq!(states(&collector), ["a::b muted"]);
    send(&collector, "a::b", "2", now_ms() - 100);
    assert_eq!(states(&collector), ["a::b new"]);
}

#[test]
fn another_sites_page_can_not_mute() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let url = format!("{}/api/v1/mutes", collector.page());
    let body = json!({"service": "s", "function": "f", "reason": "r", "version": "1"}).to_string();
    let json = ("content-type", "application/json");
    let page = collector.page();
    let other = page.replace("127.0.0.1", "localhost");
    for (headers, status) in [
        // What a form, or a script without leave, can send from elsewhere.
        (vec![("content-type", "text/plain"), ("origin", "https://evil.example")], 403),
        (vec![("content-type", "text/plain")], 415),
        (vec![json, ("origin", "https://evil.example")], 403),
        (vec![json, ("origin", other.as_str())], 403),
        (vec![json, ("sec-fetch-site", "cross-site")], 403),
        (vec![json, ("origin", page.as_str()), ("sec-fetch-site", "same-origin")], 200),
        (vec![json], 200),
    ] {
        let answer = post(&url, &headers, body.clone());
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
    }
}

#[test]
fn rows_come_in_pages_as_json_and_as_csv() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let now = now_ms();
    for (at, function) in ["a::one", "a::two, \"quoted\"", "a::three"].iter().enumerate() {
        send(&collector, function, "1", now - 60_000 - u64::try_from(at).expect("it fits"));
    }
    let whole = collector.ask("issues");
    let pages = ["0", "1", "2"]
        .map(|offset| collector.ask(&format!("issues?limit=1&offset={offset}")).remove(0));
    assert_eq!(whole, pages);
    assert!(collector.ask("issues?offset=3").is_empty());
    let csv = api(&collector, "query/issues?format=csv");
    assert_eq!((csv.status, csv.content_type.as_str()), (200, "text/csv; charset=utf-8"));
    assert!(csv.text.starts_with("\"function\",\"service\",\"state\""), "{}", csv.text);
    assert!(csv.text.contains("\n\"a::two, \"\"quoted\"\"\",\"shop\",\"new\","), "{}", csv.text);
    // A spreadsheet would run it.
    send(&collector, "=HYPERLINK(\"http://evil.example\")", "1", now - 50_000);
    collector.settle();
    let harmless = "\n\"'=HYPERLINK(\"\"http://evil.example\"\")\",\"shop\",\"new\",";
    let csv = api(&collector, "query/issues?format=csv");
    assert!(csv.text.contains(harmless), "{}", csv.text);
    let url = format!("{}/api/v1/query/issues", collector.page());
    let accepted = client().get(&url).header("accept", "text/csv, */*;q=0.1").send();
    let text = accepted.expect("it answers").text().expect("text");
    assert_eq!(text, csv.text);
}

#[test]
fn stacks_are_exported_and_live_views_are_bounded() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    for format in ["folded", "speedscope", "firefox", "pprof", "svg"] {
        let nothing = api(&collector, &format!("export/{format}"));
        assert_eq!(nothing.status, 404, "{format}: {}", nothing.text);
    }
    let unknown = api(&collector, "export/perf");
    assert!(unknown.text.contains("there are folded, speedscope, firefox, pprof, svg"));
    let url = format!("{}/api/v1/live", collector.page());
    let look = || client().get(&url).send().expect("it answers");
    let mut looking: Vec<_> = (0..16).map(|_| look()).collect();
    assert!(looking.iter().all(|stream| stream.status().as_u16() == 200));
    assert_eq!(look().status().as_u16(), 503, "one more than there may be");
    // A client that goes makes room.
    looking.pop();
    eventually("there is room", || (look().status().as_u16() == 200).then_some(()));
    let mut first = looking.remove(0);
    let mut said = [0; 64];
    std::io::Read::read_exact(&mut first, &mut said).expect("an event");
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.starts_with("event: seen\ndata: {\"at_ms\":"), "{said}");
    // A collector that stops does not wait for those who look.
    let began = std::time::Instant::now();
    assert!(collector.stop().success());
    assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn the_cause_of_a_stack_is_that_of_most_of_its_time() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let polls = [("lock", 60), ("runqueue", 100), ("lock", 70)].map(|(cause, ms)| {
        format!("(now64(9), {ms}000000, {ms}000000, 'shop', 'shop::pay', '{cause}', 7, '{ms:08}')")
    });
    collector.sql(&format!(
        "INSERT INTO poll_spans (start, duration_ns, self_ns, service, function, cause, stack_id, \
         span_id) VALUES {}",
        polls.join(",")
    ));
    let stacks = collector.ask("stacks?function=shop::pay");
    assert_eq!((stacks.len(), &stacks[0]["cause"]), (1, &json!("lock")), "{stacks:?}");
}

#[test]
fn mistakes_are_told_apart_from_what_clickhouse_can_not_do() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    for (path, status, expected) in [
        ("query/isues", 404, "did you mean \\\"issues\\\"?"),
        ("query/something-else", 404, "/api/v1/openapi.json"),
        ("query/top?limt=3", 400, "did you mean \\\"limit\\\"?"),
        ("query/top?limit=10000&offset=1", 400, "past 10000 rows"),
        ("nothing", 404, "no such path"),
        ("mutes", 405, "no such method"),
    ] {
        let answer = api(&collector, path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(answer.text.contains(expected), "{path}: {}", answer.text);
    }
    collector.sql("RENAME TABLE suspects TO suspects_away");
    let refused = api(&collector, "query/suspects");
    assert_eq!(refused.status, 502, "{}", refused.text);
    assert!(refused.text.contains("clickhouse_error"), "{}", refused.text);
}

#[test]
fn the_description_of_the_api_is_served() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let served: Value = serde_json::from_str(&api(&collector, "openapi.json").text).expect("JSON");
    let paths = served["paths"].as_object().expect("paths");
    for path in paths.keys().filter(|path| path.starts_with("/query/")) {
        let answer = api(&collector, path.trim_start_matches('/'));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
}
