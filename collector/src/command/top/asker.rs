//! Asks the collector while the terminal is drawn: an answer may take its time.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use serde_json::Value;

use super::state::{RANGES, View};
use crate::clock::now_ns;
use crate::command::ask::{Choice, Collector, Question};

/// The most rows of a view.
const ROWS: u32 = 500;
/// Of one function: its last episodes, and the stacks with most blocked time.
const EPISODES: u32 = 5;
const STACKS: u32 = 3;
/// How far back the lanes of workers go.
pub(super) const LANES_MS: u64 = 60_000;
/// Answers that nobody has looked at yet.
const ANSWERS_MAX: usize = 4;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) view: View,
    /// Index in [`RANGES`].
    pub(super) range: usize,
    /// Words that are searched for.
    pub(super) search: String,
    /// The service and the function that are looked into.
    pub(super) opened: Option<(String, String)>,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) at_ms: u64,
    pub(super) rows: Vec<Value>,
    pub(super) episodes: Vec<Value>,
    pub(super) stacks: Vec<Value>,
}

/// An answer, or why there is none, to what was wanted.
#[derive(Debug)]
pub(super) struct News {
    pub(super) wanted: Wanted,
    pub(super) answer: Result<Found, String>,
}

/// A thread that asks.
pub(super) struct Asker {
    wants: Sender<Wanted>,
    answers: Receiver<News>,
}

impl Asker {
    /// Starts it. It ends with the program: what it waits for may take a minute.
    pub(super) fn start(collector: Collector, choice: Choice, interval: Duration) -> Self {
        let (wants, wanted) = channel();
        let (answers, news) = sync_channel(ANSWERS_MAX);
        std::thread::spawn(move || ask_on(&collector, &choice, interval, &wanted, &answers));
        Self { wants, answers: news }
    }

    /// Asks for something else from here on.
    pub(super) fn want(&self, wanted: Wanted) {
        // The thread lives as long as this.
        let _sent = self.wants.send(wanted);
    }

    /// An answer, if one has come.
    pub(super) fn news(&self) -> Option<News> {
        self.answers.try_recv().ok()
    }
}

fn ask_on(
    collector: &Collector,
    choice: &Choice,
    interval: Duration,
    wants: &Receiver<Wanted>,
    answers: &SyncSender<News>,
) {
    let interval = interval.max(Duration::from_millis(100));
    let Ok(mut wanted) = wants.recv() else { return };
    loop {
        // Who presses keys faster than answers come wants the last.
        wanted = wants.try_iter().last().unwrap_or(wanted);
        let answer = ask(collector, choice, &wanted).map_err(|error| format!("{error:#}"));
        if answers.send(News { wanted: wanted.clone(), answer }).is_err() {
            return;
        }
        if let Ok(next) = wants.recv_timeout(interval) {
            wanted = next;
        }
    }
}

fn ask(collector: &Collector, choice: &Choice, wanted: &Wanted) -> anyhow::Result<Found> {
    let at_ms = now_ns() / 1_000_000;
    let from_ms = at_ms.saturating_sub(RANGES[wanted.range].1);
    let ask = |panel: &str, from_ms: u64, choice: &Choice, limit: u32, more: &[(&str, &str)]| {
        let question = Question::between(from_ms, at_ms, choice).with("limit", &limit);
        let with = |question: Question, (key, value): &(&str, &str)| question.with(key, *value);
        collector.rows(panel, more.iter().fold(question, with))
    };
    let states = ["new", "regressed", "ongoing"].map(|state| ("state", state));
    let mut found = Found { at_ms, rows: Vec::new(), episodes: Vec::new(), stacks: Vec::new() };
    if let Some((service, function)) = &wanted.opened {
        let of = Choice { service: vec![service.clone()], ..choice.clone() };
        let named = [("function", function.as_str())];
        found.rows = ask("top", from_ms, &of, 1, &named)?;
        found.episodes = ask("episodes", from_ms, &of, EPISODES, &named)?;
        found.stacks = ask("stacks", from_ms, &of, STACKS, &named)?;
        return Ok(found);
    }
    found.rows = match wanted.view {
        View::Functions => {
            let more = [&states[..], &[("search", wanted.search.as_str())]].concat();
            ask("issues", from_ms, choice, ROWS, &more)?
        }
        View::Stalls => ask("stalled", from_ms, choice, ROWS, &[])?,
        View::Workers => ask("polls", at_ms.saturating_sub(LANES_MS), choice, ROWS, &[])?,
    };
    Ok(found)
}
