//! Polls that come to several collectors, in whatever parts and order, come to the episodes of one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::properties::{MS, SECOND, poll};
use super::{Change, Fold, Others, Outline, Settings, Written};
use crate::span::PollSpan;

/// What the store has: polls, and every write of episodes with who wrote.
#[derive(Default)]
struct Stored {
    polls: Vec<PollSpan>,
    writes: Vec<(usize, Written)>,
}

struct Collector {
    fold: Fold,
    others: Others,
    wrote: u64,
    /// The highest number of a write that it knows of.
    revision: u64,
}

impl Collector {
    fn new() -> Self {
        let (fold, others) = (Fold::new(Settings::default()), Others::default());
        Self { fold, others, wrote: 0, revision: 0 }
    }

    fn take(&mut self, span: &PollSpan, stored: &mut Stored) {
        stored.polls.retain(|held| {
            held.span_id != span.span_id
                || !held.stall
                || span.stall && held.duration_ns > span.duration_ns
        });
        if !stored.polls.iter().any(|held| held.span_id == span.span_id) {
            stored.polls.push(span.clone());
        }
        self.fold.push(span);
    }

    fn share(&mut self, me: usize, stored: &Stored) {
        for (_, written) in stored.writes.iter().filter(|(by, _)| *by != me) {
            self.revision = self.revision.max(written.revision);
            self.others.take(written);
        }
        for disputed in self.fold.disputed(&mut self.others) {
            let polls = stored.polls.iter().filter(|poll| disputed.has(poll));
            let polls: Vec<PollSpan> = polls.cloned().collect();
            self.fold.settle(&disputed, &polls, &mut self.others, self.wrote);
        }
    }

    /// Returns how much it wrote.
    fn write(&mut self, me: usize, stored: &mut Stored, now_ns: u64) -> usize {
        let changes = self.fold.changes(now_ns);
        if !changes.is_empty() {
            // No two write with one number.
            self.revision = (self.revision / 3 + 1) * 3 + u64::try_from(me).unwrap();
            self.wrote = self.revision;
        }
        let written = |change| match change {
            Change::Upsert(outline) => (outline, false),
            Change::Remove(outline) => (outline, true),
        };
        let last: BTreeMap<u64, (Outline, bool)> =
            changes.into_iter().map(written).map(|it| (it.0.id, it)).collect();
        for (outline, removed) in last.values().cloned() {
            stored.writes.push((me, Written { outline, revision: self.wrote, removed }));
        }
        last.len()
    }
}

/// What remains: of each id the write with the highest number.
fn rows(stored: &Stored) -> BTreeMap<u64, Outline> {
    let mut last: BTreeMap<u64, &Written> = BTreeMap::new();
    for (_, written) in &stored.writes {
        let held = last.entry(written.outline.id).or_insert(written);
        if written.revision >= held.revision {
            *held = written;
        }
    }
    let there = last.into_values().filter(|written| !written.removed);
    there.map(|written| (written.outline.id, written.outline.clone())).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Take(usize, Box<PollSpan>),
    Share(usize),
    Write(usize),
}

fn step() -> impl Strategy<Value = Step> {
    // A poll has one start, whichever of its forms comes, and one that has returned is the longest.
    let span = (0_u8..40, 10_u64..500, any::<bool>()).prop_map(|(id, ms, stall)| {
        let start_ms = u64::from(id) * 1_500;
        PollSpan {
            stall,
            ..poll(id, start_ms, if stall { ms } else { 500 + u64::from(id) % 7 * 100 })
        }
    });
    prop_oneof![
        4 => (0_usize..3, span).prop_map(|(to, span)| Step::Take(to, Box::new(span))),
        1 => (0_usize..3).prop_map(Step::Share),
        2 => (0_usize..3).prop_map(Step::Write),
    ]
}

proptest! {
    #[test]
    fn three_that_get_polls_at_random_come_to_the_episodes_of_one(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut stored = Stored::default();
        let mut collectors = [Collector::new(), Collector::new(), Collector::new()];
        for step in &steps {
            match step {
                Step::Take(to, span) => collectors[*to].take(span, &mut stored),
                Step::Share(me) => collectors[*me].share(*me, &stored),
                Step::Write(me) => drop(collectors[*me].write(*me, &mut stored, 0)),
            }
        }
        let mut quiet = 0;
        let mut rounds = 0;
        while quiet < 2 {
            let mut written = 0;
            for (me, collector) in collectors.iter_mut().enumerate() {
                collector.share(me, &stored);
                written += collector.write(me, &mut stored, 0);
            }
            quiet = if written == 0 { quiet + 1 } else { 0 };
            rounds += 1;
            prop_assert!(rounds < 12, "they write for ever");
        }
        let mut one = Collector::new();
        let mut alone = Stored::default();
        stored.polls.iter().for_each(|span| one.fold.push(span));
        one.write(0, &mut alone, 0);
        prop_assert_eq!(rows(&stored), rows(&alone));
    }
}

#[test]
fn a_long_episode_that_is_known_in_part_is_made_anew_from_what_is_stored() {
    let (mut first, mut second) = (Collector::new(), Collector::new());
    let mut stored = Stored::default();
    // For ten minutes its polls come to one, and that forgets the early ones.
    for (id, at_ms) in (0_u8..200).zip((0_u64..).step_by(3_000)) {
        first.take(&poll(id, at_ms, 2_500), &mut stored);
        first.write(0, &mut stored, at_ms * MS);
    }
    assert_eq!(rows(&stored).len(), 1);
    // Then they come to another.
    for (id, at_ms) in (200_u8..220).zip((600_000_u64..).step_by(3_000)) {
        second.take(&poll(id, at_ms, 2_500), &mut stored);
        second.write(1, &mut stored, at_ms * MS);
    }
    let now_ns = 660_000 * MS;
    for _ in 0..3 {
        for (me, collector) in [&mut first, &mut second].into_iter().enumerate() {
            collector.share(me, &stored);
            collector.write(me, &mut stored, now_ns);
        }
    }
    let found = rows(&stored);
    assert_eq!(found.len(), 1, "{found:?}");
    let episode = found.values().next().unwrap();
    assert_eq!((episode.sums.polls, episode.start_ns), (220, 0));
    assert_eq!(episode.sums.blocked_ns, 550 * SECOND);
}

#[test]
fn what_others_write_of_other_episodes_is_left_alone() {
    let (mut first, mut second) = (Collector::new(), Collector::new());
    let mut stored = Stored::default();
    first.take(&poll(1, 0, 100), &mut stored);
    second.take(&poll(2, 5_000, 100), &mut stored);
    first.write(0, &mut stored, 0);
    second.write(1, &mut stored, 0);
    first.share(0, &stored);
    assert_eq!(first.write(0, &mut stored, 0), 0);
    assert_eq!(rows(&stored).len(), 2);
}

#[test]
fn a_stall_that_ended_is_none_though_its_end_joins_two_episodes() {
    let mut fold = Fold::new(Settings::default());
    let stall = PollSpan { stall: true, ..poll(1, 0, 10) };
    let ended = poll(1, 0, 800);
    for span in [stall, poll(2, 1_500, 10), poll(3, 1_600, 10), ended] {
        fold.push(&span);
    }
    let changes = fold.changes(0);
    let [Change::Upsert(episode)] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((episode.stalled, episode.sums.polls), (0, 3));
}
