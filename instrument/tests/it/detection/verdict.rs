//! What was told, held against what was true.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use super::faults::{Kind, Truth};
use crate::receiver::Poll;

/// A block that is longer by this part than the threshold has to be found.
const CLEAR: f64 = 1.2;
/// How far a duration may be off.
const ERROR_MAX: Duration = Duration::from_millis(1);
/// Of a stack, where its innermost function is.
const LEAF_FRAMES: usize = 3;

/// How blocks of one kind fared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Those that had to be found.
    pub(crate) clear: usize,
    pub(crate) found: usize,
    /// Of those that were found, also of those that need not have been.
    pub(crate) errors: Vec<Duration>,
    pub(crate) leaf: usize,
    pub(crate) blame: usize,
    pub(crate) cause: usize,
    pub(crate) holder: usize,
    pub(crate) wrong_holder: usize,
}

/// All that came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) rows: Vec<(Kind, Row)>,
    pub(crate) innocents: usize,
    /// Innocents that held their threads for longer than the threshold, by their own account.
    pub(crate) guilty: usize,
    /// What is wrong, block by block.
    pub(crate) faults: Vec<String>,
    /// Reports of what did not block.
    pub(crate) invented: Vec<String>,
}

impl Verdict {
    pub(crate) fn of(truths: &[Truth], polls: &[Poll], threshold: Duration) -> Self {
        let mut rows = Kind::ALL.map(|kind| (kind, Row::default())).to_vec();
        let mut verdict = Self {
            rows: Vec::new(),
            innocents: truths.iter().filter(|truth| truth.kind.is_none()).count(),
            guilty: 0,
            faults: Vec::new(),
            invented: Vec::new(),
        };
        let mut explained = vec![false; polls.len()];
        for truth in truths {
            let found = (0..polls.len()).find(|&at| !explained[at] && is_of(&polls[at], truth));
            if let Some(at) = found {
                explained[at] = truth.kind.is_some() || truth.to_blame() >= threshold;
            }
            let Some(kind) = truth.kind else {
                verdict.guilty += usize::from(truth.to_blame() >= threshold);
                continue;
            };
            let row = &mut rows.iter_mut().find(|(of, _)| *of == kind).unwrap().1;
            let is_clear = truth.to_blame() >= threshold.mul_f64(CLEAR);
            row.clear += usize::from(is_clear);
            row.found += usize::from(is_clear && found.is_some());
            match found {
                Some(at) => row.add(truth, &polls[at], &mut verdict.faults),
                None if is_clear => verdict.faults.push(format!("not found: {truth:?}")),
                None => {}
            }
        }
        let unexplained = polls.iter().zip(explained).filter(|(_, explained)| !explained);
        verdict.invented = unexplained.map(|(poll, _)| of_innocent(poll, truths)).collect();
        verdict.rows = rows;
        verdict
    }

    pub(crate) fn sum(&self, count: impl Fn(&Row) -> usize) -> usize {
        self.rows.iter().map(|(_, row)| count(row)).sum()
    }

    /// Reports, and those whose leaf and blame are right.
    pub(crate) fn reported_and_stacks(&self) -> (usize, usize) {
        (self.sum(|row| row.errors.len()), self.sum(|row| row.leaf.min(row.blame)))
    }

    /// What is wrong whatever else the machine does.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let reported = self.sum(|row| row.errors.len());
        let mut misses = Vec::new();
        let mut ask = |what: &str, is: usize, least: usize| {
            if is < least {
                misses.push(format!("{what}: {is}, and {least} would be enough"));
            }
        };
        ask("blocks found", self.sum(|row| row.found), self.sum(|row| row.clear));
        let in_time = |row: &Row| row.errors.iter().filter(|error| **error <= ERROR_MAX).count();
        ask("durations within 1 ms", self.sum(in_time), reported);
        misses
    }

    /// What keeps it from the bar; empty when nothing does.
    pub(crate) fn misses(&self) -> Vec<String> {
        let mut misses = self.wrong();
        let mut ask = |what: &str, is: usize, least: usize| {
            if is < least {
                misses.push(format!("{what}: {is}, and {least} would be enough"));
            }
        };
        let most = (self.sum(|row| row.errors.len()) * 99).div_ceil(100);
        ask("right leaves", self.sum(|row| row.leaf), most);
        ask("right functions", self.sum(|row| row.blame), most);
        ask("right causes", self.sum(|row| row.cause), most);
        if self.sum(|row| row.wrong_holder) > 0 {
            misses.push(format!("{} holders were wrong", self.sum(|row| row.wrong_holder)));
        }
        if !self.invented.is_empty() {
            misses.push(format!("{} innocent polls were reported", self.invented.len()));
        }
        misses
    }
}

impl Row {
    fn add(&mut self, truth: &Truth, poll: &Poll, faults: &mut Vec<String>) {
        let told = Duration::from_nanos(poll.duration_ns());
        // A thread may lose its CPU between the fault's clock and the poll's.
        let error = truth.inner.saturating_sub(told).max(told.saturating_sub(truth.outer));
        self.errors.push(error);
        let kind = truth.kind.unwrap();
        let stack = poll.text("code.stacktrace").unwrap_or_default();
        let has_leaf = is_leaf(kind, &stack);
        let blame = poll.text("holdup.blame.function").unwrap_or_default();
        let has_blame = blame.ends_with(kind.function());
        let cause = poll.text("holdup.cause").unwrap_or_default();
        let has_cause = truth.causes().contains(&cause.as_str());
        self.leaf += usize::from(has_leaf);
        self.blame += usize::from(has_blame);
        self.cause += usize::from(has_cause);
        let holder = poll.text("holdup.lock.holder.thread.name");
        if let Some(holder) = &holder {
            let is_right = truth.holder.as_ref() == Some(holder);
            self.holder += usize::from(is_right);
            self.wrong_holder += usize::from(!is_right);
        }
        let is_wrong = holder.is_some() && holder != truth.holder;
        if !has_leaf || !has_blame || !has_cause || error > ERROR_MAX || is_wrong {
            let numbers = ["holdup.cpu_ns", "holdup.runqueue_ns"].map(|name| poll.integer(name));
            let stack = stack.lines().take(4).collect::<Vec<_>>();
            let due = truth.causes();
            faults.push(format!(
                "{told:?} {cause}, {blame:?}, cpu and runqueue {numbers:?}, held by {holder:?}: \
                 {stack:#?}; was {due:?}, {truth:?}"
            ));
        }
    }
}

/// Whether the stack begins where such a block is. A function that computes may be in what std or a
/// system call's wrapper does for it.
fn is_leaf(kind: Kind, stack: &str) -> bool {
    let Some(leaves) = kind.leaf() else {
        let own = stack.lines().find(|line| line.contains("faults::"));
        return own.is_some_and(|line| line.contains(kind.function()));
    };
    let mut first = stack.lines().take(LEAF_FRAMES);
    first.any(|line| leaves.iter().any(|leaf| line.contains(leaf)))
}

/// Whether a report is of this poll: the same thread at the same time.
fn is_of(poll: &Poll, truth: &Truth) -> bool {
    let start = nanoseconds(truth.start);
    let end = start + as_nanoseconds(truth.outer);
    let (from, to) = (poll.span.start_time_unix_nano, poll.span.end_time_unix_nano);
    let common = end.min(to).saturating_sub(start.max(from));
    poll.integer("thread.id") == Some(u64::from(truth.thread))
        && common * 2 > (end - start).max(to - from)
}

fn of_innocent(poll: &Poll, truths: &[Truth]) -> String {
    let numbers = ["holdup.self_ns", "holdup.cpu_ns", "holdup.runqueue_ns"];
    let numbers = numbers.map(|name| poll.integer(name));
    let truth = truths.iter().find(|truth| is_of(poll, truth));
    let stack = poll.text("code.stacktrace").unwrap_or_default();
    let stack = stack.lines().take(4).collect::<Vec<_>>();
    let cause = poll.text("holdup.cause").unwrap_or_default();
    format!(
        "{} {cause}, stall {}, self, cpu and runqueue {numbers:?}, {stack:#?}; was {truth:?}",
        poll.function(),
        poll.is_stall()
    )
}

fn nanoseconds(time: SystemTime) -> u64 {
    as_nanoseconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap())
}

fn as_nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// In Markdown.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| kind | found | duration off by p50 | p99 | most | leaf | function | cause | holder \
             |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|"
        )?;
        for (kind, row) in &self.rows {
            let mut errors = row.errors.clone();
            errors.sort();
            let of = |share: usize| {
                let at = (errors.len() * share / 100).min(errors.len().saturating_sub(1));
                errors.get(at).copied().unwrap_or_default()
            };
            let reported = row.errors.len();
            let mut holder = String::from("-");
            if kind.has_holder() {
                holder.clear();
                write!(holder, "{} of {reported}", row.holder)?;
            }
            writeln!(
                f,
                "| {} | {} of {} | {:.1?} | {:.1?} | {:.1?} | {} of {reported} | {} | {} | {holder} |",
                kind.name(),
                row.found,
                row.clear,
                of(50),
                of(99),
                of(100),
                row.leaf,
                row.blame,
                row.cause,
            )?;
        }
        let sum = |count: fn(&Row) -> usize| self.sum(count);
        writeln!(
            f,
            "| all | {} of {} | | | | {} of {} | {} | {} | {} |\n\n{} innocent polls, {} of them \
             slow by themselves; {} were reported",
            sum(|row| row.found),
            sum(|row| row.clear),
            sum(|row| row.leaf),
            sum(|row| row.errors.len()),
            sum(|row| row.blame),
            sum(|row| row.cause),
            sum(|row| row.holder),
            self.innocents,
            self.guilty,
            self.invented.len()
        )
    }
}
