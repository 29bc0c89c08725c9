//! `holdup ci`: exit codes, the baseline, and the reports.

use std::path::Path;
use std::process::Command;

use holdup_tests::collector::Collector;
use holdup_tests::json_of;
use serde_json::Value;

use super::tmux::{HOSTILE, HOSTILE_SHOWN};
use super::{Poll, holdup, now_ms};

/// The tests and failures of a JUnit file, by Python's reader of XML.
const READ_JUNIT: &str = "import json, sys, xml.etree.ElementTree as x; r = x.parse(sys.argv[1]).getroot(); \
    print(json.dumps({c.get('name'): [f.get('type') for f in c.iter('failure')] for c in r.iter('testcase')}))";

#[test]
fn a_run_fails_for_what_is_not_in_its_baseline() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let page = collector.page();
    let file = |name: &str| data.path().join(name).to_str().expect("text").to_owned();
    let (baseline, junit, sarif) = (file("base.json"), file("junit.xml"), file("run.sarif"));
    let ci =
        |more: &[&str]| holdup(&[&["ci", "--page", &page, "--baseline", &baseline], more].concat());

    let silent = ci(&["--write-baseline"]);
    assert_eq!(silent.code, Some(1), "nobody told of anything: {silent:?}");
    assert!(silent.stderr.contains("nothing was measured"), "{silent:?}");
    let now = now_ms();
    Poll::of("shop::pay", 1, now - 5_000).send(&collector);
    collector.settle();
    let absent = ci(&[]);
    assert_eq!(absent.code, Some(1));
    assert!(absent.stderr.contains("make it with --write-baseline"), "{absent:?}");
    assert_eq!(ci(&["--write-baseline"]).code, Some(0));
    assert_eq!(ci(&[]).code, Some(0), "all is known");
    assert_eq!(ci(&["--fail-on", "any"]).code, Some(3));

    Poll { long_ms: 500, ..Poll::of("shop::pay", 2, now - 4_000) }.send(&collector);
    collector.settle();
    assert_eq!(ci(&[]).code, Some(0), "worse is not new");
    assert_eq!(ci(&["--fail-on", "worse", "--worse-by", "11"]).code, Some(0));
    assert_eq!(ci(&["--fail-on", "worse"]).code, Some(3));

    Poll::of(HOSTILE, 3, now - 3_000).send(&collector);
    collector.settle();
    let failed = ci(&["--junit", &junit, "--sarif", &sarif]);
    assert_eq!(failed.code, Some(3), "{failed:?}");
    assert!(failed.stdout.contains("new: evil::") && failed.stderr.contains("1 functions block"));
    let tests = json_of(READ_JUNIT, junit.as_ref()).expect("it is XML");
    assert_eq!(tests["shop::pay"], serde_json::json!([]), "{tests}");
    assert_eq!(tests[HOSTILE_SHOWN], serde_json::json!(["new"]), "{tests}");
    as_jenkins_takes_it(&junit);
    let read = std::fs::read_to_string(&sarif).expect("it is written");
    // Types made of the schema that OASIS publishes: what is missing or unknown is an error.
    let typed: serde_sarif::sarif::Sarif = serde_json::from_str(&read).expect("it is SARIF");
    assert_eq!(typed.runs.len(), 1);
    let run: Value = serde_json::from_str(&read).expect("it is JSON");
    let levels: Vec<&Value> = run["runs"][0]["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|r| &r["level"])
        .collect();
    assert_eq!(levels, ["error", "note"], "{run}");
}

/// Checks a JUnit file against the schema that Jenkins publishes.
fn as_jenkins_takes_it(junit: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collector/page");
    assert!(
        page.join("node_modules").exists(),
        "the page's packages are not installed: run `npm ci` in collector/page"
    );
    let mut node = Command::new("node");
    let checked = node.args(["scripts/junit.mjs", junit]).current_dir(page).output();
    let checked = checked.expect("node runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
