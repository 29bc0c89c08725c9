//! Nothing lies about that nobody uses.

use super::files::File;
use super::{caught, modules, obey, tokens};

/// Sources that no module tree has.
fn dead_sources(files: &[File]) -> Vec<String> {
    let reachable = modules::reachable(files);
    let globs = globs(files);
    let dead = files.iter().filter(|file| {
        let compiled = reachable.contains_key(file.path.as_str());
        let by_glob = globs.iter().any(|glob| file.folder().ends_with(glob));
        file.is_rust() && !compiled && !by_glob && !is_included(file, files)
    });
    dead.map(|file| format!("{}: no `mod` leads to it; declare or delete it", file.path)).collect()
}

/// True for a source that a neighbour takes in as text, to compile it by itself.
fn is_included(file: &File, files: &[File]) -> bool {
    let inclusion = format!("include_str!(\"{}.rs\")", file.stem());
    files.iter().any(|other| other.folder() == file.folder() && other.text.contains(&inclusion))
}

/// Folders whose sources a test compiles one by one, as in `"tests/ui/*.rs"`.
fn globs(files: &[File]) -> Vec<String> {
    let streams = files
        .iter()
        .filter(|file| file.is_rust())
        .filter_map(|file| file.text.contains("/*.rs\"").then(|| tokens::of(&file.text)).flatten());
    let strings = streams.flat_map(tokens::strings);
    let globs = strings
        .filter_map(|(_, _, text)| Some(text.trim_matches('"').strip_suffix("/*.rs")?.to_owned()));
    globs.collect()
}

/// Where queries are asked: by the collector, the page, the dashboards, and what makes up data.
const USERS: [&str; 4] =
    ["collector/src/", "collector/page/src/", "queries/dashboards/", "xtask/src/"];

/// SQL that nobody asks for.
fn dead_queries(files: &[File]) -> Vec<String> {
    let users: Vec<&str> = files
        .iter()
        .filter(|file| USERS.iter().any(|folder| file.path.starts_with(folder)))
        .map(|file| file.text.as_str())
        .collect();
    let named = |name: &str| {
        let quoted = ['"', '\'', '`'].map(|quote| format!("{quote}{name}{quote}"));
        users.iter().any(|text| quoted.iter().any(|quoted| text.contains(quoted)))
    };
    let mut dead = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with("queries/")) {
        if !file.has_extension("sql") {
            continue;
        }
        let numbered = file.stem().starts_with(|first: char| first.is_ascii_digit());
        // The schema's files are applied in the order of their numbers.
        let used = match file.folder() {
            "queries/schema" => numbered,
            _ => named(file.stem()),
        };
        if !used {
            dead.push(format!("{}: nothing names it; use or delete it", file.path));
        }
    }
    dead
}

/// Pages that no reader finds.
fn dead_pages(files: &[File]) -> Vec<String> {
    const ENTRANCES: [&str; 3] = ["README.md", "docs/ARCHITECTURE.md", "docs/alerting.md"];
    let pages = files.iter().filter(|file| {
        file.path.starts_with("docs/")
            && file.has_extension("md")
            && !ENTRANCES.contains(&file.path.as_str())
    });
    let dead = pages.filter(|page| {
        let name = page.path.rsplit('/').next().unwrap_or_default();
        let mut entrances = files.iter().filter(|file| ENTRANCES.contains(&file.path.as_str()));
        !entrances.any(|entrance| entrance.text.contains(name))
    });
    let say = |page: &File| format!("{}: link it from {}", page.path, ENTRANCES.join(" or "));
    dead.map(say).collect()
}

#[test]
fn every_source_is_compiled() {
    obey(dead_sources);
    let with = |text: &str| {
        [
            File::new("a/Cargo.toml", "[package]"),
            File::new("a/src/lib.rs", text),
            File::new("a/src/b.rs", ""),
            File::new("a/tests/ui.rs", "fn f() { g(\"tests/ui/*.rs\") }"),
            File::new("a/tests/ui/bad.rs", ""),
        ]
    };
    caught(&dead_sources(&with("")), "a/src/b.rs: no `mod`");
    assert_eq!(dead_sources(&with("mod b;")), [""; 0]);
}

#[test]
fn every_query_is_used() {
    obey(dead_queries);
    let with = |text: &str| {
        [
            File::new("queries/panels/top.sql", ""),
            File::new("queries/schema/0001_all.sql", ""),
            File::new("collector/src/a.rs", text),
        ]
    };
    caught(&dead_queries(&with("ask(stop)")), "queries/panels/top.sql");
    assert_eq!(dead_queries(&with("ask(\"top\")")), [""; 0]);
}

#[test]
fn every_page_of_the_documentation_is_linked() {
    obey(dead_pages);
    let with = |text: &str| [File::new("docs/CONTRACT.md", ""), File::new("README.md", text)];
    caught(&dead_pages(&with("")), "docs/CONTRACT.md: link it");
    assert_eq!(dead_pages(&with("[the contract](docs/CONTRACT.md)")), [""; 0]);
}
