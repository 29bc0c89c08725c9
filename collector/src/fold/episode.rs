//! One blocking episode: a run of slow polls, and what they sum up to.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::span::{Origin, PollSpan};

/// What is kept of one poll, to sum up and to recognise it when it comes again.
#[derive(Clone, Debug, PartialEq)]
struct Poll {
    duration_ns: u64,
    self_ns: u64,
    victims: u64,
    stall: bool,
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

/// A run of slow polls of one function in one service instance.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Episode {
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
    /// The poll that blocked longest.
    pub(crate) worst: Worst,
    /// Its row is in the store, or on the way there.
    pub(super) written: bool,
    /// It changed since it was written.
    pub(super) dirty: bool,
    /// Span id of the first poll: with the start it names the episode.
    first_span: [u8; 8],
    polls: BTreeMap<(u64, [u8; 8]), Poll>,
    /// Sums of what `polls` holds no more, or never held.
    forgotten: Sums,
}

/// What an episode's polls sum up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Polls, the unfinished among them.
    pub(crate) polls: u64,
    /// Polls that have not returned.
    pub(crate) stalled: u64,
    /// Self time of all, ns.
    pub(crate) blocked_ns: u64,
    /// Tasks that had to wait.
    pub(crate) victims: u64,
}

impl Sums {
    fn add(&mut self, poll: &Poll) {
        self.polls += 1;
        self.stalled += u64::from(poll.stall);
        self.blocked_ns = self.blocked_ns.saturating_add(poll.self_ns);
        self.victims = self.victims.saturating_add(poll.victims);
    }

    fn merge(&mut self, other: Self) {
        self.polls += other.polls;
        self.stalled += other.stalled;
        self.blocked_ns = self.blocked_ns.saturating_add(other.blocked_ns);
        self.victims = self.victims.saturating_add(other.victims);
    }
}

impl Episode {
    /// The episode of one poll. With `remember` off the poll counts, but a repeat of it counts too.
    pub(super) fn of(origin: &Origin, function: &str, span: &PollSpan, remember: bool) -> Self {
        let poll = Poll {
            duration_ns: span.duration_ns,
            self_ns: span.self_ns,
            victims: u64::from(span.victims),
            stall: span.stall,
        };
        let mut episode = Self {
            origin: origin.clone(),
            function: function.to_owned(),
            start_ns: span.start_ns,
            end_ns: span.start_ns.saturating_add(span.duration_ns),
            closed: false,
            worst: Worst {
                self_ns: span.self_ns,
                span_id: span.span_id,
                trace_id: span.trace_id,
                cause: span.cause,
                blame_function: span.blame_function.clone(),
                blame_crate: span.blame_crate.clone(),
                stack_id: span.stack_id,
            },
            written: false,
            dirty: true,
            first_span: span.span_id,
            polls: BTreeMap::new(),
            forgotten: Sums::default(),
        };
        if remember {
            episode.polls.insert((span.start_ns, span.span_id), poll);
        } else {
            episode.forgotten.add(&poll);
        }
        episode
    }

    /// The id: the same for the same first poll, on whichever collector it is computed.
    pub(crate) fn id(&self) -> u64 {
        let mut text = Vec::with_capacity(128);
        for part in [
            &self.origin.service,
            &self.origin.environment,
            &self.origin.version,
            &self.origin.instance,
            &self.function,
        ] {
            text.extend_from_slice(part.as_bytes());
            text.push(0);
        }
        text.extend_from_slice(&self.start_ns.to_le_bytes());
        text.extend_from_slice(&self.first_span);
        xxh3_64(&text)
    }

    /// What its polls sum up to.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = self.forgotten;
        for poll in self.polls.values() {
            sums.add(poll);
        }
        sums
    }

    /// Whether a poll from `start_ns` to `end_ns` belongs to it.
    pub(super) fn touches(&self, start_ns: u64, end_ns: u64, gap_ns: u64) -> bool {
        start_ns <= self.end_ns.saturating_add(gap_ns)
            && self.start_ns <= end_ns.saturating_add(gap_ns)
    }

    /// Whether it holds this very poll already, in this form or a later one.
    pub(super) fn holds(&self, span: &PollSpan) -> bool {
        self.polls
            .get(&(span.start_ns, span.span_id))
            .is_some_and(|held| (held.duration_ns, !held.stall) >= (span.duration_ns, !span.stall))
    }

    /// Takes over the polls of another episode of the same function.
    pub(super) fn absorb(&mut self, other: Self) {
        if (other.start_ns, other.first_span) < (self.start_ns, self.first_span) {
            self.start_ns = other.start_ns;
            self.first_span = other.first_span;
        }
        self.end_ns = self.end_ns.max(other.end_ns);
        // The id breaks a tie, so that the order of arrival does not.
        if (other.worst.self_ns, other.worst.span_id) >= (self.worst.self_ns, self.worst.span_id) {
            self.worst = other.worst;
        }
        self.forgotten.merge(other.forgotten);
        for (id, poll) in other.polls {
            let held = self.polls.entry(id).or_insert_with(|| poll.clone());
            if (poll.duration_ns, !poll.stall) > (held.duration_ns, !held.stall) {
                *held = poll;
            }
        }
        self.dirty = true;
    }

    /// Polls that it can recognise when they come again.
    pub(super) fn remembered(&self) -> usize {
        self.polls.len()
    }

    /// When it is closed unless another poll joins it. One that stalls stays open for as long as it
    /// is remembered, because the reports of a stall come at doubling intervals.
    pub(super) fn closes_ns(&self, linger_ns: u64, memory_ns: u64) -> u64 {
        let stalls = self.forgotten.stalled > 0 || self.polls.values().any(|poll| poll.stall);
        self.end_ns.saturating_add(if stalls { memory_ns } else { linger_ns })
    }

    /// The episode without its single polls: what a row is made of.
    pub(super) fn outline(&self) -> Self {
        Self { polls: BTreeMap::new(), forgotten: self.sums(), ..self.clone() }
    }
}
