//! Futures that were suspended or kept waiting for long: what is told of them.

use std::time::{Duration, Instant};

use crate::export::{AwaitSpan, PollSpan};
use crate::findings::budget::Budget;
use crate::findings::finding::{Finding, Kind};
use crate::findings::history::History;
use crate::findings::judge::Told;
use crate::findings::unreported;
use crate::polling::clock;
use crate::polling::timed::{self, Waited};

/// Turns what timed futures left behind into findings.
#[derive(Debug)]
pub(super) struct Awaits {
    budget: Budget,
    /// Wait for a turn: by then the polls that kept them waiting are known, and their stacks.
    fresh: Vec<Waited>,
    suppressed: u64,
}

impl Awaits {
    pub(super) fn new(per_minute: u32) -> Self {
        let budget = Budget::new(per_minute, Instant::now());
        Self { budget, fresh: Vec::new(), suppressed: 0 }
    }

    /// Takes what there is, before the records of polls are taken.
    pub(super) fn gather(&mut self) -> Vec<Waited> {
        let fresh = std::iter::from_fn(timed::pop).collect();
        self.suppressed += timed::take_dropped();
        std::mem::replace(&mut self.fresh, fresh)
    }

    /// All that was taken before.
    pub(super) fn tell(&mut self, waited: &[Waited], history: &History) -> Vec<Told> {
        let mut told = Vec::new();
        for waited in waited {
            for (kind, is_it) in
                [(Kind::SlowAwait, waited.is_slow_await), (Kind::Starvation, waited.is_starved)]
            {
                if !is_it {
                    continue;
                }
                if self.budget.spend(Instant::now()) {
                    told.push(self.told(kind, waited, history));
                } else {
                    self.suppressed += 1;
                    unreported::count_suppressed();
                }
            }
        }
        told
    }

    fn told(&mut self, kind: Kind, waited: &Waited, history: &History) -> Told {
        let started = clock::wall(waited.started);
        let function = waited.site.function().into_owned();
        let mut finding = Finding::new(kind, function, started);
        finding.id = (std::ptr::from_ref(waited.site).addr() as u64).rotate_left(32);
        finding.id ^= waited.started;
        waited.site.file().clone_into(&mut finding.file);
        finding.line = waited.site.line();
        let spent = waited.spent;
        finding.busy = Duration::from_nanos(spent.busy);
        finding.idle = Duration::from_nanos(spent.idle);
        finding.starved = Duration::from_nanos(spent.starved);
        finding.elapsed = finding.busy + finding.idle + finding.starved;
        finding.polls = spent.polls;
        let threshold = match kind {
            Kind::Starvation => waited.limits.starved_ns,
            _ => waited.limits.slow_await_ns,
        };
        finding.threshold = Duration::from_nanos(threshold);
        if let Some(owner) = &waited.owner {
            owner.thread.name().clone_into(&mut finding.thread);
            finding.thread_id = owner.thread.id;
            finding.runtime = owner.runtime_name().map(str::to_owned);
        }
        finding.worker = waited.worker;
        finding.task = waited.task.and_then(|id| id.to_string().parse().ok());
        finding.outcome = waited.outcome;
        finding.ongoing = waited.outcome.is_none();
        if kind == Kind::Starvation {
            finding.held_by = history.holders(&waited.longest);
        }
        finding.suppressed = std::mem::take(&mut self.suppressed);
        // One that goes on is sent when it is over: spans have an end.
        let span = (!finding.ongoing).then(|| {
            PollSpan::of_await(&AwaitSpan {
                kind: kind.name(),
                finding: &finding,
                parent: waited.parent,
            })
        });
        Told { has_spent_budget: false, span, finding }
    }
}
