//! The repository's own rules. A rule is a function from files to violations, so that each is also
//! tested on files that break it.

mod dead;
mod files;
mod imports;
mod length;
mod links;
mod modules;
mod named;
mod places;
mod text;
mod tokens;

use files::File;

/// Fails with every violation, one a line.
fn obey(rule: impl Fn(&[File]) -> Vec<String>) {
    let listed = files::of_repository();
    assert!(listed.is_ok(), "git does not list the files: {listed:?}");
    let files = listed.unwrap_or_default();
    assert!(files.len() > 50, "only {} files were found: is this a clone?", files.len());
    let violations = rule(&files);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Fails unless the rule finds exactly one violation, and that contains the text.
fn caught(violations: &[String], text: &str) {
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert!(violations[0].contains(text), "{violations:#?}");
}
