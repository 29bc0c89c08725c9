//! Grafana finds what the provisioned files name: the folder of the dashboards, and the data source.

use std::path::Path;

use holdup_tests::yaml;

use super::files::{dashboards, root};

fn provisioned(name: &str) -> serde_json::Value {
    yaml(&root().join("deploy/grafana/provisioning").join(name)).expect("YAML")
}

/// Where a path in Grafana's container is in the repository, by what Compose mounts.
fn mounted(path: &str) -> std::path::PathBuf {
    let compose = root().join("deploy/compose");
    let file = yaml(&compose.join("docker-compose.yaml")).expect("YAML");
    let volumes = file["services"]["grafana"]["volumes"].as_array().expect("volumes").clone();
    let mut found = volumes.iter().filter_map(|it| {
        let (here, rest) = it.as_str()?.split_once(':')?;
        let inside = rest.strip_suffix(":ro")?;
        Some(compose.join(here).join(Path::new(path).strip_prefix(inside).ok()?))
    });
    found.next_back().expect("it is mounted, read-only")
}

#[test]
fn the_provider_names_the_folder_in_which_the_dashboards_are() {
    let provider = &provisioned("dashboards/holdup.yaml")["providers"][0];
    assert_eq!(provider["type"], "file");
    assert_eq!(provider["allowUiUpdates"], false, "an export would undo what is changed there");
    assert_eq!(provider["options"]["foldersFromFilesStructure"], true);
    let folder = mounted(provider["options"]["path"].as_str().expect("a path"));
    let mut found = Vec::new();
    for below in std::fs::read_dir(folder).expect("a folder") {
        for file in std::fs::read_dir(below.expect("an entry").path()).expect("a folder of it") {
            let path = file.expect("a file").path();
            found.push(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    found.sort();
    assert_eq!(found, dashboards().into_iter().map(|(name, _)| name).collect::<Vec<_>>());
}

#[test]
fn everything_asks_the_data_source_that_is_provisioned() {
    let sources = provisioned("datasources/holdup.yaml");
    let source = &sources["datasources"][0];
    for (name, dashboard) in dashboards() {
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        let chosen = variables.iter().find(|it| it["type"] == "datasource").expect("one");
        let asked = (&chosen["query"], &chosen["current"]["value"]);
        assert_eq!(asked, (&source["type"], &source["uid"]), "{name}");
    }
    let rules = provisioned("alerting/holdup.yaml");
    let mut asked = 0;
    for group in rules["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            for query in rule["data"].as_array().expect("queries") {
                let uid = &query["datasourceUid"];
                assert!(*uid == source["uid"] || *uid == "__expr__", "{uid}");
                asked += usize::from(*uid == source["uid"]);
            }
        }
    }
    assert!(asked >= 10, "{asked} queries of alert rules");
}
