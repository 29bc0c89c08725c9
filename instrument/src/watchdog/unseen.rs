//! What the beginning of a poll can have been that the watchdog did not see.

use crate::polling::usage::Usage;
use crate::watchdog::cause::{self, Samples, Split};
use crate::watchdog::seen::Findings;

/// Totals of a thread before a poll.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) usage: Usage,
    /// For how long before, ns: so much of what it was charged with may have been before the poll.
    pub(super) earlier: u64,
}

impl Before {
    /// What of `own` the thread computed at least, and for how much of it it may have waited for a
    /// CPU.
    pub(super) fn until(&self, after: Usage, own: u64) -> Usage {
        let cpu = after.cpu.saturating_sub(self.usage.cpu).saturating_sub(self.earlier).min(own);
        let runqueue = after.runqueue.saturating_sub(self.usage.runqueue).min(own - cpu);
        Usage { cpu, runqueue, ..Usage::default() }
    }
}

/// What follows for a poll that nobody saw, from its thread's totals before it and at its end. What
/// it may have waited for a CPU is not held against it.
pub(super) fn conclude(own: u64, before: Before, after: Usage) -> Findings {
    let Usage { cpu, runqueue, .. } = before.until(after, own);
    let split = Split { cpu, runqueue, off: own - cpu - runqueue, faults: [0; 2] };
    let cause = Some(cause::decide(Some(split), &Samples::default()));
    Findings { cause, cpu: Some(cpu), runqueue: Some(runqueue), ..Findings::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::cause::Cause;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_was_charged_before_a_poll_that_nobody_saw_need_not_be_its_own() {
        let of = |earlier, cpu, runqueue| {
            let usage = Usage { cpu: cpu * MS, runqueue: runqueue * MS, ..Usage::default() };
            conclude(12 * MS, Before { usage: Usage::default(), earlier: earlier * MS }, usage)
        };
        let preempted = of(20, 12, 11);
        assert_eq!((preempted.cause, preempted.runqueue), (Some(Cause::Runqueue), Some(11 * MS)));
        let computed = of(2, 13, 5);
        assert_eq!((computed.cpu, computed.runqueue), (Some(11 * MS), Some(MS)));
        assert_eq!(computed.cause, Some(Cause::Cpu));
        assert_eq!(of(20, 1, 1).descheduled(), MS, "it waited for something else");
    }
}
