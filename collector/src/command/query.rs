//! `holdup query`: asks a running collector one of the questions of `queries/`.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::clock::now_ns;
use crate::store::catalog;

/// The arguments of `holdup query`.
#[derive(Args, Debug)]
pub(crate) struct QueryArgs {
    /// What to ask
    #[arg(value_parser = panels())]
    pub(super) name: String,
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    pub(super) since: Duration,
    /// Only this service; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) service: Vec<String>,
    /// Only this function, fully qualified
    #[arg(long, value_name = "NAME")]
    pub(super) function: Option<String>,
    /// The most rows
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    pub(super) limit: u32,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    pub(super) output: Output,
    /// The collector's page
    #[arg(long, env = "HOLDUP_PAGE", value_name = "URL", default_value = "http://127.0.0.1:4380")]
    pub(super) page: String,
}

/// The names that can be asked, with what they show.
fn panels() -> PossibleValuesParser {
    let panels = catalog::panel_names().into_iter().map(|name| {
        let title = catalog::panel(&name).map(|panel| panel.title).unwrap_or_default();
        PossibleValue::new(name).help(title)
    });
    panels.collect::<Vec<_>>().into()
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// Asks, and prints the rows.
pub(crate) fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let rows = ask(args)?;
    let mut out = std::io::stdout().lock();
    let written = match args.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?),
        Output::Table if rows.is_empty() => {
            // stdout stays data only; an empty table has none.
            writeln!(
                std::io::stderr(),
                "nothing in the last {}: widen --since, or see the page for how to add a service",
                humantime::format_duration(args.since)
            )
        }
        Output::Table => writeln!(out, "{}{}", table(&args.name, &rows), advice(&rows)),
    };
    match written {
        // A pager that was closed has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the answer"),
    }
}

fn ask(args: &QueryArgs) -> anyhow::Result<Vec<Value>> {
    let to_ms = now_ns() / 1_000_000;
    let since_ms = u64::try_from(args.since.as_millis()).unwrap_or(u64::MAX);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("from", &to_ms.saturating_sub(since_ms).to_string());
    form.append_pair("to", &to_ms.to_string());
    form.append_pair("limit", &args.limit.to_string());
    for service in &args.service {
        form.append_pair("service", service);
    }
    if let Some(function) = &args.function {
        form.append_pair("function", function);
    }
    let base = args.page.trim_end_matches('/');
    let url = format!("{base}/api/v1/query/{}?{}", args.name, form.finish());
    // The page is near: a proxy that is meant for the way out would not find it.
    // It has no TLS: no certificates are read, and none need be there.
    let client = reqwest::blocking::Client::builder().no_proxy().tls_certs_only([]);
    let client = client.timeout(Duration::from_secs(60)).build()?;
    let response = client.get(&url).send().with_context(|| {
        format!("no collector answers at {base}: start `holdup serve`, or correct --page")
    })?;
    let status = response.status();
    let body = response.bytes().with_context(|| format!("{base} broke off its answer"))?;
    let answer: Value = serde_json::from_slice(&body)
        .with_context(|| format!("{base} is no holdup: it answered {status} without JSON"))?;
    if let Some(message) = answer.pointer("/error/message").and_then(Value::as_str) {
        bail!("{message}");
    }
    match answer.get("data") {
        Some(Value::Array(rows)) => Ok(rows.clone()),
        _ => bail!("{base} is no holdup: it answered {status} without rows"),
    }
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
        .filter(|column| rows.iter().any(|row| !is_empty(&row[&column.name])))
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

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
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

/// The text without control characters: a name must not be able to drive the terminal.
fn plain(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    visible.take(200).collect()
}

/// A duration in the unit that leaves one to three digits before the point.
fn duration(ns: u64) -> String {
    let (divisor, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        1_000_000_000..120_000_000_000 => (1_000_000_000, "s"),
        120_000_000_000..7_200_000_000_000 => (60_000_000_000, "min"),
        _ => (3_600_000_000_000, "h"),
    };
    format!("{}.{} {unit}", ns / divisor, ns % divisor * 10 / divisor)
}

/// A time as RFC 3339 has it, to the second, UTC.
fn time(unix_ms: u64) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(unix_ms);
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::{advice, duration, heading, plain, table, time};

    #[test]
    fn durations_are_short() {
        for (ns, text) in [
            (0, "0 ns"),
            (1_500, "1.5 µs"),
            (12_345_678, "12.3 ms"),
            (9_990_000_000, "9.9 s"),
            (180_000_000_000, "3.0 min"),
            (36_000_000_000_000, "10.0 h"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }

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
            "blame_crate": "", "last_seen_ms": 1_795_339_164_007_u64,
        })];
        let text = table("top", &rows).to_string();
        assert!(text.contains("BLOCKED") && text.contains("1.5 ms"), "{text}");
        assert!(!text.contains("BLAME CRATE"), "nothing is known of it: {text}");
        assert!(text.contains(&time(1_795_339_164_007)));
        assert_eq!(heading("max_ns"), "MAX");
    }
}
