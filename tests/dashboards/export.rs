//! `holdup dashboards export`, as an operator runs it.

use std::process::{Command, Output};

use holdup_tests::program;

use super::files::{dashboards, root};

fn export(out: &std::path::Path, more: &[&str]) -> Output {
    let mut command = Command::new(program("holdup").expect("built"));
    command.args(["dashboards", "export", "--out"]).arg(out).args(more);
    command.output().expect("holdup runs")
}

#[test]
fn what_is_exported_is_what_is_committed_and_a_change_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let nothing_there = export(folder.path(), &["--check"]);
    assert_eq!(nothing_there.status.code(), Some(1));
    assert!(!folder.path().join("dashboards").exists(), "--check writes nothing");

    let written = export(folder.path(), &[]);
    assert!(written.status.success(), "{written:?}");
    let paths = String::from_utf8(written.stdout).expect("text");
    assert_eq!(paths.lines().count(), dashboards().len() + 1, "{paths}");
    for path in paths.lines() {
        let below = path.strip_prefix(folder.path().to_str().expect("text")).expect("below it");
        let committed = root().join("deploy/grafana").join(below.trim_start_matches('/'));
        let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("text");
        assert!(read(path.as_ref()) == read(&committed), "{path} is not what is committed");
    }
    assert!(export(folder.path(), &["--check"]).status.success());

    let fleet = folder.path().join("dashboards/Holdup/fleet.json");
    std::fs::write(&fleet, "{}").expect("written");
    let told = export(folder.path(), &["--check"]);
    assert_eq!(told.status.code(), Some(1));
    let said = String::from_utf8(told.stderr).expect("text");
    assert!(said.contains("out of date:") && said.contains("fleet.json"), "{said}");
}
