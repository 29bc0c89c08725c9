//! What debug mode tells of, beside slow polls.

use std::time::{Duration, Instant};

use crate::findings::finding::{Finding, Kind};
use crate::findings::history::History;
use crate::findings::limiter::Limiter;
use crate::findings::together::{self, Together};
use crate::polling::clock;
use crate::polling::debug::{self, Note, What};

/// The same function is told of once in this time.
const INTERVAL: Duration = Duration::from_secs(10);
const PER_MINUTE: u32 = 60;
/// A poll that computes for so long has had its chance to give its thread back.
const COMPUTES_MIN: Duration = Duration::from_millis(100);
/// In thresholds.
const COMPUTES_THRESHOLDS: u32 = 10;

/// Findings of debug mode, each once in a while.
pub(super) struct Debugging {
    together: Together,
    limiter: Limiter,
    suppressed: u64,
}

impl Debugging {
    pub(super) fn new() -> Self {
        let limiter = Limiter::new(INTERVAL, PER_MINUTE, Instant::now());
        Self { together: Together::default(), limiter, suppressed: 0 }
    }

    /// A look at the threads; has to come often.
    pub(super) fn look(&mut self, history: &History) -> Vec<Finding> {
        if !debug::is_on() {
            self.together.forget();
            return Vec::new();
        }
        let found = self.together.look(history);
        self.admit(found)
    }

    /// What was noted where code of the service runs.
    pub(super) fn notes(&mut self) -> Vec<Finding> {
        self.suppressed += debug::take_dropped();
        let found = std::iter::from_fn(debug::pop).map(finding_of).collect();
        self.admit(found)
    }

    /// What a slow poll shows beside that it is slow.
    pub(super) fn of_poll(&mut self, poll: &Finding, has_spent_budget: bool) -> Option<Finding> {
        let enough = COMPUTES_MIN.max(poll.threshold * COMPUTES_THRESHOLDS);
        let computes = poll.cause == Some("cpu") && poll.busy >= enough;
        if !debug::is_on() || poll.kind != Kind::Blocking || !(computes || has_spent_budget) {
            return None;
        }
        let mut finding = poll.clone();
        finding.kind = Kind::NeverYields;
        finding.advice = None;
        finding.suppressed = 0;
        if has_spent_budget {
            let text =
                "all that it awaited was ready, until tokio's budget for one poll was used up";
            finding.message = Some(text.to_owned());
        }
        self.admit(vec![finding]).pop()
    }

    fn admit(&mut self, found: Vec<Finding>) -> Vec<Finding> {
        let now = Instant::now();
        let admitted = found.into_iter().filter_map(|mut finding| {
            finding.suppressed += self.limiter.admit(&finding, now)?;
            finding.suppressed += std::mem::take(&mut self.suppressed);
            Some(finding)
        });
        admitted.collect()
    }
}

fn finding_of(Note { site, what }: Note) -> Finding {
    match what {
        What::NeverPolled => together::about(Kind::NeverPolled, site, clock::now()),
        What::UnseenPanic { message } => {
            let mut finding = together::about(Kind::UnseenPanic, site, clock::now());
            finding.message = message;
            finding
        }
        What::OnePoll { start, duration } => {
            let mut finding = together::about(Kind::NeverYields, site, start);
            finding.elapsed = Duration::from_nanos(clock::nanoseconds(duration));
            (finding.busy, finding.polls) = (finding.elapsed, 1);
            finding.message = Some("it was done after its first poll".to_owned());
            finding
        }
    }
}
