//! `holdup query` and `holdup export`, of a collector that has polls.

use holdup_tests::collector::Collector;
use holdup_tests::json_of;
use serde_json::Value;

use super::{Poll, holdup, now_ms};

/// The tag of an XML file's root, by Python's reader.
const READ_SVG: &str = "import json, sys, xml.etree.ElementTree as x; \
    print(json.dumps(x.parse(sys.argv[1]).getroot().tag))";

fn with_polls() -> Collector {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start_in(data, &[]);
    let now = now_ms();
    for (id, function, leaf) in [(1, "shop::pay", "\u{1b}[31msleep"), (2, "shop::list", "read")] {
        let stack = format!("libc::{leaf}\nshop::db::wait\n{function}");
        Poll { stack: &stack, ..Poll::of(function, id, now - 5_000) }.send(&collector);
    }
    collector.settle();
    collector
}

#[test]
fn every_panel_can_be_asked_for_by_the_command() {
    let collector = with_polls();
    let listed = holdup(&["query"]);
    let names: Vec<&str> =
        listed.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 30, "{listed:?}");
    let page = collector.page();
    for name in names {
        let asked = holdup(&["query", name, "--page", &page, "--output", "json"]);
        assert_eq!((asked.code, asked.stderr.as_str()), (Some(0), ""), "{name}");
        let rows: Value = serde_json::from_str(&asked.stdout).expect("JSON");
        assert!(rows.is_array(), "{name}: {rows}");
    }
    let named = holdup(&["query", "top", "--page", &page, "--output", "csv", "--search", "PAY"]);
    let csv: Vec<&str> = named.stdout.lines().collect();
    assert!(csv[0].starts_with("\"function\",\"service\""), "{named:?}");
    assert!(csv.len() == 2 || csv.len() == 3, "top takes no search, and says nothing: {named:?}");
    let issues = holdup(&["query", "issues", "--page", &page, "--search", "PAY"]);
    assert!(issues.stdout.contains("shop::pay") && !issues.stdout.contains("list"), "{issues:?}");
}

#[test]
fn stacks_are_written_in_every_format_for_the_functions_that_are_named() {
    let collector = with_polls();
    let page = collector.page();
    let export = |arguments: &[&str]| {
        let exported = holdup(&[&["export", "--page", &page], arguments].concat());
        assert_eq!(exported.code, Some(0), "{exported:?}");
        exported.stdout
    };
    let folded = export(&["folded", "shop::pay"]);
    assert_eq!(folded.trim(), "shop::pay;shop::db::wait;libc::\u{1b}[31msleep 50000000");
    let both = export(&["folded", "shop::pay", "shop::list", "shop::pay"]);
    assert_eq!(both.trim().lines().count(), 2, "each stack counts once: {both}");
    assert_eq!(export(&["folded"]).lines().count(), 2);

    let of: Value = serde_json::from_str(&export(&["speedscope", "shop::pay"])).expect("JSON");
    assert_eq!(of["profiles"][0]["endValue"], 50_000_000);
    let of: Value = serde_json::from_str(&export(&["firefox", "shop::pay"])).expect("JSON");
    assert!(of["threads"].is_array(), "{of}");
    let svg = export(&["svg", "shop::pay"]);
    assert!(svg.contains("shop::db::wait") && svg.contains("libc::\u{fffd}[31msleep"), "{svg}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.svg");
    std::fs::write(&file, svg).expect("written");
    let root = json_of(READ_SVG, &file).expect("it is XML");
    assert_eq!(root, "{http://www.w3.org/2000/svg}svg");
    let csv = export(&["csv", "shop::pay", "shop::list"]);
    assert_eq!(csv.matches("\"stack_id\"").count(), 1, "one heading: {csv}");
    assert_eq!(csv.trim().lines().count(), 3, "{csv}");

    let file = folder.path().join("shop.pb.gz");
    export(&["pprof", "--out", file.to_str().expect("text")]);
    assert_eq!(&std::fs::read(file).expect("it is written")[..2], [0x1f, 0x8b], "gzip");
}

#[test]
fn what_can_not_be_asked_or_written_is_said() {
    let collector = with_polls();
    let page = collector.page();
    let none = holdup(&["export", "folded", "shop::none", "--page", &page]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(none.stderr.contains("no stack was taken"), "{none:?}");
    let away = holdup(&["query", "top", "--page", "http://127.0.0.1:1"]);
    assert_eq!(away.code, Some(1));
    assert!(away.stderr.contains("start `holdup serve`, or correct --page"), "{away:?}");
    let limit = holdup(&["query", "top", "--limit", "99999", "--since", "0s", "--page", &page]);
    assert!(limit.stderr.contains("from must be before to"), "{limit:?}");
    let unknown = holdup(&["query", "topp"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("'top'"), "{unknown:?}");
}
