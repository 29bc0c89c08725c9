//! What has one place: SQL in `queries/`, `unsafe` in modules that are named for it.

use super::files::File;
use super::{caught, modules, obey, tokens};

/// Where Rust may hold SQL: the engine's own, which is about statements as such.
const SQL_ALLOWED: &str = "collector/src/engine/";

/// How a statement begins. `SELECT` alone could be a word.
const STATEMENTS: [&str; 12] = [
    "SELECT ",
    "INSERT INTO ",
    "CREATE TABLE ",
    "CREATE DATABASE ",
    "CREATE MATERIALIZED ",
    "CREATE VIEW ",
    "ALTER TABLE ",
    "DROP TABLE ",
    "DROP DATABASE ",
    "TRUNCATE ",
    "OPTIMIZE TABLE ",
    "WITH ",
];

/// Modules that may be unsafe.
const UNSAFE_ALLOWED: [&str; 16] = [
    "attach/src/ffi.rs",
    // The allocator's settings are a function in C.
    "collector/src/allocator.rs",
    "collector/src/engine/ffi.rs",
    "instrument/src/fork_ffi.rs",
    "instrument/src/measure/zeroed.rs",
    "instrument/src/polling/clock/tsc.rs",
    // A pointer that other threads read.
    "instrument/src/polling/site/cell.rs",
    "instrument/src/watchdog/ffi.rs",
    "instrument/src/stack/ffi.rs",
    "instrument/src/stack/signal_ffi.rs",
    "instrument/src/stack/tests/ffi.rs",
    // Its exported function has to be found by name.
    "instrument/src/stack/tests/scenes.rs",
    // To fork is unsafe.
    "instrument/tests/it/fork_ffi.rs",
    // An allocator that counts can't be written otherwise.
    "instrument/tests/allocations.rs",
    "instrument/tests/it/detection/ffi.rs",
    "xtask/src/ffi.rs",
];

fn stray_sql(files: &[File]) -> Vec<String> {
    let reachable = modules::reachable(files);
    let mut stray = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && !file.path.starts_with(SQL_ALLOWED)) {
        if reachable.get(file.path.as_str()) == Some(&true) {
            continue;
        }
        let Some(stream) = tokens::of(&file.text) else { continue };
        for (line, _, text) in tokens::strings(tokens::without_tests(stream)) {
            let text = text.trim_start_matches(|c: char| !c.is_alphabetic() || c == 'r');
            if STATEMENTS.iter().any(|statement| text.starts_with(statement)) {
                stray.push(format!("{}:{line}: SQL; move it to queries/", file.path));
            }
        }
    }
    for file in files.iter().filter(|file| is_script(file)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            if line.contains("SELECT ") && line.contains(" FROM ") {
                stray.push(format!("{}:{number}: SQL; move it to queries/", file.path));
            }
        }
    }
    stray
}

fn is_script(file: &File) -> bool {
    let page = file.path.starts_with("collector/page/src/");
    page && (file.has_extension("ts") || file.has_extension("tsx"))
}

fn stray_unsafe(files: &[File]) -> Vec<String> {
    let mut stray = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        if UNSAFE_ALLOWED.contains(&file.path.as_str()) {
            continue;
        }
        let Some(stream) = tokens::of(&file.text) else { continue };
        if let Some(at) = tokens::idents(stream).iter().find(|at| at.text == "unsafe") {
            stray.push(format!(
                "{}:{}: `unsafe`; move it to a module that is named for it, and name that in {}",
                file.path,
                at.line,
                file!()
            ));
        }
    }
    stray
}

#[test]
fn sql_is_in_queries() {
    obey(stray_sql);
    let one = |path: &str, text: &str| stray_sql(&[File::new(path, text)]);
    caught(&one("collector/src/page/api.rs", "f(\"SELECT 1\")"), "api.rs:1: SQL");
    caught(&one("collector/src/page/api.rs", "f(r#\"\n  INSERT INTO t \"#)"), "api.rs:1: SQL");
    caught(&one("collector/page/src/a.ts", "a(`SELECT a FROM b`)"), "a.ts:1: SQL");
    assert!(one("collector/src/page/api.rs", "// SELECT 1\nf(\"select one\")").is_empty());
    assert!(one("collector/src/engine/statement.rs", "f(\"SELECT 1\")").is_empty());
}

#[test]
fn unsafe_code_is_in_modules_named_for_it() {
    obey(stray_unsafe);
    let one = |path: &str, text: &str| stray_unsafe(&[File::new(path, text)]);
    caught(&one("demo/src/main.rs", "fn f() { unsafe { g() } }"), "main.rs:1: `unsafe`");
    caught(&one("demo/src/main.rs", "m! { unsafe fn f() {} }"), "main.rs:1: `unsafe`");
    assert!(one("demo/src/main.rs", "// unsafe\nf(\"unsafe\")").is_empty());
    assert!(one(UNSAFE_ALLOWED[0], "fn f() { unsafe { g() } }").is_empty());
}
