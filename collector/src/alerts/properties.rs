//! What holds for any sequence of observations.

use proptest::prelude::*;

use super::tests::{TIMING, sample};
use super::{Level, Machine, Observed, To, Transition};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// An observation, and how long after the one before it comes.
fn steps() -> impl Strategy<Value = Vec<(u64, Observed)>> {
    let level = prop_oneof![
        3 => Just(None),
        4 => Just(Some(Level::Over)),
        1 => Just(Some(Level::Holding)),
    ];
    let rows = (proptest::array::uniform3(level), prop::bool::weighted(0.8));
    let rows = rows.prop_map(|(levels, complete)| {
        let found = NAMES.iter().zip(levels).filter_map(|(of, level)| Some((of, level?)));
        Observed::Rows { samples: found.map(|(of, level)| sample(of, level)).collect(), complete }
    });
    let observed = prop_oneof![1 => Just(Observed::Failed), 8 => rows];
    prop::collection::vec(
        (prop_oneof![9 => 500_u64..2_000, 1 => 2_000_u64..20_000], observed),
        1..80,
    )
}

fn run(machine: &mut Machine, now_ms: &mut u64, steps: &[(u64, Observed)]) -> Vec<Transition> {
    let mut changes = Vec::new();
    for (after, observed) in steps {
        *now_ms += after;
        changes.extend(machine.step(&TIMING, *now_ms, observed.clone()));
    }
    changes
}

fn level(observed: &Observed, of: &str) -> Option<Level> {
    let Observed::Rows { samples, .. } = observed else { return None };
    samples.iter().find(|sample| sample.labels["service"] == of).map(|sample| sample.level)
}

fn happened(changes: &[Transition], to: To, of: &str) -> bool {
    changes.iter().any(|c| c.to == to && c.alert.labels["service"] == of)
}

/// Restores a machine from what is written to a file.
fn restarted(machine: &Machine) -> Machine {
    let kept: Vec<_> = machine.alerts().collect();
    let text = serde_json::to_string(&kept).unwrap();
    Machine::restored(serde_json::from_str(&text).unwrap(), machine.observed_ms())
}

proptest! {
    #[test]
    fn firing_and_resolved_take_turns(steps in steps()) {
        let changes = run(&mut Machine::default(), &mut 0, &steps);
        for of in NAMES {
            let of_it = changes.iter().filter(|c| c.alert.labels["service"] == of);
            let mut before = None;
            for to in of_it.map(|c| c.to) {
                let allowed = match to {
                    To::Pending => !matches!(before, Some(To::Pending | To::Firing)),
                    To::Firing | To::Inactive => before == Some(To::Pending),
                    To::Resolved => before == Some(To::Firing),
                };
                prop_assert!(allowed, "{before:?} to {to:?} of {of}");
                before = Some(to);
            }
        }
    }

    #[test]
    fn nothing_fires_that_was_not_over_for_long_enough(steps in steps()) {
        let (mut machine, mut now_ms) = (Machine::default(), 0);
        // Since when each was over in all that was observed, without a gap.
        let mut since = [None; 3];
        let mut observed_ms = 0;
        for (after, observed) in &steps {
            now_ms += after;
            let changes = machine.step(&TIMING, now_ms, observed.clone());
            let Observed::Rows { complete, .. } = observed else {
                prop_assert!(changes.is_empty(), "a failed query changes nothing");
                continue;
            };
            let gap = now_ms - observed_ms > TIMING.gap_ms;
            observed_ms = now_ms;
            for (of, since) in NAMES.iter().zip(&mut since) {
                match level(observed, of) {
                    Some(Level::Over) if gap => *since = Some(now_ms),
                    Some(Level::Over) => *since = since.or(Some(now_ms)),
                    None if !complete && gap => *since = since.and(Some(now_ms)),
                    None if !complete => {}
                    _ => *since = None,
                }
                if happened(&changes, To::Firing, of) {
                    let long = since.is_some_and(|s| now_ms - s >= TIMING.for_ms);
                    prop_assert!(long, "{of} at {now_ms}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_resolved_that_was_not_seen_to_be_over(steps in steps()) {
        let (mut machine, mut now_ms) = (Machine::default(), 0);
        let mut absent_since = [None; 3];
        for (after, observed) in &steps {
            now_ms += after;
            let changes = machine.step(&TIMING, now_ms, observed.clone());
            let complete = matches!(observed, Observed::Rows { complete: true, .. });
            for (of, since) in NAMES.iter().zip(&mut absent_since) {
                if level(observed, of).is_some() {
                    *since = None;
                } else if complete {
                    *since = since.or(Some(now_ms));
                }
                if happened(&changes, To::Resolved, of) {
                    prop_assert!(complete, "rows were missing");
                    prop_assert!(since.is_some_and(|s| now_ms - s >= TIMING.keep_firing_ms));
                }
            }
        }
    }

    #[test]
    fn a_restart_changes_nothing(before in steps(), after in steps()) {
        let (mut whole, mut now_ms) = (Machine::default(), 0);
        run(&mut whole, &mut now_ms, &before);
        let mut again = restarted(&whole);
        let mut now_again = now_ms;
        prop_assert_eq!(
            run(&mut whole, &mut now_ms, &after),
            run(&mut again, &mut now_again, &after)
        );
    }

    #[test]
    fn an_observation_that_comes_again_tells_nothing(steps in steps()) {
        let (mut machine, mut now_ms) = (Machine::default(), 0);
        run(&mut machine, &mut now_ms, &steps);
        let last = &steps[steps.len() - 1].1;
        let mut timing = TIMING;
        timing.for_ms = 0;
        timing.keep_firing_ms = 0;
        machine.step(&timing, now_ms, last.clone());
        prop_assert!(machine.step(&timing, now_ms, last.clone()).is_empty());
    }
}
