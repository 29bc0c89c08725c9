use std::collections::BTreeMap;

use super::{Labels, Level, Machine, Observed, Sample, Timing, To, Transition};

/// An evaluation every second, five to fire, three to be over.
pub(super) const TIMING: Timing =
    Timing { for_ms: 5_000, keep_firing_ms: 3_000, gap_ms: 4_000, alerts_max: 3 };

pub(super) fn labels(of: &str) -> Labels {
    BTreeMap::from([("service".to_owned(), of.to_owned())])
}

pub(super) fn sample(of: &str, level: Level) -> Sample {
    Sample { labels: labels(of), annotations: BTreeMap::new(), value: 1.0, level, began_ms: None }
}

fn rows(of: &[&str]) -> Observed {
    let samples = of.iter().map(|of| sample(of, Level::Over)).collect();
    Observed::Rows { samples, complete: true }
}

/// What happened, in short.
fn told(changes: &[Transition]) -> Vec<(u64, To, &str)> {
    changes.iter().map(|c| (c.at_ms / 1_000, c.to, c.alert.labels["service"].as_str())).collect()
}

/// Evaluates every second, from one to the other.
fn run(machine: &mut Machine, seconds: std::ops::Range<u64>, of: &Observed) -> Vec<Transition> {
    seconds.flat_map(|s| machine.step(&TIMING, s * 1_000, of.clone())).collect()
}

#[test]
fn an_alert_waits_fires_and_is_resolved() {
    let mut machine = Machine::default();
    let changes = run(&mut machine, 10..20, &rows(&["a"]));
    assert_eq!(told(&changes), [(10, To::Pending, "a"), (15, To::Firing, "a")]);
    assert_eq!(machine.active(), (0, 1));
    let changes = run(&mut machine, 20..30, &rows(&[]));
    assert_eq!(told(&changes), [(23, To::Resolved, "a")]);
    let resolved: Vec<_> = machine.told(30_000).map(|t| (t.fired_ms, t.resolved_ms)).collect();
    assert_eq!(resolved, [(15_000, Some(23_000))]);
    assert_eq!(machine.told(23_000 + 15 * 60_000).count(), 0, "not told for ever");
}

#[test]
fn a_condition_that_goes_before_its_time_fires_nothing() {
    let mut machine = Machine::default();
    let mut changes = run(&mut machine, 10..14, &rows(&["a"]));
    changes.extend(run(&mut machine, 14..15, &rows(&[])));
    changes.extend(run(&mut machine, 15..20, &rows(&["a"])));
    assert_eq!(
        told(&changes),
        [(10, To::Pending, "a"), (14, To::Inactive, "a"), (15, To::Pending, "a")]
    );
}

#[test]
fn a_failed_query_resolves_nothing_and_starts_nothing() {
    let mut machine = Machine::default();
    run(&mut machine, 10..16, &rows(&["a"]));
    assert!(run(&mut machine, 16..500, &Observed::Failed).is_empty());
    assert_eq!(machine.active(), (0, 1));
    let changes = run(&mut machine, 500..510, &rows(&[]));
    assert_eq!(told(&changes), [(503, To::Resolved, "a")], "only what was seen to be over");
}

#[test]
fn what_may_lack_rows_starts_alerts_and_ends_none() {
    let mut machine = Machine::default();
    run(&mut machine, 10..16, &rows(&["a"]));
    let late = Observed::Rows { samples: vec![sample("b", Level::Over)], complete: false };
    let changes = run(&mut machine, 16..30, &late);
    assert_eq!(told(&changes), [(16, To::Pending, "b"), (21, To::Firing, "b")]);
    assert_eq!(machine.active(), (0, 2));
}

#[test]
fn a_value_between_the_thresholds_holds_what_fires_and_starts_nothing() {
    let mut machine = Machine::default();
    let holding = Observed::Rows { samples: vec![sample("a", Level::Holding)], complete: true };
    assert!(run(&mut machine, 1..10, &holding).is_empty());
    run(&mut machine, 10..16, &rows(&["a"]));
    assert!(run(&mut machine, 16..300, &holding).is_empty());
    assert_eq!(told(&run(&mut machine, 300..310, &rows(&[]))), [(303, To::Resolved, "a")]);
}

#[test]
fn after_a_gap_what_waits_waits_anew_and_what_fires_fires_on() {
    let mut machine = Machine::default();
    run(&mut machine, 10..16, &rows(&["a"]));
    run(&mut machine, 16..19, &rows(&["a", "b"]));
    let kept: Vec<_> = machine.alerts().cloned().collect();
    let mut machine = Machine::restored(kept, machine.observed_ms());
    let changes = run(&mut machine, 600..610, &rows(&["a", "b"]));
    assert_eq!(told(&changes), [(605, To::Firing, "b")], "a is not told again");
}

#[test]
fn an_alert_that_comes_and_goes_is_held() {
    let mut machine = Machine::default();
    let mut firings = 0;
    for round in 0..30 {
        let second = 100 + round * 60;
        let mut changes = run(&mut machine, second..second + 10, &rows(&["a"]));
        changes.extend(run(&mut machine, second + 10..second + 60, &rows(&[])));
        firings += changes.iter().filter(|c| c.to == To::Firing).count();
    }
    assert_eq!(firings, 4, "then it fires on");
    let quiet = run(&mut machine, 1_900..3_000, &rows(&[]));
    assert_eq!(quiet.len(), 1);
    assert_eq!(quiet[0].to, To::Resolved);
    assert!(quiet[0].at_ms < 2_500_000, "{}", quiet[0].at_ms);
}

#[test]
fn alerts_past_the_bound_are_counted() {
    let mut machine = Machine::default();
    run(&mut machine, 10..16, &rows(&["b", "c"]));
    let changes = run(&mut machine, 16..17, &rows(&["a", "b", "c", "d", "e"]));
    assert_eq!(changes.len(), 1, "those that are known stay: {changes:?}");
    assert_eq!((machine.left_out(), machine.active()), (2, (1, 2)));
    run(&mut machine, 17..18, &rows(&["b"]));
    assert_eq!(machine.left_out(), 0);
}

#[test]
fn a_clock_that_is_set_back_neither_fires_nor_resolves_early() {
    let mut machine = Machine::default();
    run(&mut machine, 1_000..1_006, &rows(&["a"]));
    run(&mut machine, 1_006..1_008, &rows(&["b"]));
    let changes = run(&mut machine, 10..14, &rows(&["b"]));
    assert_eq!(told(&changes), [(13, To::Resolved, "a")], "three seconds after it was set back");
    let changes = run(&mut machine, 14..20, &rows(&["b"]));
    assert_eq!(told(&changes), [(15, To::Firing, "b")]);
}

#[test]
fn alerts_of_a_rule_that_is_gone_are_over() {
    let mut machine = Machine::default();
    run(&mut machine, 10..16, &rows(&["a"]));
    run(&mut machine, 16..18, &rows(&["a", "b"]));
    let changes = machine.retire(18_000);
    assert_eq!(told(&changes), [(18, To::Resolved, "a"), (18, To::Inactive, "b")]);
    assert_eq!(machine.told(19_000).count(), 1, "receivers are told of it");
}
