//! `holdup query`: asks a running collector one of the questions of `queries/`.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::ask::{Address, Choice, Collector, Question};
use super::text::{duration, plain, print, tell, time};
use crate::store::catalog;

/// The arguments of `holdup query`.
#[derive(Args, Debug)]
pub(crate) struct QueryArgs {
    /// What to ask; without it, all that can be asked is listed
    #[arg(value_parser = panels())]
    pub(super) name: Option<String>,
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    pub(super) since: Duration,
    #[command(flatten)]
    pub(super) choice: Choice,
    /// Only this function, fully qualified
    #[arg(long, value_name = "NAME")]
    pub(super) function: Option<String>,
    /// Only where each of these words is in the function or service
    #[arg(long, value_name = "WORDS")]
    pub(super) search: Option<String>,
    /// Only issues in this state: new, ongoing, regressed, quiet, muted; may be given several times
    #[arg(long, value_name = "STATE")]
    pub(super) state: Vec<String>,
    /// The most rows
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub(super) limit: u32,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    pub(super) output: PanelOutput,
    #[command(flatten)]
    pub(super) address: Address,
}

/// The names that can be asked, with what they show.
fn panels() -> PossibleValuesParser {
    let panels = titles().into_iter().map(|(name, title)| PossibleValue::new(name).help(title));
    panels.collect::<Vec<_>>().into()
}

/// Each panel's name and title, by name.
fn titles() -> Vec<(String, String)> {
    let mut names = catalog::panel_names();
    names.sort();
    let title = |name: &str| catalog::panel(name).map(|panel| panel.title).unwrap_or_default();
    names.into_iter().map(|name| (name.clone(), title(&name))).collect()
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// How the rows of a panel are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PanelOutput {
    Table,
    Json,
    Csv,
}

impl From<Output> for PanelOutput {
    fn from(output: Output) -> Self {
        match output {
            Output::Table => Self::Table,
            Output::Json => Self::Json,
        }
    }
}

/// Asks, and prints the rows.
pub(crate) fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let Some(name) = &args.name else { return list() };
    let collector = Collector::at(&args.address)?;
    let question = question(args);
    if args.output == PanelOutput::Csv {
        return print(&collector.panel(name, question.with("format", "csv"))?);
    }
    let rows = collector.rows(name, question)?;
    match args.output {
        PanelOutput::Table if rows.is_empty() => {
            // stdout stays data only; an empty table has none.
            tell(&format!(
                "nothing in the last {}: widen --since, or see the page for how to add a service",
                humantime::format_duration(args.since)
            ));
            Ok(())
        }
        PanelOutput::Table => {
            print(format!("{}{}\n", table(name, &rows), advice(&rows)).as_bytes())
        }
        PanelOutput::Json | PanelOutput::Csv => {
            print((serde_json::to_string_pretty(&rows)? + "\n").as_bytes())
        }
    }
}

fn question(args: &QueryArgs) -> Question {
    let mut question = Question::since(args.since, &args.choice).with("limit", &args.limit);
    for (key, value) in [("function", &args.function), ("search", &args.search)] {
        if let Some(value) = value {
            question = question.with(key, value);
        }
    }
    args.state.iter().fold(question, |question, state| question.with("state", state))
}

/// A line for each panel.
fn list() -> anyhow::Result<()> {
    let lines = titles().into_iter().map(|(name, title)| format!("{name:18} {title}\n"));
    print(lines.collect::<String>().as_bytes())
}

/// Columns that a terminal has no room for, or that mean nothing there.
const NOT_IN_TABLE: [&str; 8] = [
    "trend",
    "file",
    "line",
    "worst_trace_id",
    "worst_span_id",
    "stack_id",
    "episode_id",
    "frames",
];

fn table(name: &str, rows: &[Value]) -> Table {
    let columns = catalog::panel(name).map(|panel| panel.columns).unwrap_or_default();
    let shown: Vec<_> = columns
        .into_iter()
        .filter(|column| !NOT_IN_TABLE.contains(&column.name.as_str()))
        .filter(|column| rows.iter().any(|row| !is_empty(&row[&column.name], &column.unit)))
        .collect();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(shown.iter().map(|c| heading(&c.name)));
    for row in rows {
        table.add_row(shown.iter().map(|c| cell(&row[&c.name], &c.unit)));
    }
    for (column, shown) in table.column_iter_mut().zip(&shown) {
        if !shown.unit.is_empty() && shown.unit != "unix ms" {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A line for each sentence of advice that rows have, once.
fn advice(rows: &[Value]) -> String {
    let mut told = Vec::new();
    for advice in rows.iter().map(|row| &row["advice"]) {
        if let (Some(sentence), Some(link)) = (advice["sentence"].as_str(), advice["link"].as_str())
            && !told.iter().any(|(known, _)| *known == link)
        {
            told.push((link, sentence));
        }
    }
    let lines = told.iter().map(|(link, said)| format!("\n{} ({})", plain(said), plain(link)));
    lines.collect()
}

/// Whether nothing is known: a time that is none is 0.
fn is_empty(value: &Value, unit: &str) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => unit == "unix ms" && number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn heading(column: &str) -> String {
    let words = column.trim_end_matches("_ns").trim_end_matches("_ms");
    words.replace('_', " ").to_uppercase()
}

fn cell(value: &Value, unit: &str) -> String {
    match (unit, value.as_u64()) {
        ("ns", Some(ns)) => duration(ns),
        ("unix ms", Some(0)) => String::new(),
        ("unix ms", Some(ms)) => time(ms),
        ("share", _) => format!("{:.1} %", value.as_f64().unwrap_or(0.0) * 100.0),
        _ => match value {
            Value::String(text) => plain(text),
            Value::Array(items) => {
                let texts: Vec<String> = items.iter().map(|item| cell(item, "")).collect();
                texts.join(", ")
            }
            other => other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{advice, heading, table, time, titles};

    #[test]
    fn each_advice_is_said_once() {
        let row = |link| serde_json::json!({"advice": {"sentence": "Await.", "link": link}});
        let none = serde_json::json!({"advice": null});
        let said = advice(&[row("a.md#b"), none, row("a.md#b"), row("a.md#c")]);
        assert_eq!(said, "\nAwait. (a.md#b)\nAwait. (a.md#c)");
    }

    #[test]
    fn a_table_has_the_panels_columns() {
        let rows = [serde_json::json!({
            "function": "shop::pay", "service": "shop", "blocked_ns": 1_500_000, "calls": 3,
            "blame_crate": "", "first_seen_ms": 0, "last_seen_ms": 1_795_339_164_007_u64,
        })];
        let text = table("top", &rows).to_string();
        assert!(text.contains("BLOCKED") && text.contains("1.5 ms"), "{text}");
        for unknown in ["BLAME CRATE", "FIRST SEEN"] {
            assert!(!text.contains(unknown), "nothing is known of it: {text}");
        }
        assert!(text.contains(&time(1_795_339_164_007)));
        assert_eq!(heading("max_ns"), "MAX");
    }

    #[test]
    fn every_panel_is_listed_with_what_it_shows() {
        let titles = titles();
        assert!(titles.len() > 30 && titles.is_sorted(), "{titles:?}");
        assert!(titles.iter().all(|(_, title)| !title.is_empty()), "{titles:?}");
    }
}
