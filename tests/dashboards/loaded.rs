//! Grafana's own types for Python know every name that the dashboards use.

use std::process::Command;

use holdup_tests::python;

use super::files::{dashboards, root};

/// Names that those types, which are of Grafana 10.1, lack, and later ones have.
const LATER: [&str; 11] = [
    ".annotations.list[].target.datasource",
    ".annotations.list[].target.editorType",
    ".annotations.list[].target.format",
    ".annotations.list[].target.pluginVersion",
    ".annotations.list[].target.rawSql",
    ".annotations.list[].target.refId",
    ".panels[].fieldConfig.defaults.custom.spanNulls",
    ".panels[].options.percentChangeColorMode",
    ".panels[].options.showPercentChange",
    ".panels[].options.wideLayout",
    ".preload",
];
/// Options of heatmaps that were elsewhere then.
const MOVED: [&str; 2] =
    [".panels[].options.tooltip.mode", ".panels[].options.tooltip.showColorScale"];

#[test]
fn grafanas_types_know_every_name() {
    let python = python().expect("a Python with Grafana's types");
    for (name, _) in dashboards() {
        let ran = Command::new(&python)
            .arg(root().join("tests/dashboards/load.py"))
            .arg(root().join(format!("deploy/grafana/dashboards/Holdup/{name}.json")))
            .output()
            .expect("python runs");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{name}: {said}");
        let lost = String::from_utf8_lossy(&ran.stdout).into_owned();
        let unknown: Vec<&str> =
            lost.lines().filter(|l| !LATER.contains(l) && !MOVED.contains(l)).collect();
        assert!(unknown.is_empty(), "{name}: Grafana does not know {unknown:?}");
    }
}
