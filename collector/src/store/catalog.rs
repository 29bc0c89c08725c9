//! The SQL of `queries/`, embedded, and what its headers say.

use std::collections::BTreeMap;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../queries"]
#[include = "*.sql"]
#[include = "*.toml"]
struct Files;

/// One numbered step of the schema.
#[derive(Debug)]
pub(crate) struct Migration {
    /// Its number.
    pub(crate) version: u32,
    /// Its file's name.
    pub(crate) name: String,
    /// Its statements.
    pub(crate) statements: Vec<String>,
}

/// One question that the page, the command and the dashboards ask.
#[derive(Debug)]
pub(crate) struct Panel {
    /// The SQL, with ClickHouse's `{name:Type}` parameters.
    pub(crate) sql: String,
    /// What its header calls it.
    pub(crate) title: String,
    /// What it shows, in a sentence.
    pub(crate) description: String,
    /// How to read it; empty where that goes without saying.
    pub(crate) reading: String,
    /// What it reads.
    pub(crate) cost: String,
    /// Its columns, in order.
    pub(crate) columns: Vec<Column>,
}

/// One column of a panel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: String,
    /// `ns`, `unix ms`, `time`, `count`, `share`, `bytes`, `state`, or empty.
    pub(crate) unit: String,
    /// What it means.
    pub(crate) meaning: String,
}

/// Text of a file below `queries/`.
fn file(path: &str) -> Option<String> {
    let file = Files::get(path)?;
    String::from_utf8(file.data.into_owned()).ok()
}

/// A statement of the collector itself.
pub(crate) fn statement(name: &str) -> String {
    file(&format!("collector/{name}.sql")).unwrap_or_default()
}

/// A statement after which data follows: nothing stands behind its format.
pub(crate) fn insertion(name: &str) -> String {
    without_comments(&statement(name)).trim().to_owned()
}

/// The schema's steps, in order.
pub(crate) fn migrations() -> Vec<Migration> {
    let mut steps: Vec<Migration> = Files::iter()
        .filter_map(|path| {
            let name = path.strip_prefix("schema/")?.strip_suffix(".sql")?.to_owned();
            let version = name.split('_').next()?.parse().ok()?;
            let text = without_comments(&file(&path)?);
            let statements = text.split(';').map(str::trim).filter(|s| !s.is_empty());
            Some(Migration { version, name, statements: statements.map(str::to_owned).collect() })
        })
        .collect();
    steps.sort_by_key(|step| step.version);
    steps
}

/// The names of all panels.
pub(crate) fn panel_names() -> Vec<String> {
    let names = Files::iter();
    names.filter_map(|p| Some(p.strip_prefix("panels/")?.strip_suffix(".sql")?.into())).collect()
}

/// The panel of this name.
pub(crate) fn panel(name: &str) -> Option<Panel> {
    let text = file(&format!("panels/{name}.sql"))?;
    let mut header: BTreeMap<&str, String> = BTreeMap::new();
    let mut columns = Vec::new();
    for line in text.lines().map_while(|l| l.strip_prefix("-- ")) {
        let Some((key, value)) = line.split_once(": ") else { continue };
        match key {
            "column" => columns.push(column(value)),
            _ => drop(header.insert(key, value.to_owned())),
        }
    }
    let mut take = |key: &str| header.remove(key).unwrap_or_default();
    let (title, description) = (take("title"), take("description"));
    let (reading, cost) = (take("reading"), take("cost"));
    Some(Panel { sql: without_comments(&text), title, description, reading, cost, columns })
}

/// What a variable of the dashboards can be.
pub(crate) fn variable(name: &str) -> String {
    without_comments(&file(&format!("variables/{name}.sql")).unwrap_or_default())
}

/// What Grafana asks for the rows of an alert rule, with places for what differs between rules.
pub(crate) fn rule_statement() -> String {
    without_comments(&file("dashboards/rule.sql").unwrap_or_default())
}

/// What the dashboards show: names and texts, in order.
pub(crate) fn layouts() -> Vec<(String, String)> {
    let named = |path: std::borrow::Cow<'static, str>| {
        let name = path.strip_prefix("dashboards/")?.strip_suffix(".toml")?.to_owned();
        Some((name, file(&path)?))
    };
    let mut layouts: Vec<_> = Files::iter().filter_map(named).collect();
    layouts.sort();
    layouts
}

/// `name | unit | meaning`, or `name | meaning`.
fn column(text: &str) -> Column {
    let parts: Vec<&str> = text.split(" | ").collect();
    let unit = if parts.len() > 2 { parts[1] } else { "" };
    let meaning = parts.last().copied().unwrap_or_default();
    Column { name: parts[0].to_owned(), unit: unit.to_owned(), meaning: meaning.to_owned() }
}

/// The text less its lines of comment.
pub(super) fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|l| !l.trim_start().starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{migrations, panel, panel_names, statement};

    #[test]
    fn migrations_are_numbered_without_gaps() {
        let versions: Vec<u32> = migrations().iter().map(|m| m.version).collect();
        assert_eq!(versions, (1..=u32::try_from(versions.len()).unwrap()).collect::<Vec<_>>());
        assert!(migrations().iter().all(|m| !m.statements.is_empty()));
    }

    #[test]
    fn every_panel_says_what_it_shows() {
        assert!(panel_names().contains(&"top".to_owned()));
        for name in panel_names() {
            let panel = panel(&name).unwrap();
            assert!(!panel.title.is_empty(), "{name} has no title");
            assert!(panel.columns.len() > 1, "{name} names no columns");
            assert!(panel.columns.iter().all(|c| panel.sql.contains(&c.name)), "{name}");
        }
        assert!(panel("no-such").is_none());
        for name in ["alerts", "alert_history"] {
            let columns = panel(name).unwrap().columns;
            assert!(columns.iter().any(|c| c.name == "severity"), "{name}");
        }
        let runtimes = panel("runtimes").unwrap().columns;
        assert!(runtimes.iter().any(|c| (c.name.as_str(), c.unit.as_str()) == ("busy", "share")));
    }

    #[test]
    fn the_collectors_statements_are_there() {
        for name in [
            "server_version",
            "create_database",
            "schema_version",
            "applied_versions",
            "recent_polls",
            "recent_episodes",
        ] {
            assert!(statement(name).contains(' '), "{name}");
        }
    }
}
