//! The collector's parts, as CycloneDX lists them: every crate that is linked into it, with version,
//! licence and checksum.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::repository;
use crate::terminal::say;

const OF: &str = "holdup-collector";

/// Options of `cargo xtask parts`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// What the collector is built with beside the usual.
    #[arg(long, default_value = "")]
    features: String,
}

/// Prints the list of what is built here.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let list = list(env!("CARGO_PKG_VERSION"), &options.features)?;
    say(&list).context("standard output")
}

/// The list of a version, built with some features, as JSON.
pub(super) fn list(version: &str, features: &str) -> anyhow::Result<String> {
    let mut cargo = repository::cargo();
    cargo.args(["metadata", "--format-version=1", "--locked"]);
    for feature in features.split(',').filter(|feature| !feature.is_empty()) {
        cargo.args(["--features", &format!("{OF}/{feature}")]);
    }
    let host = "--filter-platform=x86_64-unknown-linux-gnu";
    let read = cargo.arg(host).output();
    let read = read.context("cargo metadata does not run")?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let metadata: Value = serde_json::from_slice(&read.stdout).context("cargo metadata")?;
    let lock = std::fs::read_to_string(repository::root().join("Cargo.lock"));
    let list = of(&metadata, &lock.context("Cargo.lock")?, version)?;
    serde_json::to_string_pretty(&list).context("cannot be written")
}

fn of(metadata: &Value, lock: &str, version: &str) -> anyhow::Result<Value> {
    let lock: toml::Table = lock.parse().context("Cargo.lock")?;
    let locked = lock.get("package").and_then(toml::Value::as_array).context("Cargo.lock")?;
    let text = |of: &toml::Value, key: &str| of.get(key)?.as_str().map(str::to_owned);
    let sums: BTreeMap<_, _> = locked
        .iter()
        .filter_map(|it| Some(((text(it, "name")?, text(it, "version")?), text(it, "checksum")?)))
        .collect();
    let packages = metadata["packages"].as_array().context("packages")?;
    let packages: BTreeMap<&str, &Value> =
        packages.iter().filter_map(|it| Some((it["id"].as_str()?, it))).collect();
    let mut components: Vec<Value> = Vec::new();
    for id in linked(metadata, &packages)? {
        let package = packages.get(id).context("a package of the graph")?;
        let name = package["name"].as_str().context("a name")?;
        let of_it = package["version"].as_str().context("a version")?;
        let mut component = json!({
            "type": "library",
            "bom-ref": format!("pkg:cargo/{name}@{of_it}"),
            "name": name,
            "version": of_it,
            "purl": format!("pkg:cargo/{name}@{of_it}"),
        });
        if let Some(license) = package["license"].as_str() {
            component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
        }
        if let Some(sum) = sums.get(&(name.to_owned(), of_it.to_owned())) {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
        }
        components.push(component);
    }
    components.sort_by_key(|it| it["purl"].to_string());
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": { "type": "application", "name": "holdup", "version": version } },
        "components": components,
    }))
}

/// The ids of what is linked: neither what builds nor what tests.
fn linked<'a>(
    metadata: &'a Value,
    packages: &BTreeMap<&'a str, &'a Value>,
) -> anyhow::Result<BTreeSet<&'a str>> {
    let nodes = metadata["resolve"]["nodes"].as_array().context("a graph")?;
    let nodes: BTreeMap<&str, &Value> =
        nodes.iter().filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let root = packages.iter().find(|(_, package)| package["name"] == OF);
    let mut due = vec![*root.context("no package of the collector")?.0];
    let mut found = BTreeSet::new();
    while let Some(id) = due.pop() {
        if !found.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).and_then(|it| it["deps"].as_array()).into_iter().flatten() {
            let kinds = dependency["dep_kinds"].as_array();
            let is_linked = kinds.is_none_or(|kinds| kinds.iter().any(|it| it["kind"].is_null()));
            due.extend(dependency["pkg"].as_str().filter(|_| is_linked));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::list;

    #[test]
    fn the_list_has_every_crate_that_is_linked_with_licence_and_checksum() {
        let list: Value = serde_json::from_str(&list("0.2.0", "").unwrap()).unwrap();
        assert_eq!(list["bomFormat"], "CycloneDX");
        let components = list["components"].as_array().unwrap();
        let names: BTreeSet<&str> =
            components.iter().filter_map(|it| it["name"].as_str()).collect();
        assert!(components.len() > 100, "{}", components.len());
        assert!(names.contains("tokio") && names.contains("holdup"), "{names:?}");
        assert!(!names.contains("proptest"), "tests are no part");
        assert!(!names.contains("rdkafka"), "a feature that is left out");
        let more = super::list("0.2.0", "kafka").unwrap();
        assert!(more.contains("pkg:cargo/rdkafka@") && more.contains("pkg:cargo/openssl-sys@"));
        let own = |it: &&Value| !it["name"].as_str().unwrap().starts_with("holdup");
        for component in components.iter().filter(own) {
            assert!(component["licenses"].is_array(), "{component}");
            assert_eq!(component["hashes"][0]["content"].as_str().unwrap().len(), 64);
        }
    }
}
