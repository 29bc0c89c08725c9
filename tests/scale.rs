//! The model of a large fleet: it runs, its figures are those of the pages that measured them, and it
//! says what it should of what it is asked.

use std::path::PathBuf;
use std::process::{Command, Output};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scale"))
}

fn model(program: PathBuf, arguments: &[&str]) -> Output {
    Command::new("python3")
        .args(["-B"])
        .arg(program)
        .args(arguments)
        .output()
        .expect("python3 runs")
}

fn text(ran: &Output) -> String {
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout.clone()).expect("UTF-8")
}

/// The cells of a row of the tables.
fn row(said: &str, name: &str) -> Vec<String> {
    let line = said.lines().find(|line| line.starts_with(&format!("| {name}")));
    let line = line.unwrap_or_else(|| panic!("no row {name:?} in\n{said}"));
    line.split('|').map(|cell| cell.trim().to_owned()).skip(2).collect()
}

fn number(cell: &str) -> f64 {
    let digits = cell.split(' ').next().unwrap_or_default().replace(',', "");
    digits.parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

#[test]
fn the_model_has_the_figures_of_its_pages_and_the_page_has_those_of_the_model() {
    text(&model(folder().join("model.py"), &["--check"]));
}

#[test]
fn a_figure_that_differs_from_its_page_is_found() {
    let copy = tempfile::tempdir().expect("a folder");
    let root = folder().join("../..").canonicalize().expect("there");
    for page in ["docs/guarantees.md", "docs/queries.md", "docs/conformance.md", "docs/scale.md"] {
        std::fs::create_dir_all(copy.path().join("docs/scale")).expect("a folder");
        std::fs::copy(root.join(page), copy.path().join(page)).expect("copied");
    }
    for entry in std::fs::read_dir(folder()).expect("there").map(|it| it.expect("an entry")) {
        if entry.path().is_file() {
            let to = copy.path().join("docs/scale").join(entry.file_name());
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
    std::fs::create_dir(copy.path().join("queries")).expect("a folder");
    let readme = std::fs::read_to_string(root.join("queries/README.md")).expect("there");
    assert!(readme.contains("**37.7 bytes**"));
    let other = readme.replace("**37.7 bytes**", "**37.8 bytes**");
    std::fs::write(copy.path().join("queries/README.md"), other).expect("written");
    let ran = model(copy.path().join("docs/scale/model.py"), &["--check"]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(!ran.status.success() && said.contains("poll_spans: 37.7 here, 37.8 in"), "{said}");
    assert_eq!(said.lines().count(), 1, "only that differs: {said}");
}

#[test]
fn ten_times_the_services_make_ten_times_the_rows_and_reports_a_minute_apart_fewer() {
    let ask = |arguments: &[&str]| text(&model(folder().join("model.py"), arguments));
    let (small, large) = (ask(&["--services", "1000"]), ask(&["--services", "10000"]));
    let rows = |said: &str| number(&row(said, "rows a second into ClickHouse")[0]);
    assert!((rows(&large) / rows(&small) - 10.0).abs() < 0.01, "{small}\n{large}");
    // By hand: a million instances, 20 histograms and 13 numbers and a sign of life in 10 s, a slow
    // poll a minute, and an episode of ten polls.
    let by_hand = 1e6 * (34.0 / 10.0 + 1.1 / 60.0);
    assert!((rows(&large) / by_hand - 1.0).abs() < 0.001, "{} {by_hand}", rows(&large));
    let minutes = number(&row(&large, "rows a second into ClickHouse")[1]);
    assert!((rows(&large) / minutes - 6.0).abs() < 0.2, "{large}");
}
