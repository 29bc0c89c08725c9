//! `holdup tail`: episodes as they open and close, a line each.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::ask::{Address, Choice, Collector, Question};
use super::query::Output;
use super::text::{duration, number, plain, print, string, tell, time};
use crate::clock::now_ns;
use crate::store::ROWS_MAX;

/// How far back an episode may have ended whose end is still to be told: the fold's memory, and the
/// time that its rows take to come here.
const BACK_MS: u64 = 10 * 60_000;
/// Clocks of services may be ahead.
const AHEAD_MS: u64 = 60_000;

/// The arguments of `holdup tail`.
#[derive(Args, Debug)]
pub(crate) struct TailArgs {
    /// Begin with the episodes of this long ago; without it, with those that open from here on
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    #[command(flatten)]
    choice: Choice,
    /// Only this function, fully qualified
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// How often to ask
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// A line of text or of JSON for each
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    address: Address,
}

/// Tells until it is ended, or nobody reads.
pub(crate) fn run(args: &TailArgs) -> anyhow::Result<()> {
    let collector = Collector::at(&args.address)?;
    let since_ms = args.since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let mut followed = Followed::default();
    // What is wrong from the beginning is most likely a mistake of whoever asks.
    let first = ask(&collector, args, since_ms.unwrap_or(0).max(BACK_MS))?;
    let begun_ms = (now_ns() / 1_000_000).saturating_sub(since_ms.unwrap_or(0));
    let events = followed.see(&first);
    let recent = |event: &Event| since_ms.is_some() && number(&event.row, "ended_ms") >= begun_ms;
    show(args.output, events.iter().filter(|event| recent(event)))?;
    let mut lost = false;
    loop {
        std::thread::sleep(args.interval.max(Duration::from_millis(100)));
        match ask(&collector, args, BACK_MS) {
            Ok(rows) => {
                if std::mem::take(&mut lost) {
                    tell("the collector answers again");
                }
                show(args.output, followed.see(&rows).iter())?;
            }
            Err(error) if !lost => {
                tell(&format!("{error:#}; trying until it works"));
                lost = true;
            }
            Err(_told) => {}
        }
    }
}

fn ask(collector: &Collector, args: &TailArgs, back_ms: u64) -> anyhow::Result<Vec<Value>> {
    let now_ms = now_ns() / 1_000_000;
    let (from_ms, to_ms) = (now_ms.saturating_sub(back_ms), now_ms + AHEAD_MS);
    let mut question = Question::between(from_ms, to_ms, &args.choice).with("limit", &ROWS_MAX);
    if let Some(function) = &args.function {
        question = question.with("function", function);
    }
    collector.rows("episodes", question)
}

/// What became of an episode.
#[derive(Debug, PartialEq)]
struct Event {
    closed: bool,
    row: Value,
}

/// The episodes of the last answer, and whether each was closed. Those that an answer has no longer
/// are past, and forgotten.
#[derive(Debug, Default)]
struct Followed {
    closed: HashMap<String, bool>,
}

impl Followed {
    /// What is different in this answer, the oldest first.
    fn see(&mut self, rows: &[Value]) -> Vec<Event> {
        let mut next = HashMap::with_capacity(rows.len());
        let mut events = Vec::new();
        for row in rows.iter().rev() {
            let id = row["episode_id"].as_str().unwrap_or_default().to_owned();
            let closed = row["state"] == "closed";
            let before = self.closed.get(&id).copied();
            if before.is_none() {
                events.push(Event { closed: false, row: row.clone() });
            }
            if closed && before != Some(true) {
                events.push(Event { closed: true, row: row.clone() });
            }
            next.insert(id, closed);
        }
        self.closed = next;
        events
    }
}

/// Prints events. A reader that went away ends the command: nobody is left to tell.
fn show<'a>(output: Output, events: impl Iterator<Item = &'a Event>) -> anyhow::Result<()> {
    let text: String = events.map(|event| line(output, event) + "\n").collect();
    if text.is_empty() { Ok(()) } else { print(text.as_bytes()) }
}

fn line(output: Output, event: &Event) -> String {
    let row = &event.row;
    let name = if event.closed { "closed" } else { "opened" };
    if matches!(output, Output::Json) {
        return json!({"event": name, "episode": row}).to_string();
    }
    let at = time(number(row, if event.closed { "ended_ms" } else { "started_ms" }));
    let (service, function) = (string(row, "service"), string(row, "function"));
    let mut line = format!("{at} {name} {service} {function}: {}", string(row, "cause"));
    let blamed = string(row, "blame_function");
    if !blamed.is_empty() {
        line += &format!(" in {blamed}");
    }
    if event.closed {
        let (blocked, longest) = (number(row, "blocked_ns"), number(row, "max_ns"));
        let polls = number(row, "polls");
        line += &format!("; {} of {polls} polls", duration(blocked));
        line += &format!(", longest {}, {} waited", duration(longest), number(row, "victims"));
    }
    plain(&line)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Event, Followed, Output, line};

    fn episode(id: &str, state: &str) -> Value {
        json!({"episode_id": id, "state": state, "service": "shop", "function": "shop::pay",
            "cause": "sleep", "started_ms": 0, "ended_ms": 2_000, "polls": 3,
            "blocked_ns": 1_500_000_000_u64, "max_ns": 600_000_000, "victims": 4})
    }

    fn names(events: &[Event]) -> Vec<(&str, bool)> {
        let id = |event: &Event| ["a", "b"].into_iter().find(|id| event.row["episode_id"] == **id);
        events.iter().map(|event| (id(event).unwrap_or_default(), event.closed)).collect()
    }

    #[test]
    fn each_episode_is_told_when_it_opens_and_when_it_closes() {
        let mut followed = Followed::default();
        assert_eq!(names(&followed.see(&[episode("a", "open")])), [("a", false)]);
        assert_eq!(followed.see(&[episode("a", "open")]), []);
        let rows = [episode("b", "closed"), episode("a", "closed")];
        assert_eq!(names(&followed.see(&rows)), [("a", true), ("b", false), ("b", true)]);
        assert_eq!(followed.see(&rows), []);
    }

    #[test]
    fn a_line_says_what_it_cost_and_is_one_line() {
        let mut row = episode("a", "closed");
        row["blame_function"] = "db::wait\n\u{1b}[2J".into();
        let told = line(Output::Table, &Event { closed: true, row: row.clone() });
        let expected = "1970-01-01T00:00:02Z closed shop shop::pay: sleep in \
                        db::wait\u{fffd}\u{fffd}[2J; 1.5 s of 3 polls, longest 600.0 ms, 4 waited";
        assert_eq!(told, expected);
        let opened = line(Output::Json, &Event { closed: false, row });
        assert!(opened.starts_with("{\"episode\"") && opened.lines().count() == 1, "{opened}");
    }
}
