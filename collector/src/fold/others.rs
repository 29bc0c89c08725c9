//! Episodes of which other collectors have polls, too.
//!
//! Each collector folds the polls that came to it, and reads what others write. Where they wrote of
//! an episode that touches one here and says something else, its polls are folded from the store,
//! which has those of all. Which episodes come out depends on the set of polls alone, so that all
//! come to the same, whoever writes last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use super::episode::{Outline, Sums, Worst};
use super::{Fold, Key, nanos};
use crate::span::{Origin, PollSpan};

/// So many episodes of others are known at once.
const HELD_MAX: usize = 100_000;

/// An episode as another collector wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The episode, but for its worst poll.
    pub(crate) outline: Outline,
    /// The number of the write.
    pub(crate) revision: u64,
    /// It was taken away.
    pub(crate) removed: bool,
}

/// The same, as it is remembered.
#[derive(Debug)]
struct Held {
    start_ns: u64,
    end_ns: u64,
    stalled: u64,
    sums: Sums,
    revision: u64,
    removed: bool,
    /// The episodes here are made with its polls.
    settled: bool,
}

impl Held {
    fn says(&self, outline: &Outline) -> bool {
        let told = (outline.end_ns, outline.stalled, outline.sums);
        !self.removed && (self.end_ns, self.stalled, self.sums) == told
    }
}

/// What others wrote lately.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// By a hash of the key, and by id.
    of_key: HashMap<u64, BTreeMap<u64, Held>>,
    held: usize,
    hasher: RandomState,
}

impl Others {
    /// Takes in what another collector wrote. What was taken in before changes nothing.
    pub(crate) fn take(&mut self, written: &Written) {
        let Written { outline, revision, removed } = written;
        let key = Key { origin: outline.origin.clone(), function: outline.function.clone() };
        let of_key = self.of_key.entry(self.hasher.hash_one(&key)).or_default();
        let known = of_key.get(&outline.id);
        if known.is_some_and(|held| held.revision >= *revision)
            || known.is_none() && self.held >= HELD_MAX
        {
            return;
        }
        let held = Held {
            start_ns: outline.start_ns,
            end_ns: outline.end_ns,
            stalled: outline.stalled,
            sums: outline.sums,
            revision: *revision,
            removed: *removed,
            settled: false,
        };
        self.held += usize::from(of_key.insert(outline.id, held).is_none());
    }

    /// Forgets those that ended before a time.
    pub(crate) fn forget(&mut self, before_ns: u64) {
        self.of_key.retain(|_, of_key| {
            of_key.retain(|_, held| held.end_ns >= before_ns);
            !of_key.is_empty()
        });
        self.held = self.of_key.values().map(BTreeMap::len).sum();
    }

    fn of(&mut self, key: &Key) -> Option<&mut BTreeMap<u64, Held>> {
        self.of_key.get_mut(&self.hasher.hash_one(key))
    }
}

/// A function in an instance whose polls are to be folded again from the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Disputed {
    /// The instance.
    pub(crate) origin: Origin,
    /// The function.
    pub(crate) function: String,
    /// Polls that began before it stay as they are folded, ns since 1970.
    pub(crate) since_ns: u64,
}

impl Disputed {
    /// Whether a poll is one of those.
    pub(crate) fn has(&self, poll: &PollSpan) -> bool {
        poll.start_ns >= self.since_ns
            && poll.function == self.function
            && poll.origin == self.origin
    }
}

impl Fold {
    /// What others wrote of episodes that touch those here, where it says something else.
    pub(crate) fn disputed(&self, others: &mut Others) -> Vec<Disputed> {
        if others.of_key.is_empty() {
            return Vec::new();
        }
        let keys = self.episodes.keys();
        keys.filter_map(|key| {
            let since_ns = self.disputed_since(key, others.of(key)?)?;
            let Key { origin, function } = key.clone();
            Some(Disputed { origin, function, since_ns })
        })
        .collect()
    }

    fn disputed_since(&self, key: &Key, written: &mut BTreeMap<u64, Held>) -> Option<u64> {
        let gap_ns = nanos(self.settings.gap);
        let of_key = self.episodes.get(key)?;
        let ours = || of_key.values().map(|e| e.outline(&key.origin, &key.function));
        let ours: HashMap<u64, Outline> = ours().map(|outline| (outline.id, outline)).collect();
        let mut since_ns = None;
        for (id, held) in written.iter_mut().filter(|(_, held)| !held.settled) {
            held.settled = match ours.get(id) {
                Some(outline) => held.says(outline),
                None => held.removed,
            };
            let touches = |e: &super::Episode| e.touches(held.start_ns, held.end_ns, gap_ns);
            if !held.settled && of_key.values().any(touches) {
                since_ns = Some(since_ns.unwrap_or(u64::MAX).min(held.start_ns));
            }
        }
        let mut since_ns = since_ns?;
        let here = of_key.values().map(|e| (e.start_ns, e.end_ns));
        let there = written.values().filter(|held| !held.removed);
        let mut runs: Vec<_> = here.chain(there.map(|it| (it.start_ns, it.end_ns))).collect();
        runs.sort_unstable_by(|a, b| b.cmp(a));
        for (start_ns, end_ns) in runs {
            if end_ns.saturating_add(gap_ns) >= since_ns {
                since_ns = since_ns.min(start_ns);
            }
        }
        Some(since_ns)
    }

    /// Folds again what is disputed: `polls` are all those that the store has. What was written with
    /// a revision up to `wrote` may have been written over by us.
    pub(crate) fn settle(
        &mut self,
        disputed: &Disputed,
        polls: &[PollSpan],
        others: &mut Others,
        wrote: u64,
    ) {
        let Disputed { origin, function, since_ns } = disputed;
        let key = Key { origin: origin.clone(), function: function.clone() };
        let before = self.take_partial(&key, *since_ns);
        polls.iter().for_each(|poll| self.push(poll));
        let Some(written) = others.of(&key) else { return };
        let of_key = self.episodes.entry(key.clone()).or_default();
        let mut ids = HashSet::new();
        for episode in of_key.range_mut(since_ns..).map(|(_, episode)| episode) {
            let outline = episode.outline(origin, function);
            ids.insert(outline.id);
            let told = written.get(&outline.id);
            let is_there = told.is_some_and(|it| it.revision > wrote && it.says(&outline));
            episode.dirty = !is_there;
            episode.written |= is_there || before.iter().any(|it| it.id == outline.id);
        }
        self.removed.extend(before.into_iter().filter(|outline| !ids.contains(&outline.id)));
        for (id, held) in written.iter_mut().filter(|(_, held)| held.start_ns >= *since_ns) {
            held.settled = true;
            if !held.removed && !ids.contains(id) {
                self.removed.push(removal(*id, &key, held));
            }
        }
        if of_key.is_empty() {
            self.episodes.swap_remove(&key);
        }
        self.changed.insert(key);
    }

    /// Leaves what is disputed as it is written.
    pub(crate) fn leave(disputed: &Disputed, others: &mut Others) {
        let key = Key { origin: disputed.origin.clone(), function: disputed.function.clone() };
        for held in others.of(&key).into_iter().flat_map(BTreeMap::values_mut) {
            held.settled = true;
        }
    }

    /// Takes out the episodes since a time that hold sums of polls which they can't recognise: those
    /// would count twice. Returns those of them that are written.
    fn take_partial(&mut self, key: &Key, since_ns: u64) -> Vec<Outline> {
        let Some(of_key) = self.episodes.get_mut(key) else { return Vec::new() };
        let partial = of_key.range(since_ns..).filter(|(_, episode)| !episode.is_whole());
        let starts: Vec<u64> = partial.map(|(start_ns, _)| *start_ns).collect();
        let mut written = Vec::new();
        for episode in starts.iter().filter_map(|start_ns| of_key.remove(start_ns)) {
            self.held -= 1;
            self.polls -= episode.remembered();
            if episode.written {
                written.push(episode.outline(&key.origin, &key.function));
            }
        }
        written
    }
}

/// What takes an episode of another collector away.
fn removal(id: u64, key: &Key, held: &Held) -> Outline {
    Outline {
        id,
        origin: key.origin.clone(),
        function: key.function.clone(),
        start_ns: held.start_ns,
        end_ns: held.end_ns,
        closed: true,
        stalled: 0,
        sums: held.sums,
        worst: Worst { cause: "unknown", ..Worst::default() },
    }
}
