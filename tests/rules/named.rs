//! A test that the documentation names exists.

use std::collections::BTreeSet;

use super::files::File;
use super::{caught, obey};

/// Pages with tables whose last column, headed `test`, names some.
const PAGES: [&str; 8] = [
    "docs/alerting-receivers.md",
    "docs/conformance.md",
    "docs/dashboards.md",
    "docs/deploy.md",
    "docs/guarantees.md",
    "docs/operations.md",
    "docs/security.md",
    "docs/ways.md",
];

fn unknown_tests(files: &[File]) -> Vec<String> {
    let sources = files.iter().filter(|file| file.has_extension("rs") || file.has_extension("mjs"));
    let sources = sources.map(|file| file.text.as_str()).collect::<Vec<_>>();
    let tests = sources.iter().flat_map(|text| tests_of(text)).collect::<BTreeSet<_>>();
    let is_known = |name: &str| tests.contains(name);
    let mut unknown = Vec::new();
    for page in files.iter().filter(|file| PAGES.contains(&file.path.as_str())) {
        let mut names_tests = false;
        for (number, line) in (1..).zip(page.text.lines()) {
            let last = last_cell(line);
            names_tests = last == Some("test") || names_tests && last.is_some();
            for name in last.filter(|_| names_tests).into_iter().flat_map(names) {
                if !is_known(name) {
                    unknown.push(format!(
                        "{}:{number}: there is no test {name}; name the one that holds this",
                        page.path
                    ));
                }
            }
        }
    }
    unknown
}

/// The names of a source's tests: functions with an attribute that says so.
fn tests_of(text: &str) -> Vec<&str> {
    let (mut tests, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        } else if !line.starts_with("//") {
            let head = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            let name = head.and_then(|head| head.split('(').next());
            tests.extend(name.filter(|_| is_test));
            is_test = false;
        }
    }
    tests
}

/// Pages on which every row of a table of tests names one.
const HELD: [&str; 2] = ["docs/guarantees.md", "docs/security.md"];

/// Guarantees, bounds and threats that name no test.
fn rows_without_tests(files: &[File]) -> Vec<String> {
    let mut without = Vec::new();
    for page in files.iter().filter(|file| HELD.contains(&file.path.as_str())) {
        let mut names_tests = false;
        for (number, line) in (1..).zip(page.text.lines()) {
            let Some(last) = last_cell(line) else {
                names_tests = false;
                continue;
            };
            if names_tests && !last.starts_with("---") && names(last).next().is_none() {
                without.push(format!("{}:{number}: name the test that holds this", page.path));
            }
            names_tests |= last == "test";
        }
    }
    without
}

#[test]
fn every_guarantee_names_its_test() {
    obey(rows_without_tests);
    let page = "| guarantee | test |\n|---|---|\n| a | `a_test` |\n| b | some day |\n";
    caught(
        &rows_without_tests(&[File::new("docs/guarantees.md", page)]),
        "docs/guarantees.md:4: name the test that holds this",
    );
}

/// The duties of a receiver that have a number.
const DUTIES: std::ops::RangeInclusive<u32> = 1..=26;

/// Duties for which the page has no row that names a test.
fn duties_without_tests(files: &[File]) -> Vec<String> {
    let mut held = BTreeSet::new();
    let pages = files.iter().filter(|file| file.path == "docs/conformance.md");
    for line in pages.flat_map(|page| page.text.lines()) {
        let first = line.strip_prefix('|').and_then(|row| row.split('|').next());
        let mut ends = first.unwrap_or_default().trim().split('–').map(str::parse::<u32>);
        let (Some(Ok(from)), to) = (ends.next(), ends.next()) else { continue };
        if last_cell(line).is_some_and(|cell| names(cell).next().is_some()) {
            held.extend(from..=to.and_then(Result::ok).unwrap_or(from));
        }
    }
    let missing = DUTIES.filter(|duty| !held.contains(duty));
    missing.map(|duty| format!("docs/conformance.md: duty {duty} names no test")).collect()
}

/// The last column of a table's row.
fn last_cell(line: &str) -> Option<&str> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    row.rsplit('|').next().map(str::trim)
}

/// What stands in backticks and looks like a test's name.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let is_name = |name: &&str| {
        name.contains('_') && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
    };
    quoted.map(|name| name.rsplit("::").next().unwrap_or(name)).filter(is_name)
}

#[test]
fn every_test_that_a_page_names_exists() {
    obey(unknown_tests);
}

#[test]
fn every_duty_of_a_receiver_names_its_test() {
    obey(duties_without_tests);
    let rows = (1..=25).map(|duty| format!("| {duty} | told | `it_is_held` |\n"));
    let page =
        |rest: &str| File::new("docs/conformance.md", &(rows.clone().collect::<String>() + rest));
    caught(&duties_without_tests(&[page("| 26 | told | |\n")]), "duty 26 names no test");
    assert_eq!(duties_without_tests(&[page("| 25–26 | told | `it_is_held` |\n")]), [""; 0]);
}

#[test]
fn a_name_without_a_test_is_caught() {
    let page = "| a | other |\n|---|---|\n| 1 | `no_test_of_this` |\n\n| duty | test |\n|---|---|\n\
                | `another_column` | `here_it_is`, `tests::not_here_at_all` |\n";
    let files = [
        File::new("docs/conformance.md", page),
        File::new("a.rs", "#[test]\nfn here_it_is() {}\n\nfn not_here_at_all() {}\n"),
    ];
    caught(&unknown_tests(&files), "docs/conformance.md:7: there is no test not_here_at_all");
}
