//! What a span says is data wherever it is shown: in answers, pages, reports, messages and questions.

use std::process::Command;

use holdup_tests::collector::{Collector, eventually, get, post};
use serde_json::{Value, json};

use super::{Webhook, holdup, text};
use crate::receiving::{JSON, now_ns};

/// What Grafana offers to choose from, and puts into questions with quotes masked and backslashes not.
const VARIABLES: [&str; 5] = [
    include_str!("../../queries/variables/environment.sql"),
    include_str!("../../queries/variables/function.sql"),
    include_str!("../../queries/variables/instance.sql"),
    include_str!("../../queries/variables/service.sql"),
    include_str!("../../queries/variables/version.sql"),
];

/// What a browser, a terminal, ClickHouse or a reader might take for something else.
pub(crate) fn names() -> Vec<String> {
    let page = "document.title='owned'";
    vec![
        format!("<script>{page}</script>"),
        format!("</title><img src=x onerror=\"{page}\">"),
        "x'] OR 1=1; DROP TABLE poll_spans --".to_owned(),
        "$__dateFilter(start) OR 1=1 --".to_owned(),
        "back\\' OR 1=1 --".to_owned(),
        "{{ $labels.service }} ${service} %s {service:String}".to_owned(),
        "a\u{0}b\u{7}\u{1b}]0;owned\u{7}\u{1b}[2J\r\nX-Injected: 1".to_owned(),
        "\u{202e}gnp.exe\u{2066}".to_owned(),
        "=HYPERLINK(\"http://example.com\")".to_owned(),
        "n".repeat(10_240),
    ]
}

/// A poll that goes on, with a name in every place that has one.
fn send_hostile(collector: &Collector, name: &str, id: usize) {
    let start_ns = now_ns() - 3_000_000_000;
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let stack = format!("libc::read\n{name}\nshop::pay");
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": [
            text("service.name", name),
            text("service.version", name),
            text("service.instance.id", name),
            text("deployment.environment.name", name)]},
        "scopeSpans": [{"scope": {"name": "holdup"}, "spans": [{
            "traceId": format!("{:032x}", id + 1), "spanId": format!("{:016x}", id + 1),
            "name": format!("poll {name}"),
            "startTimeUnixNano": format!("{start_ns}"),
            "endTimeUnixNano": format!("{}", start_ns + 2_900_000_000),
            "attributes": [
                text("code.function.name", name),
                text("code.file.path", name),
                text("code.stacktrace", &stack),
                text("holdup.stack.id", &format!("{:016x}", id + 1)),
                text("holdup.blame.function", name),
                text("holdup.blame.crate", name),
                text("thread.name", name),
                text("holdup.cause", name),
                {"key": "holdup.stall", "value": {"boolValue": true}}]}]}]}]});
    let answer = post(&format!("{}/v1/traces", collector.http()), &[JSON], body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// As a browser has the page once it shows what is looked for.
fn shown(url: &str, pattern: &str) -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../collector/page");
    let mut node = Command::new("node");
    let ran = node.args(["scripts/shown.mjs", url, pattern]).current_dir(page).output();
    let ran = ran.expect("node runs");
    assert!(ran.status.success(), "`npm ci` in collector/page? {}", text(&ran.stderr));
    text(&ran.stdout)
}

fn is_harmless(what: &str, document: &str) {
    let title = document.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let title = title.unwrap_or_else(|| panic!("{what} has no title: {document:.500}")).0;
    assert!(title.trim() != "owned", "{what}: {title}");
    assert!(!document.contains("<script>document"), "{what}");
    assert!(!document.contains("<img src=\"x\"") && !document.contains("<img src=x"), "{what}");
}

/// Whether Grafana offers a name: it would not mask a backslash, and expands macros within names.
pub(crate) fn is_offered(name: &str) -> bool {
    !name.contains('\\') && !name.contains("$__")
}

/// Grafana offers so many names of each kind, and none that it would make something else of.
fn can_be_chosen(collector: &Collector, names: usize) {
    for variable in VARIABLES {
        let all = variable.replace("{environment:Array(String)}", "[]");
        let all = all.replace("{service:Array(String)}", "[]");
        let all = all.replace("{version:Array(String)}", "[]");
        let wrong = "countIf(multiSearchAny(array(*)[1], [char(92), '$__']))";
        let offered = collector.sql(&format!("SELECT {wrong}, count() FROM ({all})"));
        // Nothing here has told of its instances.
        let count = if variable.contains("SELECT instance") { 0 } else { names };
        assert_eq!(offered, format!("0\t{count}"), "{variable}");
    }
}

#[test]
fn what_a_span_says_is_harmless_wherever_it_is_shown() {
    let data = tempfile::tempdir().expect("a folder");
    let hook = Webhook::start();
    let config = hook.at_once(data.path());
    let folder = tempfile::tempdir().expect("a folder");
    let collector = Collector::start_in(data, &["--config", &config]);
    let names = names();
    names.iter().enumerate().for_each(|(id, name)| send_hostile(&collector, name, id));

    // The API: each name is found by itself, and nothing else is.
    let mut functions = Vec::new();
    for name in &names {
        let service: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
        let rows = if name.len() > 1_024 {
            collector.ask("stalled").into_iter().filter(is_long).collect()
        } else {
            collector.ask(&format!("stalled?service={service}"))
        };
        assert_eq!(rows.len(), 1, "{name:.60}: {rows:?}");
        functions.push(rows[0]["function"].as_str().expect("a name").to_owned());
    }
    for (name, function) in names.iter().zip(&functions) {
        assert!(function == name || name.starts_with(function.trim_end_matches('…')), "{function}");
        assert!(function.len() <= 1_100, "{}", function.len());
    }
    let csv = get(&format!("{}/api/v1/query/stalled?format=csv", collector.page()));
    assert!(!csv.text.contains("\n=HYPER") && !csv.text.contains(",\"=HYPER"), "{}", csv.text);
    let api = get(&format!("{}/api/v1/query/stalled", collector.page()));
    assert!(api.content_type.starts_with("application/json"), "{}", api.content_type);

    // The tables, and a question with a name in it as Grafana would ask.
    assert_eq!(collector.sql("SELECT uniq(service) FROM poll_spans"), names.len().to_string());
    can_be_chosen(&collector, names.iter().filter(|name| is_offered(name)).count());

    // Alerts: as many as there are names, each with its name as text.
    eventually("all are told of", || {
        let told = |name: &&String| name.len() > 1_024 || hook.told(name, "firing") > 0;
        names.iter().all(|name| told(&name)).then_some(())
    });
    let bodies = hook.taken.lock().expect("nobody panicked").clone();
    let messages = Value::Array(bodies).to_string();
    assert!(!messages.contains('\u{1b}') && !messages.contains('\u{0}'), "{messages}");

    // The page, its reports, and what a terminal shows.
    let one: String = form_urlencoded::byte_serialize(names[1].as_bytes()).collect();
    let function = format!("?view=function&function={one}&in={one}");
    for view in ["", &function, "?view=live", "?view=services", "?view=alerts", "?view=system"] {
        let looked_for = if view == "?view=system" { "ClickHouse" } else { "HYPERLINK|<img src=x" };
        let page = shown(&format!("{}/{view}", collector.page()), looked_for);
        is_harmless(view, &page);
        let has_names = page.contains("HYPERLINK") || page.contains("&lt;img src=x");
        assert!(has_names || view == "?view=system", "{view} shows nothing: {page}");
    }
    let file = folder.path().join("report.html");
    let path = file.to_str().expect("text");
    let wrote = holdup(&["report", "--page", &collector.page(), "--since", "1h", "--out", path]);
    assert!(wrote.status.success(), "{}", text(&wrote.stderr));
    is_harmless("the report", &shown(&format!("file://{path}"), "HYPERLINK"));
    for arguments in [&["query", "stalled"][..], &["query", "alerts"]] {
        let ran = holdup(&[arguments, &["--page", &collector.page()]].concat());
        let told = text(&ran.stdout);
        assert!(!told.contains(['\u{1b}', '\u{7}', '\u{0}', '\u{202e}']), "{arguments:?}: {told}");
    }
}

fn is_long(row: &Value) -> bool {
    row["function"].as_str().is_some_and(|name| name.starts_with("nnnn"))
}
