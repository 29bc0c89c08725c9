//! Rows of answers as rows of a table: each value as text, and as what it is sorted by.

use std::collections::BTreeMap;

use serde_json::Value;

use super::asker::LANES_MS;
use super::state::View;
use crate::command::text::{duration, number, plain, string, time};

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// 0: all that the others leave.
    pub(super) width: u16,
    pub(super) right: bool,
    /// On narrower terminals it is left out.
    pub(super) from_width: u16,
}

const fn column(title: &'static str, width: u16, right: bool, from_width: u16) -> Column {
    Column { title, width, right, from_width }
}

const FUNCTIONS: [Column; 8] = [
    column("BLOCKED", 10, true, 0),
    column("POLLS", 6, true, 60),
    column("MAX", 8, true, 50),
    column("WAITED", 6, true, 110),
    column("CAUSE", 8, false, 40),
    column("STATE", 9, false, 70),
    column("SERVICE", 10, false, 100),
    column("FUNCTION", 0, false, 0),
];

const STALLS: [Column; 7] = [
    column("FOR", 8, true, 0),
    column("CAUSE", 8, false, 40),
    column("WAITED", 6, true, 60),
    column("SERVICE", 10, false, 70),
    column("THREAD", 16, false, 100),
    column("BLAMES", 30, false, 120),
    column("FUNCTION", 0, false, 0),
];

const WORKERS: [Column; 6] = [
    column("HELD", 5, true, 0),
    column("POLLS", 5, true, 60),
    column("SERVICE", 10, false, 100),
    column("WORKER", 18, false, 0),
    column("LAST MINUTE", 20, false, 50),
    column("LAST HELD BY", 0, false, 70),
];

/// The columns of a view.
pub(super) fn columns(view: View) -> &'static [Column] {
    match view {
        View::Functions => &FUNCTIONS,
        View::Stalls => &STALLS,
        View::Workers => &WORKERS,
    }
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    /// What it is sorted by before its text: the most first.
    pub(super) weight: u64,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// The service and the function as they are called, not as they are shown.
    pub(super) leads_to: (String, String),
    /// Tells it from others, also in the next answer.
    pub(super) key: String,
    /// A poll that has not returned.
    pub(super) stalled: bool,
}

fn text(text: String) -> Cell {
    Cell { text, weight: 0 }
}

fn time_of(ns: u64) -> Cell {
    Cell { text: duration(ns), weight: ns }
}

fn count(count: u64) -> Cell {
    Cell { text: count.to_string(), weight: count }
}

fn leads_to(row: &Value) -> (String, String) {
    let raw = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    (raw("service"), raw("function"))
}

/// The rows of a view.
pub(super) fn rows(view: View, found: &[Value], at_ms: u64) -> Vec<Row> {
    match view {
        View::Functions => found.iter().map(function).collect(),
        View::Stalls => found.iter().map(stall).collect(),
        View::Workers => workers(found, at_ms),
    }
}

fn function(row: &Value) -> Row {
    let stalled = number(row, "stalled") > 0;
    let (mark, blocked_ns) = (if stalled { "! " } else { "" }, number(row, "blocked_ns"));
    let leads_to = leads_to(row);
    Row {
        cells: vec![
            Cell { text: format!("{mark}{}", duration(blocked_ns)), weight: blocked_ns },
            count(number(row, "calls")),
            time_of(number(row, "max_ns")),
            count(number(row, "victims")),
            text(string(row, "cause")),
            text(string(row, "state")),
            text(string(row, "service")),
            text(string(row, "function")),
        ],
        key: format!("{leads_to:?}"),
        leads_to,
        stalled,
    }
}

fn stall(row: &Value) -> Row {
    let leads_to = leads_to(row);
    Row {
        cells: vec![
            time_of(number(row, "blocked_ns")),
            text(string(row, "cause")),
            count(number(row, "victims")),
            text(string(row, "service")),
            text(string(row, "thread_name")),
            text(string(row, "blame_function")),
            text(string(row, "function")),
        ],
        key: format!("{leads_to:?} {} {}", row["started_ms"], row["trace_id"]),
        leads_to,
        stalled: true,
    }
}

/// How many parts a lane has: each is three seconds.
const PARTS: usize = 20;
const PART_MS: u64 = LANES_MS / PARTS as u64;
/// How full a part of a lane is.
const LEVELS: [char; 6] = ['·', '▁', '▃', '▅', '▇', '█'];

/// Slow polls by the thread that they held.
fn workers(polls: &[Value], at_ms: u64) -> Vec<Row> {
    let mut of_worker: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for poll in polls {
        let key = format!("{} {} {}", poll["service"], poll["instance"], poll["thread_id"]);
        of_worker.entry(key).or_default().push(poll);
    }
    of_worker.into_iter().map(|(key, polls)| worker(key, &polls, at_ms)).collect()
}

/// One worker, of whose polls the last comes first.
fn worker(key: String, polls: &[&Value], at_ms: u64) -> Row {
    let mut held_ms = [0_u64; PARTS];
    let from_ms = at_ms.saturating_sub(LANES_MS);
    for poll in polls {
        let start = number(poll, "start_ms").clamp(from_ms, at_ms);
        let end = (number(poll, "start_ms") + number(poll, "duration_ns").div_ceil(1_000_000))
            .clamp(from_ms, at_ms);
        for (part, held) in (0_u64..).zip(&mut held_ms) {
            let (begins, ends) = (from_ms + part * PART_MS, from_ms + (part + 1) * PART_MS);
            *held += end.min(ends).saturating_sub(start.max(begins));
        }
    }
    let level = |held: u64| match held {
        0 => LEVELS[0],
        _ => LEVELS[usize::try_from(held * 4 / PART_MS).unwrap_or(4).min(4) + 1],
    };
    let share = (held_ms.iter().sum::<u64>() * 100).div_ceil(LANES_MS).min(100);
    let last = polls.first().copied().unwrap_or(&Value::Null);
    let leads_to = leads_to(last);
    let name = string(last, "thread_name");
    // A poll that has not returned does not tell its worker: another of the thread may.
    let worker = polls.iter().find(|poll| poll["worker"].as_i64() >= Some(0));
    let number = worker.map_or(&last["thread_id"], |poll| &poll["worker"]);
    let name = format!("{} {number}", if name.is_empty() { "worker" } else { &name });
    Row {
        cells: vec![
            Cell { text: format!("{share} %"), weight: share },
            count(polls.len() as u64),
            text(string(last, "service")),
            text(name),
            text(held_ms.into_iter().map(level).collect()),
            text(string(last, "function")),
        ],
        key,
        leads_to,
        stalled: polls.iter().any(|poll| poll["stall"] == true),
    }
}

/// One function, in lines: what it cost, its last episodes, its stacks.
pub(super) fn lines_of_function(
    function: &str,
    top: &[Value],
    stacks: &[Value],
    episodes: &[Value],
) -> Vec<String> {
    let mut lines = Vec::new();
    match top.first() {
        Some(row) => {
            let blocked = duration(number(row, "blocked_ns"));
            let (polls, longest) = (number(row, "calls"), duration(number(row, "max_ns")));
            let (half, most) = (duration(number(row, "p50_ns")), duration(number(row, "p99_ns")));
            lines.push(format!("blocked {blocked} in {polls} polls, longest {longest}"));
            lines.push(format!("half took up to {half}, 99 % up to {most}"));
            let (cause, blamed) = (string(row, "cause"), string(row, "blame_function"));
            lines.push(format!("cause {cause}, blames {blamed}"));
            lines.push(format!("at {}:{}", string(row, "file"), number(row, "line")));
            let stalled = number(row, "stalled");
            if stalled > 0 {
                lines.push(format!("! {stalled} polls have not returned yet"));
            }
        }
        None => lines.push("it did not block in this range".to_owned()),
    }
    lines.push(String::new());
    lines.push("EPISODES, the last first".to_owned());
    lines.extend(episodes.iter().map(|row| {
        let (blocked, longest) = (duration(number(row, "blocked_ns")), number(row, "max_ns"));
        let (at, polls) = (time(number(row, "started_ms")), number(row, "polls"));
        let (state, victims) = (string(row, "state"), number(row, "victims"));
        let longest = duration(longest);
        format!(
            "  {at} {state:6} {polls:4} polls {blocked:>9}, longest {longest}, {victims} waited"
        )
    }));
    for stack in stacks {
        let (blocked, polls) = (duration(number(stack, "blocked_ns")), number(stack, "calls"));
        lines.push(String::new());
        lines.push(format!("STACK of {polls} polls, {blocked}, leaf first"));
        let frames = stack["frames"].as_array().map(Vec::as_slice).unwrap_or_default();
        let frames: Vec<&str> = frames.iter().filter_map(Value::as_str).collect();
        // The runtime around the function says nothing of it.
        let own = frames.iter().rposition(|frame| frame.contains(function));
        let kept = own.map_or(frames.len(), |own| own + 1);
        lines.extend(frames[..kept].iter().map(|frame| format!("  {}", plain(frame))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{LANES_MS, columns, rows};
    use crate::command::top::state::View;

    #[test]
    fn every_row_has_a_value_for_each_column() {
        for view in View::ALL {
            let row = &rows(view, &[json!({})], LANES_MS)[0];
            assert_eq!(row.cells.len(), columns(view).len(), "{view:?}");
        }
    }

    #[test]
    fn a_lane_shows_when_and_how_much_a_worker_was_held() {
        let poll = |start_ms: u64, ms: u64| {
            json!({"service": "shop", "instance": "one", "thread_id": 7, "worker": 2,
                "function": "shop::pay", "start_ms": start_ms, "duration_ns": ms * 1_000_000})
        };
        // The last lasts past the end of the range, another began before it.
        let polls = [poll(157_000, 9_000), poll(130_000, 1_500), poll(90_000, 13_000)];
        let row = &rows(View::Workers, &polls, 160_000)[0];
        assert_eq!(row.cells[4].text, "█·········▅········█");
        assert_eq!((row.cells[0].text.as_str(), row.cells[3].text.as_str()), ("13 %", "worker 2"));
    }
}
