//! What no text may contain, and what the queries' must.

use super::files::File;
use super::{caught, obey};

/// Written by tools, with the addresses that these use.
const LOCK_FILES: [&str; 2] = ["Cargo.lock", "package-lock.json"];

/// Addresses of package registries: where packages come from is the user's configuration.
fn registries() -> [String; 9] {
    let hosts = [
        ("registry.npmjs", "org"),
        ("npmjs", "com"),
        ("crates", "io"),
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("deb.debian", "org"),
        ("archive.ubuntu", "com"),
        ("proxy.golang", "org"),
        ("ghcr", "io"),
    ];
    hosts.map(|(name, domain)| format!("{name}.{domain}"))
}

/// Folders that only one machine has.
fn machine_folders() -> [String; 4] {
    ["root", "work", "home", "Users"].map(|folder| format!("/{folder}/"))
}

fn addresses(files: &[File]) -> Vec<String> {
    let (registries, folders) = (registries(), machine_folders());
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| !LOCK_FILES.iter().any(|lock| file.path.ends_with(lock)))
    {
        for (number, line) in (1..).zip(file.text.lines()) {
            let place = format!("{}:{number}", file.path);
            if let Some(host) = registries.iter().find(|host| line.contains(host.as_str())) {
                wrong.push(format!("{place}: names {host}; a package's name is enough"));
            }
            if let Some(folder) = folders.iter().find(|folder| begins_path(line, folder)) {
                wrong.push(format!("{place}: {folder} is of one machine; say where it is found"));
            }
        }
    }
    wrong
}

/// True when the folder is at the beginning of a path, not in its middle.
fn begins_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|before| !before.is_alphanumeric() && !"._-}/~*$)".contains(before))
    })
}

/// A panel says what it shows, and in which units.
fn panels_without_header(files: &[File]) -> Vec<String> {
    let panels = files
        .iter()
        .filter(|file| file.path.starts_with("queries/panels/") && file.has_extension("sql"));
    let mut wrong = Vec::new();
    for panel in panels {
        for key in ["title", "description", "column", "cost"] {
            let wanted = format!("-- {key}: ");
            let mut header = panel.text.lines().take_while(|line| line.starts_with("--"));
            if !header.any(|line| line.len() > wanted.len() && line.starts_with(&wanted)) {
                wrong.push(format!("{}: no `{wanted}` in its header; add it", panel.path));
            }
        }
    }
    wrong
}

#[test]
fn no_text_names_a_registry_or_a_machine() {
    obey(addresses);
    let one = |text: &str| addresses(&[File::new("a.md", text)]);
    caught(&one(&format!("see {}", registries()[2])), "a.md:1: names crates");
    caught(&one(&format!("\nin {}holdup", machine_folders()[1])), "is of one machine");
    assert!(one("https://example.com/work/a target/work/ docs.rs").is_empty());
}

#[test]
fn every_panel_has_a_header() {
    obey(panels_without_header);
    let panel = |text: &str| panels_without_header(&[File::new("queries/panels/a.sql", text)]);
    let header = "-- title: A\n-- description: B\n-- column: c | ns | d\n-- cost: none\n";
    assert!(panel(&format!("{header}SELECT c")).is_empty());
    caught(&panel(&header.replace("-- cost: none\n", "SELECT c\n-- cost: none\n")), "-- cost: ");
}
