//! One blocking episode: a run of slow polls, and what they sum up to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use xxhash_rust::xxh3::xxh3_64;

use super::remembered::{PollId, Remembered};
use crate::polls::{Brief, Poll as Span};
use crate::span::Origin;

/// What is kept of one poll, to sum up and to recognise it when it comes again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Poll {
    pub(super) duration_ns: u64,
    self_ns: u64,
    victims: u32,
    pub(super) stall: bool,
}

impl Poll {
    /// What is known of a poll from two of its forms: a finished one says more than a report of
    /// its stall, and the longer of two more than the shorter.
    fn merged(self, other: Self) -> Self {
        let says = |poll: &Self| (!poll.stall, poll.duration_ns);
        let best = if says(&other) > says(&self) { other } else { self };
        Self { duration_ns: self.duration_ns.max(other.duration_ns), ..best }
    }
}

/// The poll that blocked longest: an episode is described by it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Worst {
    /// Its self time, ns.
    pub(crate) self_ns: u64,
    /// Id of its span.
    pub(crate) span_id: [u8; 8],
    /// Id of its trace.
    pub(crate) trace_id: [u8; 16],
    /// Its cause.
    pub(crate) cause: &'static str,
    /// The function that it blames.
    pub(crate) blame_function: String,
    /// The crate that it blames.
    pub(crate) blame_crate: String,
    /// Its stack.
    pub(crate) stack_id: u64,
}

impl Worst {
    fn of(span: Span<'_>) -> Self {
        Self {
            self_ns: span.self_ns,
            span_id: span.span_id,
            trace_id: span.trace_id,
            cause: span.cause,
            blame_function: span.blame_function.to_owned(),
            blame_crate: span.blame_crate.to_owned(),
            stack_id: span.stack_id,
        }
    }

    /// By self time; the id breaks a tie, so that the order of arrival does not.
    fn rank(&self) -> (u64, [u8; 8]) {
        (self.self_ns, self.span_id)
    }
}

/// What an episode's polls sum up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Polls, the unfinished among them.
    pub(crate) polls: u64,
    /// Self time of all, ns.
    pub(crate) blocked_ns: u64,
    /// Tasks that had to wait.
    pub(crate) victims: u64,
}

impl Sums {
    fn add(&mut self, poll: &Poll) {
        self.polls += 1;
        self.blocked_ns = self.blocked_ns.saturating_add(poll.self_ns);
        self.victims = self.victims.saturating_add(u64::from(poll.victims));
    }

    fn subtract(&mut self, poll: &Poll) {
        self.polls -= 1;
        self.blocked_ns = self.blocked_ns.saturating_sub(poll.self_ns);
        self.victims = self.victims.saturating_sub(u64::from(poll.victims));
    }
}

/// What a row of an episode is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outline {
    /// Its id.
    pub(crate) id: u64,
    /// What sent the polls.
    pub(crate) origin: Origin,
    /// The function.
    pub(crate) function: String,
    /// Start of the first poll, ns since 1970.
    pub(crate) start_ns: u64,
    /// End of the last poll, ns since 1970.
    pub(crate) end_ns: u64,
    /// No poll is expected to join it.
    pub(crate) closed: bool,
    /// Polls that have not returned.
    pub(crate) stalled: u64,
    /// What its polls sum up to.
    pub(crate) sums: Sums,
    /// The poll that blocked longest.
    pub(crate) worst: Worst,
}

/// A run of slow polls of one function in one service instance.
#[derive(Debug)]
pub(super) struct Episode {
    /// Start of the first poll, ns since 1970.
    pub(super) start_ns: u64,
    /// End of the last poll, ns since 1970.
    pub(super) end_ns: u64,
    /// No poll is expected to join it.
    pub(super) closed: bool,
    /// Its row is in the store, or on the way there.
    pub(super) written: bool,
    /// It changed since it was written.
    pub(super) dirty: bool,
    /// Span id of the first poll: with the start it names the episode.
    first_span: [u8; 8],
    /// The polls that it can recognise.
    polls: Remembered,
    /// Sums of all polls, those among them that it can recognise no more.
    sums: Sums,
    /// The worst of those that have finished.
    worst_finished: Option<Worst>,
    /// Those that have not, each with what is known of it.
    stalls: BTreeMap<PollId, Worst>,
}

impl Episode {
    /// The episode of one poll. With `remember` off the poll counts, but a repeat of it counts too.
    pub(super) fn of(span: Span<'_>, remember: bool) -> Self {
        let mut episode = Self {
            start_ns: span.start_ns,
            end_ns: end(span.brief()),
            closed: false,
            written: false,
            dirty: true,
            first_span: span.span_id,
            polls: Remembered::default(),
            sums: Sums::default(),
            worst_finished: None,
            stalls: BTreeMap::new(),
        };
        episode.add(span.brief(), remember, || span);
        episode
    }

    /// Takes a poll in, or a further form of one that it holds. What else there is to know of it is
    /// asked for where that matters.
    pub(super) fn add<'a>(
        &mut self,
        span: Brief,
        remember: bool,
        whole: impl FnOnce() -> Span<'a>,
    ) {
        let id = (span.start_ns, span.span_id);
        let poll = Poll {
            duration_ns: span.duration_ns,
            self_ns: span.self_ns,
            victims: span.victims,
            stall: span.stall,
        };
        self.begin(id);
        self.end_ns = self.end_ns.max(end(span));
        let Some(form) = self.put(id, poll, remember) else { return };
        self.dirty = true;
        if form.stall && self.polls.get(id).is_some() {
            self.stalls.insert(id, Worst::of(whole()));
        } else if !span.stall || form.stall {
            self.stalls.remove(&id);
            let rank = (span.self_ns, span.span_id);
            // Most are not the worst: their names are not copied.
            if self.worst_finished.as_ref().is_none_or(|held| rank >= held.rank()) {
                self.worst_finished = Some(Worst::of(whole()));
            }
        }
    }

    /// Takes over the polls of another episode of the same function.
    pub(super) fn absorb(&mut self, other: Self) {
        self.begin((other.start_ns, other.first_span));
        self.end_ns = self.end_ns.max(other.end_ns);
        self.dirty = true;
        let mut forgotten = other.sums;
        for poll in other.polls.values() {
            forgotten.subtract(poll);
        }
        self.sums.polls += forgotten.polls;
        self.sums.blocked_ns = self.sums.blocked_ns.saturating_add(forgotten.blocked_ns);
        self.sums.victims = self.sums.victims.saturating_add(forgotten.victims);
        for (id, poll) in other.polls.into_all() {
            // One may hold it as a stall, and the other as it ended.
            let _form = self.put(id, poll, true);
        }
        if let Some(worst) = other.worst_finished {
            self.finish(worst);
        }
        for (id, worst) in other.stalls {
            match self.stalls.entry(id) {
                Entry::Occupied(held) if held.get().rank() >= worst.rank() => {}
                Entry::Occupied(mut held) => drop(held.insert(worst)),
                Entry::Vacant(place) => drop(place.insert(worst)),
            }
        }
        let polls = &self.polls;
        self.stalls.retain(|id, _| polls.get(*id).is_none_or(|poll| poll.stall));
    }

    /// Counts a poll, or replaces what was counted of it; `None` when that says nothing more.
    fn put(&mut self, id: PollId, poll: Poll, remember: bool) -> Option<Poll> {
        let Some(held) = self.polls.get_mut(id) else {
            self.sums.add(&poll);
            if remember {
                self.polls.put(id, poll);
            }
            return Some(poll);
        };
        let merged = held.merged(poll);
        if merged == *held {
            return None;
        }
        self.sums.subtract(held);
        self.sums.add(&merged);
        *held = merged;
        Some(merged)
    }

    fn begin(&mut self, (start_ns, span_id): PollId) {
        if (start_ns, span_id) < (self.start_ns, self.first_span) {
            self.start_ns = start_ns;
            self.first_span = span_id;
        }
    }

    fn finish(&mut self, worst: Worst) {
        if self.worst_finished.as_ref().is_none_or(|held| worst.rank() >= held.rank()) {
            self.worst_finished = Some(worst);
        }
    }

    /// Forgets the single polls that ended before `before_ns`: they stay in the sums.
    pub(super) fn forget(&mut self, before_ns: u64) {
        self.polls.forget(before_ns);
    }

    /// The id: the same for the same first poll, on whichever collector it is computed.
    pub(super) fn id(&self, origin: &Origin, function: &str) -> u64 {
        let mut text = Vec::with_capacity(128);
        let origin = [&origin.service, &origin.environment, &origin.version, &origin.instance];
        for part in origin.into_iter().map(String::as_str).chain([function]) {
            text.extend_from_slice(part.as_bytes());
            text.push(0);
        }
        text.extend_from_slice(&self.start_ns.to_le_bytes());
        text.extend_from_slice(&self.first_span);
        xxh3_64(&text)
    }

    /// Whether a poll from `start_ns` to `end_ns` belongs to it.
    pub(super) fn touches(&self, start_ns: u64, end_ns: u64, gap_ns: u64) -> bool {
        start_ns <= self.end_ns.saturating_add(gap_ns)
            && self.start_ns <= end_ns.saturating_add(gap_ns)
    }

    /// Polls that it can recognise when they come again.
    pub(super) fn remembered(&self) -> usize {
        self.polls.len()
    }

    /// Whether it can recognise all of its polls.
    pub(super) fn is_whole(&self) -> bool {
        u64::try_from(self.polls.len()).is_ok_and(|polls| polls == self.sums.polls)
    }

    /// When it is closed unless another poll joins it. One that stalls stays open for as long as it
    /// is remembered, because the reports of a stall come at growing intervals.
    pub(super) fn closes_ns(&self, linger_ns: u64, memory_ns: u64) -> u64 {
        let stays_ns = if self.stalls.is_empty() { linger_ns } else { memory_ns };
        self.end_ns.saturating_add(stays_ns)
    }

    /// What its row is made of.
    pub(super) fn outline(&self, origin: &Origin, function: &str) -> Outline {
        let worst = self.worst_finished.iter().chain(self.stalls.values());
        Outline {
            id: self.id(origin, function),
            origin: origin.clone(),
            function: function.to_owned(),
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            closed: self.closed,
            stalled: u64::try_from(self.stalls.len()).unwrap_or(u64::MAX),
            sums: self.sums,
            worst: worst.max_by_key(|worst| worst.rank()).cloned().unwrap_or_default(),
        }
    }
}

/// When a poll ended, or was last seen.
pub(super) fn end(span: Brief) -> u64 {
    span.start_ns.saturating_add(span.duration_ns)
}
