//! Folds slow polls into blocking episodes.
//!
//! An episode is a run of slow polls of one function in one service instance, no further apart than
//! a gap. Which episodes come out depends on the set of polls alone: not on their order, nor on how
//! often one is repeated, as long as they come within the fold's memory. A poll that still blocks is
//! sent again, longer, under the same span id; it counts once, in the form that says most.
//!
//! This is plain data and arithmetic: the time is passed in, and nothing here does I/O.

mod episode;
mod grouped;
mod others;
#[cfg(test)]
mod others_tests;
#[cfg(test)]
mod properties;
mod remembered;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foldhash::fast::RandomState;
use indexmap::{Equivalent, IndexMap};

use crate::polls::{Brief, Poll, Polls};
use crate::span::Origin;
use episode::{Episode, end};
pub(crate) use episode::{Outline, Sums, Worst};
pub(crate) use others::{Disputed, Others, Written};

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
    /// Episodes that are remembered at once, except those of [`OVERFLOW`].
    pub(crate) episodes_max: usize,
    /// Polls that are remembered at once to recognise repeats; with those that have not returned,
    /// twice as many.
    pub(crate) polls_max: usize,
}

impl Settings {
    /// The defaults with another gap: an episode has to stay open for longer than that.
    pub(crate) fn with_gap(gap: Duration) -> Self {
        let linger = gap + Duration::from_secs(10);
        let memory = Duration::from_secs(300).max(linger * 2);
        let (keys_max, episodes_max, polls_max) = (0, 0, 0);
        Self { gap, linger, memory, keys_max, episodes_max, polls_max }.with_keys_max(10_000)
    }

    /// The same with room for so many functions times instances, and as much of all else as goes
    /// with them.
    pub(crate) fn with_keys_max(self, keys_max: usize) -> Self {
        let (episodes_max, polls_max) = (keys_max.saturating_mul(10), keys_max.saturating_mul(50));
        Self { keys_max, episodes_max, polls_max, ..self }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::with_gap(Duration::from_secs(1))
    }
}

/// What happened to an episode.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// It is as given: write it over what was there under its id.
    Upsert(Outline),
    /// It became part of another: take it away.
    Remove(Outline),
}

/// One function in one service instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    origin: Origin,
    function: String,
}

/// The same, to be looked up: the hash of both is that of their parts.
#[derive(Clone, Copy, Hash)]
struct KeyOf<'a> {
    origin: &'a Origin,
    function: &'a str,
}

impl<'a> KeyOf<'a> {
    fn new(poll: Poll<'a>) -> Self {
        Self { origin: poll.origin, function: poll.function }
    }

    fn to_key(self) -> Key {
        Key { origin: self.origin.clone(), function: self.function.to_owned() }
    }
}

impl Equivalent<Key> for KeyOf<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.function == key.function && *self.origin == key.origin
    }
}

/// The episodes that polls may still join.
#[derive(Debug)]
pub(crate) struct Fold {
    settings: Settings,
    /// Of each key the episodes by their start: they are further apart than the gap.
    episodes: IndexMap<Key, BTreeMap<u64, Episode>, RandomState>,
    /// Keys with an episode that changed since the last call of [`Fold::changes`].
    changed: BTreeSet<Key>,
    /// Episodes that were written and have since been merged away.
    removed: Vec<Outline>,
    polls: usize,
    /// How many episodes there are.
    held: usize,
    counts: Counts,
    /// What the polls are said to come from that pass the bounds.
    overflow: Origin,
}

/// Where a poll belongs.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The index of a key,
    index: usize,
    /// which is the poll's own,
    is_own: bool,
    /// or that of all others, because there is no room for one of its own. Neither is true where
    /// there is one, and no room for more episodes under it: that is looked at for each poll.
    is_past: bool,
}

/// What passed the fold's bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Polls that are folded under [`OVERFLOW`].
    pub(crate) overflowed: u64,
    /// Polls that count, and whose repeat would count again.
    pub(crate) unremembered: u64,
}

impl Fold {
    /// Nothing seen yet.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            episodes: IndexMap::default(),
            changed: BTreeSet::new(),
            removed: Vec::new(),
            polls: 0,
            held: 0,
            counts: Counts::default(),
            overflow: Origin { service: OVERFLOW.into(), ..Origin::default() },
        }
    }

    /// Takes all polls of a request in, those of a function one after the other: what is known of it
    /// is in a cache then. Most often one joins its last episode.
    pub(crate) fn push_all(&mut self, polls: &Polls) {
        for rows in grouped::by_key(polls).rows() {
            let mut place: Option<Place> = None;
            for row in rows {
                let (row, whole) = (*row as usize, || polls.get(*row as usize));
                if let Some(place) = place.filter(|place| place.is_past || place.is_own)
                    && self.joins_last(place.index, polls.brief(row), whole)
                {
                    self.counts.overflowed += u64::from(place.is_past);
                    continue;
                }
                let found = self.place(whole());
                if !self.joins_last(found.index, polls.brief(row), whole) {
                    self.put(found.index, whole());
                }
                place = Some(found);
            }
        }
    }

    /// Adds a poll to the last episode of a key if it lies in or behind it, and touches no other.
    fn joins_last<'a>(
        &mut self,
        index: usize,
        span: Brief,
        whole: impl FnOnce() -> Poll<'a>,
    ) -> bool {
        let gap_ns = nanos(self.settings.gap);
        let Some((key, of_key)) = self.episodes.get_index_mut(index) else { return false };
        let mut last = of_key.iter_mut().rev();
        let (Some((_, episode)), before) = (last.next(), last.next()) else { return false };
        let touches = |e: &Episode| e.touches(span.start_ns, end(span), gap_ns);
        // An earlier start would name it anew.
        if span.start_ns <= episode.start_ns
            || !touches(episode)
            || before.is_some_and(|(_, before)| touches(before))
        {
            return false;
        }
        let polls_max = self.settings.polls_max * if span.stall { 2 } else { 1 };
        let remember = self.polls < polls_max;
        self.counts.unremembered += u64::from(!remember);
        let (remembered, was_dirty) = (episode.remembered(), episode.dirty);
        episode.add(span, remember, whole);
        self.polls = self.polls + episode.remembered() - remembered;
        if episode.dirty && !was_dirty {
            self.changed.insert(key.clone());
        }
        true
    }

    /// Takes one poll in.
    pub(crate) fn push<'a>(&mut self, span: impl Into<Poll<'a>>) {
        let span = span.into();
        let place = self.place(span);
        self.put(place.index, span);
    }

    /// Where a poll belongs.
    fn place(&mut self, span: Poll<'_>) -> Place {
        let known = self.episodes.get_index_of(&KeyOf::new(span));
        if self.is_past(known, span) {
            self.counts.overflowed += 1;
            return Place { index: self.overflow(), is_past: known.is_none(), is_own: false };
        }
        let new = || KeyOf::new(span).to_key();
        let index = known.unwrap_or_else(|| self.episodes.insert_full(new(), BTreeMap::new()).0);
        Place { index, is_past: false, is_own: true }
    }

    /// Takes a poll in under the key of an index.
    fn put(&mut self, index: usize, span: Poll<'_>) {
        // A stall comes again for certain.
        let polls_max = self.settings.polls_max * if span.stall { 2 } else { 1 };
        let remember = self.polls < polls_max;
        self.counts.unremembered += u64::from(!remember);
        let Some((key, of_key)) = self.episodes.get_index_mut(index) else { return };
        let mut touched = take_touched(of_key, span.brief(), nanos(self.settings.gap));
        self.polls -= touched.iter().map(Episode::remembered).sum::<usize>();
        self.held = self.held + 1 - touched.len();

        // What was written under an id that the outcome does not have is to be taken away.
        let written = touched.iter().filter(|e| e.written);
        let written: Vec<Outline> =
            written.map(|e| e.outline(&key.origin, &key.function)).collect();
        let largest = (0..touched.len()).max_by_key(|index| touched[*index].remembered());
        let mut joined = match largest {
            Some(index) => {
                let mut joined = touched.swap_remove(index);
                joined.add(span.brief(), remember, || span);
                joined
            }
            None => Episode::of(span, remember),
        };
        for episode in touched {
            joined.absorb(episode);
        }
        let id = joined.id(&key.origin, &key.function);
        joined.written = written.iter().any(|outline| outline.id == id);
        self.removed.extend(written.into_iter().filter(|outline| outline.id != id));

        self.polls += joined.remembered();
        let dirty = joined.dirty;
        of_key.insert(joined.start_ns, joined);
        if dirty && !self.changed.contains(key) {
            self.changed.insert(key.clone());
        }
    }

    /// The index of what takes the polls that pass the bounds.
    fn overflow(&mut self) -> usize {
        let key = KeyOf { origin: &self.overflow, function: OVERFLOW };
        let known = self.episodes.get_index_of(&key);
        known.unwrap_or_else(|| self.episodes.insert_full(key.to_key(), BTreeMap::new()).0)
    }

    /// Whether there is no room for what this poll begins, its key having an index.
    fn is_past(&self, index: Option<usize>, span: Poll<'_>) -> bool {
        let Some((_, of_key)) = index.and_then(|index| self.episodes.get_index(index)) else {
            return self.episodes.len() >= self.settings.keys_max
                || self.held >= self.settings.episodes_max;
        };
        let (span, gap_ns) = (span.brief(), nanos(self.settings.gap));
        let until_ns = end(span).saturating_add(gap_ns);
        let last = of_key.range(..=until_ns).next_back();
        let joins = last.is_some_and(|(_, e)| e.touches(span.start_ns, end(span), gap_ns));
        self.held >= self.settings.episodes_max && !joins
    }

    /// What changed since the last call, with episodes closed whose time has come at `now_ns`.
    pub(crate) fn changes(&mut self, now_ns: u64) -> Vec<Change> {
        let mut changes: Vec<Change> = self.removed.drain(..).map(Change::Remove).collect();
        let (linger, memory) = (nanos(self.settings.linger), nanos(self.settings.memory));
        let mut keys = std::mem::take(&mut self.changed);
        keys.extend(self.due(now_ns, linger, memory));
        for key in keys {
            let Some(of_key) = self.episodes.get_mut(&key) else { continue };
            self.polls -= of_key.values().map(Episode::remembered).sum::<usize>();
            for episode in of_key.values_mut() {
                let closed = now_ns > episode.closes_ns(linger, memory);
                if !episode.written || episode.dirty || closed != episode.closed {
                    episode.closed = closed;
                    episode.written = true;
                    episode.dirty = false;
                    changes.push(Change::Upsert(episode.outline(&key.origin, &key.function)));
                }
                episode.forget(now_ns.saturating_sub(memory));
            }
            let held = of_key.len();
            of_key.retain(|_, e| !(e.closed && now_ns > e.end_ns.saturating_add(memory)));
            self.held -= held - of_key.len();
            self.polls += of_key.values().map(Episode::remembered).sum::<usize>();
            if of_key.is_empty() {
                self.episodes.swap_remove(&key);
            }
        }
        changes
    }

    /// Keys with an episode to close or to forget at `now_ns`.
    fn due(&self, now_ns: u64, linger: u64, memory: u64) -> Vec<Key> {
        let due = |e: &Episode| {
            let closes = e.closes_ns(linger, memory);
            now_ns > if e.closed { e.end_ns.saturating_add(memory) } else { closes }
        };
        let keys = self.episodes.iter().filter(|(_, of_key)| of_key.values().any(due));
        keys.map(|(key, _)| key.clone()).collect()
    }

    /// Episodes that are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.held
    }

    /// What passed the bounds so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }
}

/// Takes out the episodes that a poll belongs to: most often one, more when it closes a gap.
fn take_touched(of_key: &mut BTreeMap<u64, Episode>, span: Brief, gap_ns: u64) -> Vec<Episode> {
    let until_ns = end(span).saturating_add(gap_ns);
    // They lie apart, so their ends are in the order of their starts.
    let before = of_key.range(..=until_ns).rev();
    let touched = before.take_while(|(_, e)| e.touches(span.start_ns, end(span), gap_ns));
    let starts: Vec<u64> = touched.map(|(start_ns, _)| *start_ns).collect();
    starts.into_iter().filter_map(|start_ns| of_key.remove(&start_ns)).collect()
}

/// Nanoseconds, as far as they fit.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
