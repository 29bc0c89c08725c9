//! What is in `deploy/`: whether the tools that will read it take it, and whether it fits the
//! program.

mod cluster;
mod compose;
mod helm;
mod systemd;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// A folder of `deploy/`.
fn folder(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy")).join(name)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(folder(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with every flag of `holdup serve` and every variable that the text names and the program
/// does not know.
fn fits_the_program(what: &str, text: &str) {
    let program = holdup_tests::program("holdup").expect("built");
    let ran = Command::new(program).args(["serve", "--help"]).output().expect("it runs");
    let help = String::from_utf8(ran.stdout).expect("UTF-8");
    let known = settings(&help);
    assert!(known.len() > 30 && known.contains("--data-dir"), "{known:?}");
    let named = settings(text);
    assert!(!named.is_empty(), "{what} names no setting: is it read as it should be?");
    let unknown: Vec<_> = named.difference(&known).collect();
    assert!(unknown.is_empty(), "{what}: `holdup serve` knows no {unknown:?}");
}

/// Words like `--data-dir` and `HOLDUP_DATA_DIR`.
fn settings(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let is_flag = |word: &&str| {
        let name = word.strip_prefix("--").unwrap_or_default();
        name.len() > 1 && name.bytes().all(|c| c.is_ascii_lowercase() || c == b'-')
    };
    words.filter(|word| is_flag(word) || word.starts_with("HOLDUP_")).collect()
}

#[test]
fn settings_are_found_in_any_text() {
    let text =
        "ExecStart=/bin/holdup serve --data-dir ${X}\n#HOLDUP_CONFIG=/a-b\n- '--log-dir=/x' ---";
    assert_eq!(Vec::from_iter(settings(text)), ["--data-dir", "--log-dir", "HOLDUP_CONFIG"]);
}
