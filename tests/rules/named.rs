//! A test that the documentation names exists.

use super::files::File;
use super::{caught, obey};

/// Pages with tables whose last column names tests.
const PAGES: [&str; 3] = ["docs/conformance.md", "docs/guarantees.md", "docs/ways.md"];

fn unknown_tests(files: &[File]) -> Vec<String> {
    let sources = files.iter().filter(|file| file.has_extension("rs") || file.has_extension("mjs"));
    let sources = sources.map(|file| file.text.as_str()).collect::<Vec<_>>();
    let is_known = |name: &str| {
        let head = format!("fn {name}(");
        sources.iter().any(|text| text.contains(&head))
    };
    let mut unknown = Vec::new();
    for page in files.iter().filter(|file| PAGES.contains(&file.path.as_str())) {
        for (number, line) in (1..).zip(page.text.lines()) {
            for name in names(line) {
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

/// What stands in backticks in a table's last column and looks like a test's name.
fn names(line: &str) -> Vec<&str> {
    let Some(row) = line.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
        return Vec::new();
    };
    let last = row.rsplit('|').next().unwrap_or_default();
    let quoted = last.split('`').skip(1).step_by(2);
    let is_name = |name: &&str| {
        name.contains('_') && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
    };
    quoted.map(|name| name.rsplit("::").next().unwrap_or(name)).filter(is_name).collect()
}

#[test]
fn every_test_that_a_page_names_exists() {
    obey(unknown_tests);
}

#[test]
fn a_name_without_a_test_is_caught() {
    let page = "| 1 | `an_unrelated_column` | `here_it_is`, `tests::not_here_at_all` |\n";
    let files = [
        File::new("docs/conformance.md", page),
        File::new("a.rs", "#[test]\nfn here_it_is() {}\n"),
    ];
    caught(&unknown_tests(&files), "docs/conformance.md:1: there is no test not_here_at_all");
}
