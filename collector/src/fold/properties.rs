//! The fold's properties, on random polls, and its cases by example.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Change, Fold, OVERFLOW, Settings};
use crate::span::{Origin, PollSpan};

pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000 * MS;

pub(super) fn poll(id: u8, start_ms: u64, duration_ms: u64) -> PollSpan {
    PollSpan {
        origin: Origin { service: "shop".into(), instance: "a".into(), ..Origin::default() },
        function: "shop::pay".into(),
        start_ns: start_ms * MS,
        duration_ns: duration_ms * MS,
        self_ns: duration_ms * MS,
        cause: "unknown",
        span_id: [id; 8],
        ..PollSpan::default()
    }
}

/// The rows that remain when each change is applied in turn.
#[derive(Default, Debug, PartialEq)]
struct Table(BTreeMap<u64, (u64, u64, u64, u64, u64, bool)>);

impl Table {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Upsert(e) => {
                    let (sums, worst) = (e.sums, e.worst.self_ns);
                    let row = (e.start_ns, e.end_ns, sums.polls, sums.blocked_ns, worst, e.closed);
                    self.0.insert(e.id, row);
                }
                Change::Remove(e) => {
                    assert!(self.0.remove(&e.id).is_some(), "removed what was never written");
                }
            }
        }
    }
}

fn table(polls: &[PollSpan], flush_every: usize, now_ns: u64) -> Table {
    let mut fold = Fold::new(Settings::default());
    let mut table = Table::default();
    for part in polls.chunks(flush_every.max(1)) {
        fold.push_all(&part.iter().cloned().collect());
        table.apply(fold.changes(0));
    }
    table.apply(fold.changes(now_ns));
    table
}

/// The same, each poll looked up by itself.
fn table_one_by_one(polls: &[PollSpan], flush_every: usize, now_ns: u64) -> Table {
    let mut fold = Fold::new(Settings::default());
    let mut table = Table::default();
    for part in polls.chunks(flush_every.max(1)) {
        part.iter().for_each(|span| fold.push(span));
        table.apply(fold.changes(0));
    }
    table.apply(fold.changes(now_ns));
    table
}

fn polls() -> impl Strategy<Value = Vec<PollSpan>> {
    let one = (0u64..20_000, 10u64..1_500, 0u8..3, any::<bool>());
    proptest::collection::vec(one, 1..40).prop_map(|all| {
        let numbered = all.into_iter().zip(0u8..);
        let spans = numbered.map(|((start, long, function, stall), id)| PollSpan {
            function: format!("shop::f{function}"),
            stall,
            ..poll(id, start, long)
        });
        // A poll that still blocks comes again, longer, and last without the mark.
        spans
            .flat_map(|s| {
                // A nested poll that ends meanwhile takes from the self time.
                let self_ns = if s.start_ns % 2 == 0 { s.self_ns * 2 } else { s.self_ns / 2 };
                let end =
                    PollSpan { stall: false, duration_ns: s.duration_ns * 2, self_ns, ..s.clone() };
                if s.stall { vec![s, end] } else { vec![s] }
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_arrival_changes_nothing(
        (given, shuffled) in polls().prop_flat_map(|p| (Just(p.clone()), Just(p).prop_shuffle())),
        flush_every in 1usize..10,
    ) {
        let now = 3_600 * SECOND;
        prop_assert_eq!(table(&given, 1, now), table(&shuffled, flush_every, now));
    }

    #[test]
    fn polls_of_a_request_are_folded_as_single_ones(
        given in polls(),
        flush_every in 1usize..40,
    ) {
        let now = 3_600 * SECOND;
        let one_by_one = table_one_by_one(&given, flush_every, now);
        prop_assert_eq!(table(&given, flush_every, now), one_by_one);
    }

    #[test]
    fn repeats_count_once(given in polls(), flush_every in 1usize..10) {
        let now = 3_600 * SECOND;
        let twice: Vec<PollSpan> = given.iter().chain(&given).cloned().collect();
        prop_assert_eq!(table(&given, 7, now), table(&twice, flush_every, now));
    }

    #[test]
    fn nothing_is_lost_and_episodes_are_apart(given in polls(), flush_every in 1usize..10) {
        let rows = table(&given, flush_every, 3_600 * SECOND).0;
        let finished: BTreeMap<_, _> =
            given.iter().map(|s| ((s.function.clone(), s.span_id), s.self_ns)).collect();
        prop_assert_eq!(rows.values().map(|r| r.2).sum::<u64>(), finished.len() as u64);
        prop_assert_eq!(rows.values().map(|r| r.3).sum::<u64>(), finished.values().sum::<u64>());
        prop_assert!(rows.values().all(|r| r.5), "all are closed an hour later");
    }
}

#[test]
fn an_episode_opens_goes_on_and_closes() {
    let mut fold = Fold::new(Settings::default());
    fold.push(&poll(1, 0, 50));
    let [Change::Upsert(opened)] = &fold.changes(SECOND)[..] else { panic!("one upsert") };
    assert!(!opened.closed);
    fold.push(&poll(2, 900, 50));
    let [Change::Upsert(updated)] = &fold.changes(2 * SECOND)[..] else { panic!("one upsert") };
    assert_eq!((updated.id, updated.sums.polls), (opened.id, 2));
    assert!(fold.changes(11 * SECOND).is_empty(), "late spans may still come");
    let [Change::Upsert(closed)] = &fold.changes(12 * SECOND)[..] else { panic!("one upsert") };
    assert!(closed.closed && closed.id == opened.id);
    assert!(fold.changes(13 * SECOND).is_empty(), "closed once");
    assert_eq!(fold.remembered(), 1);
    fold.changes(302 * SECOND);
    assert_eq!(fold.remembered(), 0, "forgotten in the end");
}

#[test]
fn a_late_poll_joins_two_episodes() {
    let mut fold = Fold::new(Settings::default());
    fold.push(&poll(1, 0, 100));
    fold.push(&poll(2, 2_000, 100));
    assert_eq!(fold.changes(0).len(), 2, "apart by more than the gap");
    fold.push(&poll(3, 1_000, 100));
    let mut changes = fold.changes(0);
    assert!(matches!(changes.remove(0), Change::Remove(e) if e.start_ns == 2_000 * MS));
    assert!(matches!(changes.remove(0), Change::Upsert(e) if e.sums.polls == 3));
    assert!(changes.is_empty());
}

#[test]
fn a_stall_counts_once_and_keeps_its_episode_open() {
    let mut fold = Fold::new(Settings::default());
    for (long, stall) in [(10, true), (20, true), (40, true)] {
        fold.push(&PollSpan { stall, ..poll(1, 0, long) });
    }
    let [Change::Upsert(open)] = &fold.changes(60 * SECOND)[..] else { panic!("one upsert") };
    assert!(!open.closed && open.stalled == 1 && open.sums.blocked_ns == 40 * MS);
    fold.push(&poll(1, 0, 70));
    let [Change::Upsert(ended)] = &fold.changes(60 * SECOND)[..] else { panic!("one upsert") };
    assert!(ended.closed && ended.stalled == 0 && ended.sums.blocked_ns == 70 * MS);
}

#[test]
fn what_passes_the_bound_on_functions_is_counted_and_still_folded() {
    let mut fold = Fold::new(Settings { keys_max: 2, ..Settings::default() });
    for id in 0..5 {
        fold.push(&PollSpan { function: format!("shop::f{id}"), ..poll(id, 0, 10) });
    }
    assert_eq!(fold.counts().overflowed, 3);
    let surplus = fold.changes(0).into_iter().find_map(|c| match c {
        Change::Upsert(e) if e.function == OVERFLOW => Some(e.sums.polls),
        _ => None,
    });
    assert_eq!(surplus, Some(3));
}

#[test]
fn the_bound_on_remembered_polls_holds() {
    let settings = Settings { polls_max: 10, gap: Duration::from_secs(1), ..Settings::default() };
    let mut fold = Fold::new(settings);
    for id in 0..200 {
        fold.push(&poll(id, u64::from(id) * 100, 50));
    }
    assert!(fold.polls <= 10);
    assert_eq!(fold.counts().unremembered, 190);
    let [Change::Upsert(all)] = &fold.changes(0)[..] else { panic!("one episode") };
    assert_eq!(all.sums.polls, 200, "forgotten polls count");
}

#[test]
fn the_bound_on_episodes_holds_and_what_joins_one_still_does() {
    let mut fold = Fold::new(Settings { episodes_max: 3, ..Settings::default() });
    for id in 0..5 {
        fold.push(&poll(id, u64::from(id) * 5_000, 10));
    }
    fold.push(&poll(9, 200, 10));
    assert_eq!((fold.counts().overflowed, fold.remembered()), (2, 5));
    let first = fold.changes(0).into_iter().find_map(|c| match c {
        Change::Upsert(e) if e.function != OVERFLOW && e.start_ns == 0 => Some(e.sums.polls),
        _ => None,
    });
    assert_eq!(first, Some(2));
    fold.changes(3_600 * SECOND);
    assert_eq!(fold.remembered(), 0);
}

#[test]
fn stalls_that_do_not_end_are_bounded_as_well() {
    let mut fold = Fold::new(Settings { polls_max: 10, ..Settings::default() });
    for id in 0..200 {
        fold.push(&PollSpan { stall: true, ..poll(id, u64::from(id), 50) });
    }
    assert_eq!(fold.polls, 20);
    let [Change::Upsert(all)] = &fold.changes(0)[..] else { panic!("one episode") };
    assert_eq!((all.stalled, all.sums.polls), (20, 200));
}

#[test]
fn a_finished_poll_beats_a_later_report_of_its_stall() {
    let mut fold = Fold::new(Settings::default());
    fold.push(&PollSpan { self_ns: 5_000 * MS, stall: true, ..poll(1, 0, 5_000) });
    fold.push(&PollSpan { self_ns: 1_000 * MS, ..poll(1, 0, 6_000) });
    fold.push(&PollSpan { self_ns: 5_000 * MS, stall: true, ..poll(1, 0, 6_001) });
    let [Change::Upsert(ended)] = &fold.changes(0)[..] else { panic!("one upsert") };
    assert_eq!((ended.stalled, ended.sums.blocked_ns), (0, 1_000 * MS));
    assert_eq!(ended.worst.self_ns, 1_000 * MS);
}

#[test]
fn an_open_episode_forgets_its_old_polls_and_keeps_their_sums() {
    let mut fold = Fold::new(Settings::default());
    for n in 0..1_000_u64 {
        let span_id = n.to_be_bytes();
        fold.push(&PollSpan { span_id, ..poll(0, n * 900, 50) });
        let now = n * 900 * MS;
        if let Some(Change::Upsert(e)) = fold.changes(now).pop() {
            assert_eq!(e.sums.polls, n + 1);
        }
    }
    assert!(fold.polls < 340, "five minutes hold 333: {}", fold.polls);
}

#[test]
fn the_work_of_a_poll_does_not_grow_with_its_episode() {
    // Quadratic work on this many polls takes minutes.
    let mut fold = Fold::new(Settings::default());
    for n in 0..100_000_u64 {
        fold.push(&PollSpan { span_id: n.to_be_bytes(), ..poll(0, n * 10, 5) });
    }
    let [Change::Upsert(e)] = &fold.changes(0)[..] else { panic!("one upsert") };
    assert_eq!(e.sums.polls, 100_000);
    for n in 0..20_000_u64 {
        let apart = PollSpan { function: "shop::g".into(), ..poll(0, n * 5_000, 5) };
        fold.push(&PollSpan { span_id: n.to_be_bytes(), ..apart });
    }
    assert_eq!(fold.remembered(), 20_001);
}

#[test]
fn a_longer_gap_keeps_episodes_open_for_longer() {
    let mut fold = Fold::new(Settings::with_gap(Duration::from_secs(600)));
    fold.push(&poll(1, 0, 50));
    fold.changes(420 * SECOND);
    fold.push(&poll(2, 420_000, 50));
    let [Change::Upsert(e)] = &fold.changes(421 * SECOND)[..] else { panic!("one upsert") };
    assert!(e.sums.polls == 2 && !e.closed);
}
