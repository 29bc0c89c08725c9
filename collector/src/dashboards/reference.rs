//! The part of `docs/queries.md` that the queries' own headers tell.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::store::catalog;

/// Where it stands.
const MARKS: [&str; 2] = ["<!-- queries: begin -->", "<!-- queries: end -->"];

/// The page with what the headers say between its marks, or `None` when it has none.
pub(super) fn placed_in(page: &str, shown_on: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let (before, rest) = page.split_once(MARKS[0])?;
    let (_, after) = rest.split_once(MARKS[1])?;
    Some(format!("{before}{}\n{}\n{}{after}", MARKS[0], of_all(shown_on), MARKS[1]))
}

fn of_all(shown_on: &BTreeMap<String, Vec<String>>) -> String {
    let mut names = catalog::panel_names();
    names.sort();
    let mut text = String::new();
    for name in names {
        let Some(panel) = catalog::panel(&name) else { continue };
        let _infallible =
            write!(text, "\n### `{name}`: {}\n\n{}", panel.title, sentence(&panel.description));
        if !panel.reading.is_empty() {
            let _infallible = write!(text, " {}", panel.reading);
        }
        let places = match shown_on.get(&name) {
            Some(dashboards) => format!("On {}.", dashboards.join(", ")),
            None => "On no dashboard.".to_owned(),
        };
        let _infallible = write!(text, "\n\n{places} It {}.\n\n", panel.cost);
        text.push_str("| column | unit | meaning |\n|---|---|---|\n");
        for column in panel.columns {
            let meaning = column.meaning.replace('|', "\\|");
            let _infallible = writeln!(text, "| `{}` | {} | {meaning} |", column.name, column.unit);
        }
    }
    text
}

fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}
