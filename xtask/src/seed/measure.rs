//! How long the dashboards' queries take, and what they read, as a table for the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::clickhouse::ClickHouse;
use crate::interrupt::Interrupt;
use crate::repository::root;

/// In the order from general to specific: a query is measured as the first that shows it asks it.
const DASHBOARDS: [&str; 4] = ["fleet", "service", "function", "holdup"];
/// What the page asks alone, and its charts' marks, with the dashboard whose range of services it has.
const ALONE: [(&str, &str, u64); 6] = [
    ("alert_marks", "fleet", 500),
    ("attributes", "function", 100),
    ("deploys", "fleet", 500),
    ("function_versions", "function", 20),
    ("issues", "fleet", 500),
    ("stacks", "function", 100),
];
/// Where the table stands in the documentation.
const MARKS: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];
/// Ranges, and the steps that they are cut into.
const RANGES: [(u64, u64); 2] = [(86_400, 3_600), (30 * 86_400, 86_400)];

#[derive(Deserialize)]
struct Layout {
    row: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    panel: Vec<Placed>,
}

#[derive(Deserialize)]
struct Placed {
    query: String,
    #[serde(default = "usual_limit")]
    limit: u64,
}

fn usual_limit() -> u64 {
    20
}

/// Each query, with the dashboard that shows it first and the rows that this asks for.
fn queries() -> anyhow::Result<BTreeMap<String, (&'static str, u64)>> {
    let mut all: BTreeMap<String, _> = ALONE
        .into_iter()
        .map(|(query, dashboard, limit)| (query.to_owned(), (dashboard, limit)))
        .collect();
    for dashboard in DASHBOARDS {
        let path = root().join(format!("queries/dashboards/{dashboard}.toml"));
        let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let layout: Layout = toml::from_str(&text)?;
        for placed in layout.row.into_iter().flat_map(|row| row.panel) {
            all.entry(placed.query).or_insert((dashboard, placed.limit));
        }
    }
    Ok(all)
}

/// Asks every query in every range, and makes the table.
pub(super) fn run(
    clickhouse: &ClickHouse,
    rounds: usize,
    interrupt: &Interrupt,
) -> anyhow::Result<String> {
    let end = clickhouse.file("last", &[])?;
    let end: u64 = end.trim().parse().context("no polls")?;
    let mut table = String::from(
        "| query | asked for | rows read, 24 h | fastest | p95 | rows read, 30 d | fastest | p95 |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for (name, (dashboard, limit)) in queries()? {
        let path = root().join(format!("queries/panels/{name}.sql"));
        let sql = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
        let (asked_for, services, function) = match dashboard {
            "service" => ("one service", "['service-0']", ""),
            "function" => ("one function", "['service-0']", "app_0::handlers::handler_0"),
            _ => ("all", "[]", ""),
        };
        let mut line = format!("| `{name}` | {asked_for} |");
        for (range, step) in RANGES {
            let parameters = [
                ("from", (end - range).to_string()),
                ("to", end.to_string()),
                ("step", step.to_string()),
                ("limit", limit.to_string()),
                ("service", services.to_owned()),
                ("function", function.to_owned()),
                ("environment", "[]".to_owned()),
                ("version", "[]".to_owned()),
                ("instance", "[]".to_owned()),
                ("search", String::new()),
                ("state", "[]".to_owned()),
                // A region of the heatmap: the last tenth of the range, and polls from 50 ms on.
                ("picked_from", (end - range / 10).to_string()),
                ("picked_to", end.to_string()),
                ("picked_over", "50000000".to_owned()),
                ("picked_up_to", "60000000000".to_owned()),
            ];
            let asked = ask(clickhouse, &sql, &parameters, rounds, interrupt)
                .with_context(|| name.clone())?;
            let times = [asked.fastest, asked.p95].map(|time| time.as_millis());
            let rows = grouped(asked.rows);
            let _infallible = write!(line, " {rows} | {} ms | {} ms |", times[0], times[1]);
        }
        table.push_str(&line);
        table.push('\n');
    }
    table.push_str(&sizes(clickhouse)?);
    Ok(table)
}

/// What some rounds of one question took.
struct Asked {
    /// Rows that it reads.
    rows: u64,
    /// The round that other programs were in the way of least.
    fastest: Duration,
    /// What 95 of 100 rounds are within.
    p95: Duration,
}

fn ask(
    clickhouse: &ClickHouse,
    sql: &str,
    parameters: &[(&str, String)],
    rounds: usize,
    interrupt: &Interrupt,
) -> anyhow::Result<Asked> {
    let mut times = Vec::new();
    let mut rows = 0;
    for _ in 0..rounds.max(1) {
        super::stop_when_asked(interrupt)?;
        let begin = Instant::now();
        let answer = clickhouse.ask(&format!("{sql}\nFORMAT JSON"), parameters)?;
        times.push(begin.elapsed());
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        rows = answer["statistics"]["rows_read"].as_u64().context("no statistics")?;
    }
    times.sort_unstable();
    let at = (times.len() * 95).div_ceil(100) - 1;
    Ok(Asked { rows, fastest: times[0], p95: times[at] })
}

/// What the tables hold and take.
fn sizes(clickhouse: &ClickHouse) -> anyhow::Result<String> {
    let rows = clickhouse.file("sizes", &[])?;
    let mut table =
        String::from("\n| table | rows | bytes a row | on disk |\n|---|---:|---:|---:|\n");
    for row in rows.lines() {
        let cells: Vec<&str> = row.split('\t').collect();
        let [name, count, bytes, size] = cells[..] else { bail!("{row:?} is no row") };
        let count = grouped(count.parse()?);
        let _infallible = writeln!(table, "| `{name}` | {count} | {bytes} | {size} |");
    }
    Ok(table)
}

/// Thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Puts the table between the marks.
pub(super) fn write(page: &Path, table: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(page).with_context(|| format!("{}", page.display()))?;
    let changed = between(&text, table)
        .with_context(|| format!("{} has no {}", page.display(), MARKS.join(" … ")))?;
    std::fs::write(page, changed).with_context(|| format!("cannot write {}", page.display()))
}

fn between(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}\n\n{}\n{}{after}", MARKS[0], table.trim_end(), MARKS[1]))
}

#[cfg(test)]
mod tests {
    use super::{between, grouped, queries};

    #[test]
    fn every_query_is_measured_as_the_first_that_shows_it() {
        let queries = queries().unwrap();
        assert_eq!(queries["top"], ("fleet", 50));
        assert_eq!(queries["flame"], ("function", 500));
    }

    #[test]
    fn the_table_replaces_the_one_before() {
        let text = "a\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nb";
        let expected = "a\n<!-- measured: begin -->\n\nx\n<!-- measured: end -->\nb";
        assert_eq!(between(text, "x\n").as_deref(), Some(expected));
        assert_eq!(between("a", "x"), None);
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
