//! A test that the documentation names exists.

use super::files::File;
use super::{caught, obey};

/// Pages with tables whose last column, headed `test`, names some.
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
fn a_name_without_a_test_is_caught() {
    let page = "| a | other |\n|---|---|\n| 1 | `no_test_of_this` |\n\n| duty | test |\n|---|---|\n\
                | `another_column` | `here_it_is`, `tests::not_here_at_all` |\n";
    let files = [
        File::new("docs/conformance.md", page),
        File::new("a.rs", "#[test]\nfn here_it_is() {}\n"),
    ];
    caught(&unknown_tests(&files), "docs/conformance.md:7: there is no test not_here_at_all");
}
