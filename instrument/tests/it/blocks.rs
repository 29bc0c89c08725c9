//! Blocks of every kind among innocent polls: `cargo bench -p holdup --bench detection` in small, and
//! with what a machine full of other work can't spoil.
#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::detection::{Plan, Verdict};
use crate::session::Session;

#[test]
fn blocks_of_every_kind_are_found_among_innocent_polls() {
    let plan = Plan {
        seed: 4,
        blocks: 72,
        innocents: 10_000,
        tasks: 2,
        threshold: Duration::from_millis(20),
        longest: 5.0,
        load: 1,
    };
    let session = Session::with(|builder| plan.configure(builder));
    let truths = plan.run();
    let verdict = Verdict::of(&truths, &session.finish(), plan.threshold);
    let wrong = verdict.wrong();
    assert!(wrong.is_empty(), "{wrong:?}\n{verdict}\n{:#?}", verdict.faults);
    // A thread that another test left may have the lock's address in a part of its stack that it
    // does not use.
    assert!(verdict.sum(|row| row.wrong_holder) <= 1, "{verdict}\n{:#?}", verdict.faults);
    // Whether a poll that had no CPU was slow by itself is not always known.
    assert!(verdict.invented.len() <= 3, "{verdict}\n{:#?}", verdict.invented);
    let (reported, stacks) = verdict.reported_and_stacks();
    assert!(stacks * 10 >= reported * 7, "{verdict}\n{:#?}", verdict.faults);
}
