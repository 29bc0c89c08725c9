//! The tables' rows. The client compares names and types with the server's before it sends one.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::fold::{Outline, Sums, Worst, Written};
use crate::span::{Origin, PollSpan, Stack, Suspect};

/// A time in the range that `DateTime64(9)` holds.
pub(super) fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// A row of `stacks`.
#[derive(Row, Serialize)]
pub(super) struct StackRow<'a> {
    stack_id: u64,
    frames: &'a [String],
    seen: u32,
}

impl<'a> StackRow<'a> {
    /// The stack as seen at a unix time in seconds.
    pub(super) fn new(stack: &'a Stack, seen: u32) -> Self {
        Self { stack_id: stack.id, frames: &stack.frames, seen }
    }
}

/// A row of `suspects`.
#[derive(Row, Serialize)]
pub(super) struct SuspectRow<'a> {
    start: i64,
    service: &'a str,
    instance: &'a str,
    function: &'a str,
    duration_ns: u64,
    busy_ns: u64,
    idle_ns: u64,
    trace_id: [u8; 16],
    span_id: [u8; 8],
}

impl<'a> From<&'a Suspect> for SuspectRow<'a> {
    fn from(suspect: &'a Suspect) -> Self {
        Self {
            start: time(suspect.start_ns),
            service: &suspect.origin.service,
            instance: &suspect.origin.instance,
            function: &suspect.function,
            duration_ns: suspect.duration_ns,
            busy_ns: suspect.busy_ns,
            idle_ns: suspect.idle_ns,
            trace_id: suspect.trace_id,
            span_id: suspect.span_id,
        }
    }
}

/// A row of `episodes`.
#[derive(Row, Serialize)]
pub(super) struct EpisodeRow<'a> {
    episode_id: u64,
    service: &'a str,
    environment: &'a str,
    service_version: &'a str,
    instance: &'a str,
    function: &'a str,
    started: i64,
    ended: i64,
    closed: bool,
    polls: u64,
    stalled: u64,
    blocked_ns: u64,
    max_ns: u64,
    victims: u64,
    cause: &'a str,
    blame_function: &'a str,
    blame_crate: &'a str,
    stack_id: u64,
    worst_trace_id: [u8; 16],
    worst_span_id: [u8; 8],
    revision: u64,
    writer: u64,
    is_deleted: u8,
}

/// One write of episodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revision {
    /// Of the rows under one id, that of the highest holds.
    pub(crate) number: u64,
    /// The run of a collector that writes.
    pub(crate) writer: u64,
}

impl<'a> EpisodeRow<'a> {
    /// The episode at a revision: of the rows under one id, the highest revision holds.
    pub(super) fn new(episode: &'a Outline, revision: Revision, removed: bool) -> Self {
        let sums = episode.sums;
        Self {
            episode_id: episode.id,
            service: &episode.origin.service,
            environment: &episode.origin.environment,
            service_version: &episode.origin.version,
            instance: &episode.origin.instance,
            function: &episode.function,
            started: time(episode.start_ns),
            ended: time(episode.end_ns),
            closed: episode.closed,
            polls: sums.polls,
            stalled: episode.stalled,
            blocked_ns: sums.blocked_ns,
            max_ns: episode.worst.self_ns,
            victims: sums.victims,
            cause: episode.worst.cause,
            blame_function: &episode.worst.blame_function,
            blame_crate: &episode.worst.blame_crate,
            stack_id: episode.worst.stack_id,
            worst_trace_id: episode.worst.trace_id,
            worst_span_id: episode.worst.span_id,
            revision: revision.number,
            writer: revision.writer,
            is_deleted: u8::from(removed),
        }
    }
}

/// What the fold needs of a poll that is in the store already.
#[derive(Row, Deserialize)]
pub(super) struct RecentPoll {
    start_ns: i64,
    duration_ns: u64,
    self_ns: u64,
    service: String,
    environment: String,
    service_version: String,
    instance: String,
    function: String,
    cause: String,
    blame_function: String,
    blame_crate: String,
    stack_id: u64,
    victims: u32,
    stall: bool,
    trace_id: [u8; 16],
    span_id: [u8; 8],
}

impl From<RecentPoll> for PollSpan {
    fn from(row: RecentPoll) -> Self {
        Self {
            start_ns: u64::try_from(row.start_ns).unwrap_or(0),
            duration_ns: row.duration_ns,
            self_ns: row.self_ns,
            origin: Origin {
                service: row.service,
                environment: row.environment,
                version: row.service_version,
                instance: row.instance,
            },
            function: row.function,
            cause: crate::decode::cause(&row.cause),
            blame_function: row.blame_function,
            blame_crate: row.blame_crate,
            stack_id: row.stack_id,
            victims: row.victims,
            stall: row.stall,
            trace_id: row.trace_id,
            span_id: row.span_id,
            ..Self::default()
        }
    }
}

/// What names an episode that is in the store already.
#[derive(Row, Deserialize)]
pub(crate) struct RecentEpisode {
    episode_id: u64,
    service: String,
    environment: String,
    service_version: String,
    instance: String,
    function: String,
    start_ns: i64,
    revision: u64,
}

impl RecentEpisode {
    /// The number of the write that it is from.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Its id.
    pub(crate) fn id(&self) -> u64 {
        self.episode_id
    }

    /// The row that takes it away.
    pub(super) fn removal(&self, revision: Revision) -> EpisodeRow<'_> {
        EpisodeRow {
            episode_id: self.episode_id,
            service: &self.service,
            environment: &self.environment,
            service_version: &self.service_version,
            instance: &self.instance,
            function: &self.function,
            started: self.start_ns,
            ended: self.start_ns,
            closed: true,
            polls: 0,
            stalled: 0,
            blocked_ns: 0,
            max_ns: 0,
            victims: 0,
            cause: "unknown",
            blame_function: "",
            blame_crate: "",
            stack_id: 0,
            worst_trace_id: [0; 16],
            worst_span_id: [0; 8],
            revision: revision.number,
            writer: revision.writer,
            is_deleted: 1,
        }
    }
}

/// An episode as another collector wrote it.
#[derive(Row, Deserialize)]
pub(super) struct OthersEpisode {
    episode_id: u64,
    service: String,
    environment: String,
    service_version: String,
    instance: String,
    function: String,
    start_ns: i64,
    end_ns: i64,
    polls: u64,
    stalled: u64,
    blocked_ns: u64,
    victims: u64,
    revision: u64,
    is_deleted: u8,
}

impl From<OthersEpisode> for Written {
    fn from(row: OthersEpisode) -> Self {
        let sums = Sums { polls: row.polls, blocked_ns: row.blocked_ns, victims: row.victims };
        let outline = Outline {
            id: row.episode_id,
            origin: Origin {
                service: row.service,
                environment: row.environment,
                version: row.service_version,
                instance: row.instance,
            },
            function: row.function,
            start_ns: u64::try_from(row.start_ns).unwrap_or(0),
            end_ns: u64::try_from(row.end_ns).unwrap_or(0),
            closed: false,
            stalled: row.stalled,
            sums,
            worst: Worst::default(),
        };
        Self { outline, revision: row.revision, removed: row.is_deleted != 0 }
    }
}
