//! Folds slow polls into blocking episodes.
//!
//! An episode is a run of slow polls of one function in one service instance, no further apart than
//! a gap. Which episodes come out depends on the set of polls alone: not on their order, nor on how
//! often one is repeated. A poll that still blocks is sent again, longer, under the same span id; it
//! counts once, with its longest form.
//!
//! This is plain data and arithmetic: the time is passed in, and nothing here does I/O.

mod episode;
#[cfg(test)]
mod properties;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::span::{Origin, PollSpan};
pub(crate) use episode::Episode;

/// Name of the function that takes the polls of all that pass the bound on open episodes.
pub(crate) const OVERFLOW: &str = "otel.metric.overflow";

/// How polls become episodes, and how much is remembered meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Polls further apart than this belong to different episodes.
    pub(crate) gap: Duration,
    /// How long after its last poll an episode is closed, to let late spans in.
    pub(crate) linger: Duration,
    /// How long after its last poll an episode is remembered, so that a late span still joins it.
    pub(crate) memory: Duration,
    /// Functions times instances that are followed at once.
    pub(crate) keys_max: usize,
    /// Polls that are remembered at once to recognise repeats.
    pub(crate) polls_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gap: Duration::from_secs(1),
            linger: Duration::from_secs(10),
            memory: Duration::from_secs(300),
            keys_max: 10_000,
            polls_max: 500_000,
        }
    }
}

/// What happened to an episode.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// It is as given: write it over what was there under its id.
    Upsert(Episode),
    /// It became part of another: take it away.
    Remove(Episode),
}

/// One function in one service instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    origin: Origin,
    function: String,
}

/// The episodes that polls may still join.
#[derive(Debug)]
pub(crate) struct Fold {
    settings: Settings,
    episodes: HashMap<Key, Vec<Episode>>,
    /// Keys with an episode that changed since the last call of [`Fold::changes`].
    changed: BTreeSet<Key>,
    /// Episodes that were written and have since been merged away.
    removed: Vec<Episode>,
    polls: usize,
    overflowed: u64,
}

impl Fold {
    /// Nothing seen yet.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            episodes: HashMap::new(),
            changed: BTreeSet::new(),
            removed: Vec::new(),
            polls: 0,
            overflowed: 0,
        }
    }

    /// Takes one poll in.
    pub(crate) fn push(&mut self, span: &PollSpan) {
        let mut key = Key { origin: span.origin.clone(), function: span.function.clone() };
        if !self.episodes.contains_key(&key) && self.episodes.len() >= self.settings.keys_max {
            self.overflowed += 1;
            key = Key {
                origin: Origin { service: OVERFLOW.into(), ..Origin::default() },
                function: OVERFLOW.into(),
            };
        }
        let remember = self.polls < self.settings.polls_max;
        let gap_ns = nanos(self.settings.gap);
        let of_key = self.episodes.entry(key.clone()).or_default();
        if of_key.iter().any(|e| e.holds(span)) {
            return;
        }
        let polls_before: usize = of_key.iter().map(Episode::remembered).sum();

        let mut joined = Episode::of(&key.origin, &key.function, span, remember);
        let touching = |e: &Episode| e.touches(joined.start_ns, joined.end_ns, gap_ns);
        let (touched, apart): (Vec<_>, Vec<_>) =
            std::mem::take(of_key).into_iter().partition(touching);
        let written: Vec<Episode> =
            touched.iter().filter(|e| e.written).map(Episode::outline).collect();
        for episode in touched {
            joined.absorb(episode);
        }
        let id = joined.id();
        joined.written = written.iter().any(|e| e.id() == id);
        self.removed.extend(written.into_iter().filter(|e| e.id() != id));
        *of_key = apart;
        of_key.push(joined);

        let polls_after: usize = of_key.iter().map(Episode::remembered).sum();
        self.polls = self.polls + polls_after - polls_before;
        self.changed.insert(key);
    }

    /// What changed since the last call, with episodes closed whose time has come at `now_ns`.
    pub(crate) fn changes(&mut self, now_ns: u64) -> Vec<Change> {
        let mut changes: Vec<Change> = self.removed.drain(..).map(Change::Remove).collect();
        let (linger, memory) = (nanos(self.settings.linger), nanos(self.settings.memory));
        let mut keys = std::mem::take(&mut self.changed);
        keys.extend(self.due(now_ns, linger, memory));
        for key in keys {
            let Some(of_key) = self.episodes.get_mut(&key) else { continue };
            for episode in of_key.iter_mut() {
                let closed = now_ns > episode.closes_ns(linger, memory);
                if !episode.written || episode.dirty || closed != episode.closed {
                    episode.closed = closed;
                    episode.written = true;
                    episode.dirty = false;
                    changes.push(Change::Upsert(episode.outline()));
                }
            }
            let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(of_key)
                .into_iter()
                .partition(|e| e.closed && now_ns > e.end_ns.saturating_add(memory));
            self.polls -= gone.iter().map(Episode::remembered).sum::<usize>();
            if kept.is_empty() {
                self.episodes.remove(&key);
            } else {
                *of_key = kept;
            }
        }
        changes
    }

    /// Keys with an episode to close or to forget at `now_ns`.
    fn due(&self, now_ns: u64, linger: u64, memory: u64) -> Vec<Key> {
        let due = |e: &Episode| {
            let next = if e.closed {
                e.end_ns.saturating_add(memory)
            } else {
                e.closes_ns(linger, memory)
            };
            now_ns > next
        };
        let keys = self.episodes.iter().filter(|(_, of_key)| of_key.iter().any(due));
        keys.map(|(key, _)| key.clone()).collect()
    }

    /// Episodes that are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.episodes.values().map(Vec::len).sum()
    }

    /// Polls that passed the bound on functions followed at once.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed
    }
}

/// Nanoseconds, as far as they fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
