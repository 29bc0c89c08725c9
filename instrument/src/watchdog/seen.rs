//! What the watchdog saw of one poll, and what follows from it.

use std::time::SystemTime;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use crate::polling::clock;
use crate::polling::slot::Snapshot;
use crate::polling::usage::Usage;
use crate::stack::{Holding, RawStack};
use crate::watchdog::cause::{self, Cause, Doing, Samples, Split};
use crate::watchdog::unseen::Before;

/// A wait for a CPU that is shorter can't be told from the time that it takes to look.
const READING_NS_MAX: u64 = 200_000;

/// Looks at the other workers for one poll.
const DRIVER_LOOKS_MAX: u32 = 16;

/// Stacks that are kept of one poll: their common ancestor is what lasted.
pub(super) const STACKS_MAX: usize = 6;

/// Ids of a poll span that was reported before its poll returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    /// By the wall clock, as it was first told.
    pub(crate) start: SystemTime,
}

impl Ids {
    /// New ones, of a poll that began at so many ticks.
    pub(super) fn new(generator: &RandomIdGenerator, start: u64) -> Self {
        let (trace, span) = (generator.new_trace_id(), generator.new_span_id());
        Self { trace, span, start: clock::wall(start) }
    }
}

/// One poll, as it looked from tick to tick. Durations in nanoseconds, instants in ticks.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(super) start: u64,
    /// When it was looked at last while it was the innermost poll of its thread.
    at: u64,
    nested: u64,
    usage: Option<Usage>,
    /// Own time between the looks, and what of it the thread was charged with.
    watched: u64,
    charged: Usage,
    /// Own time in which the thread was ready and that it was not charged with: it waits for a CPU,
    /// and is charged with that when it has got one.
    pending: u64,
    /// Wait for a CPU before it was first looked at.
    unseen: u64,
    samples: Samples,
    /// Page faults without and with the disk, and when they were counted: first, and last.
    faults: Option<[([u64; 2], u64); 2]>,
    throttled: Option<u64>,
    pub(super) stacks: Vec<RawStack>,
    /// Own time from which on another stack is wanted, in ticks.
    stack_from: u64,
    pub(super) holding: Option<Holding>,
    pub(super) ids: Option<Ids>,
    /// The next report is due when it has blocked for so long, ns; 0 before the first.
    pub(super) report_at_ns: u64,
    pub(super) queue: Option<u64>,
    pub(super) victims: Option<u64>,
    pub(super) stalled: bool,
    /// Looks at which the runtime's I/O and timers were waited for by nobody, and at which they were.
    driver: [u32; 2],
    /// When another poll was found in its place; 0 as long as it is the innermost.
    pub(super) left: u64,
}

/// The longest time between two reports of one poll, ns.
const REPORT_INTERVAL_NS_MAX: u64 = 60_000_000_000;

/// When a poll that has blocked for so long is reported next: at twice, four times, … the threshold.
pub(super) fn next_report_ns(blocked_ns: u64, threshold_ns: u64) -> u64 {
    let passed = blocked_ns / threshold_ns.max(1);
    let multiple = passed.saturating_add(1).checked_next_power_of_two().unwrap_or(u64::MAX);
    let doubled = threshold_ns.saturating_mul(multiple);
    doubled.min(blocked_ns.saturating_add(REPORT_INTERVAL_NS_MAX))
}

/// How a poll ended, or where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) at: u64,
    /// Time of all instrumented polls nested in it, in ticks.
    pub(crate) nested: u64,
    pub(crate) usage: Option<Usage>,
}

/// What is known of a poll beside its duration. Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) cause: Option<Cause>,
    pub(crate) cpu: Option<u64>,
    pub(crate) runqueue: Option<u64>,
    pub(crate) throttled: u64,
    pub(crate) victims: Option<u64>,
    pub(crate) stalled: bool,
    /// Whether the I/O and timers of the runtime waited as well.
    pub(crate) driver_idle: Option<bool>,
    pub(crate) stacks: Vec<RawStack>,
    /// What is known of who holds the lock that it waits for.
    pub(crate) holding: Option<Holding>,
    pub(crate) ids: Option<Ids>,
}

impl Findings {
    /// Time for which the code is not to blame: its thread was ready, and had no CPU.
    pub(crate) fn descheduled(&self) -> u64 {
        self.runqueue.unwrap_or(0).saturating_add(self.throttled)
    }
}

impl Seen {
    /// A poll that is seen for the first time.
    pub(super) fn new(snapshot: &Snapshot, at: u64, usage: Option<Usage>) -> Self {
        Self {
            start: snapshot.start,
            at,
            nested: snapshot.nested,
            usage,
            watched: 0,
            charged: Usage::default(),
            pending: 0,
            unseen: 0,
            samples: Samples::default(),
            faults: None,
            throttled: None,
            stacks: Vec::new(),
            stack_from: 0,
            holding: None,
            ids: None,
            report_at_ns: 0,
            queue: None,
            victims: None,
            stalled: false,
            driver: [0; 2],
            left: 0,
        }
    }

    /// Works out what the thread waited for a CPU between the beginning of the poll and the first
    /// look, from its totals `before` that. It can't have computed for longer than it was charged
    /// with; if it is ready, and was charged with waiting as well, the rest of the time was that. What
    /// is left it may still be waiting.
    pub(super) fn work_out_unseen(&mut self, before: Before, doing: Option<Doing>) {
        let (Some(later), Some(Doing::Running)) = (self.usage, doing) else { return };
        let own = self.at.saturating_sub(self.start).saturating_sub(self.nested);
        let own = clock::nanoseconds(own);
        let charged = before.until(later, own);
        self.unseen = charged.runqueue;
        let unexplained = own - charged.cpu - charged.runqueue;
        self.pending = if unexplained < READING_NS_MAX { 0 } else { unexplained };
    }

    /// Charges the time since the last look. `doing` is what the thread was found to do.
    pub(super) fn look(&mut self, reading: Reading, doing: Option<Doing>) {
        let (own, charged) = self.since(&reading);
        self.watched += own;
        self.charged.cpu += charged.cpu;
        self.charged.runqueue += charged.runqueue;
        self.pending = match doing {
            Some(Doing::Running) => {
                let unexplained =
                    (self.pending + own).saturating_sub(charged.cpu + charged.runqueue);
                // Its clock and ours are not read at the same instant.
                if unexplained < READING_NS_MAX { 0 } else { unexplained }
            }
            Some(Doing::Waiting(_)) => 0,
            Some(Doing::Stopped) | None => self.pending,
        };
        if let Some(doing) = doing {
            self.samples.add(doing);
        }
        (self.at, self.nested, self.usage) = (reading.at, reading.nested, reading.usage);
        self.left = 0;
    }

    /// Whether one more stack would tell something. A thread that waits for a CPU has nothing new to
    /// say.
    pub(super) fn wants_stack(&self, own: u64) -> bool {
        let is_new = !self.waits_for_cpu() || self.stacks.is_empty();
        is_new && own >= self.stack_from && self.stacks.len() < STACKS_MAX
    }

    /// One is enough for the time before the threshold, and for each doubling of it.
    pub(super) fn add_stack(&mut self, stack: RawStack, lowest: u64) {
        self.stacks.push(stack);
        self.stack_from = match self.stack_from {
            0 => lowest,
            from => from.saturating_mul(2),
        };
    }

    /// It was found in this while its stack was taken. Counts only as long as nothing else was seen:
    /// the looks are what is evenly spread.
    pub(super) fn was_in(&mut self, doing: Doing) {
        if self.samples.waiting() == 0 {
            self.samples.add(doing);
        }
    }

    /// Whether it is worth while to search for who holds what it waits for.
    pub(super) fn wants_holder(&self) -> bool {
        self.holding.is_none()
    }

    /// Whether it was ready without a CPU when it was looked at last.
    pub(super) fn waits_for_cpu(&self) -> bool {
        self.pending > 0
    }

    /// Whether a look at the runtime's other workers would tell something.
    pub(super) fn wants_driver(&self) -> bool {
        self.driver.iter().sum::<u32>() < DRIVER_LOOKS_MAX
    }

    pub(super) fn note_driver(&mut self, is_idle: bool) {
        self.driver[usize::from(!is_idle)] += 1;
    }

    /// At most looks.
    fn driver_idle(&self) -> Option<bool> {
        let [idle, driven] = self.driver;
        (idle + driven > 0).then_some(idle > driven)
    }

    pub(super) fn count_faults(&mut self, faults: Option<[u64; 2]>) {
        if let Some(faults) = faults {
            let last = (faults, self.at);
            self.faults = Some([self.faults.map_or(last, |[first, _]| first), last]);
        }
    }

    pub(super) fn note_throttled(&mut self, total: Option<u64>) {
        self.throttled = self.throttled.or(total);
    }

    /// Own time since the last look, and the thread's charges for it. Other polls nested in that
    /// time have their share of both.
    fn since(&self, reading: &Reading) -> (u64, Usage) {
        let wall = reading.at.saturating_sub(self.at);
        let nested = reading.nested.saturating_sub(self.nested).min(wall);
        let own = clock::nanoseconds(wall - nested);
        let (Some(before), Some(after)) = (self.usage, reading.usage) else {
            return (own, Usage::default());
        };
        let share = |total: u64| {
            let part = u128::from(total) * u128::from(wall - nested) / u128::from(wall.max(1));
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        let charged = Usage {
            cpu: share(after.cpu.saturating_sub(before.cpu)),
            runqueue: share(after.runqueue.saturating_sub(before.runqueue)),
            arrivals: 0,
        };
        (own, charged)
    }

    /// The reading at a poll's end, with the time on a CPU that the scheduler had not yet counted. A
    /// thread that was given none since the last look has had one all the time.
    fn completed(&self, end: Reading) -> Reading {
        let complete = |before: Usage, after: Usage| {
            let stayed = before.arrivals != 0 && before.arrivals == after.arrivals;
            let wall = clock::nanoseconds(end.at.saturating_sub(self.at));
            let cpu = if stayed { before.cpu.saturating_add(wall) } else { after.cpu };
            Usage { cpu, ..after }
        };
        let usage = self.usage.zip(end.usage).map(|(before, after)| complete(before, after));
        Reading { usage: usage.or(end.usage), ..end }
    }

    /// What follows, for a poll that has taken `own` so far or altogether. `throttled` is the
    /// total that the container's quota took by then.
    pub(crate) fn conclude(
        &self,
        reading: Option<Reading>,
        own: u64,
        throttled: Option<u64>,
    ) -> Findings {
        let mut findings = Findings {
            victims: self.victims,
            stalled: self.stalled,
            driver_idle: self.driver_idle(),
            stacks: self.stacks.clone(),
            holding: self.holding.clone(),
            ids: self.ids,
            ..Findings::default()
        };
        let (mut watched, mut charged, mut pending) = (self.watched, self.charged, self.pending);
        let is_measured = match reading {
            Some(end) => {
                let (own, last) = self.since(&self.completed(end));
                watched += own;
                charged.cpu += last.cpu;
                charged.runqueue += last.runqueue;
                pending = 0;
                self.usage.is_some() && end.usage.is_some()
            }
            None => self.usage.is_some() && watched + self.unseen + pending > 0,
        };
        if !is_measured {
            findings.cause = Some(cause::decide(None, &self.samples));
            return findings;
        }
        let runqueue = (self.unseen + charged.runqueue + pending).min(own);
        // Before it was seen it is taken to have done as it did afterwards, but for waiting for a
        // CPU: what nobody saw excuses nothing.
        let unseen = own.saturating_sub(watched).saturating_sub(self.unseen);
        let working = watched.saturating_sub(charged.runqueue).max(1);
        let before = u128::from(unseen) * u128::from(charged.cpu.min(working));
        let before = u64::try_from(before / u128::from(working)).unwrap_or(0);
        let cpu = (charged.cpu + before).min(own - runqueue);
        let off = own - runqueue - cpu;
        findings.throttled = self.throttled_of(off, throttled);
        let split = Split {
            cpu,
            runqueue: runqueue + findings.throttled,
            off: off - findings.throttled,
            faults: self.faults_in(own),
        };
        findings.cause = Some(cause::decide(Some(split), &self.samples));
        findings.cpu = Some(cpu);
        findings.runqueue = Some(runqueue);
        findings
    }

    /// Page faults in so much time, at the rate that was seen.
    fn faults_in(&self, own: u64) -> [u64; 2] {
        let [(first, from), (last, to)] = self.faults.unwrap_or_default();
        let window = clock::nanoseconds(to.saturating_sub(from));
        [0, 1].map(|kind: usize| {
            let faults = u128::from(last[kind].saturating_sub(first[kind])) * u128::from(own);
            u64::try_from(faults / u128::from(window.max(1))).unwrap_or(u64::MAX)
        })
    }

    /// A thread that is throttled is ready, and charged with nothing.
    fn throttled_of(&self, off: u64, total: Option<u64>) -> u64 {
        let (Some(first), Some(last)) = (self.throttled, total) else { return 0 };
        let ready = (u128::from(off) * u128::from(self.samples.share_ready())) >> 16;
        last.saturating_sub(first).min(u64::try_from(ready).unwrap_or(off))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polling::site::Site;

    static SITE: Site = Site::new("seen", "", 0);
    const MS: u64 = 1_000_000;

    fn reading(at: u64, cpu: u64, runqueue: u64) -> Reading {
        let usage = Some(Usage { cpu: cpu * MS, runqueue: runqueue * MS, arrivals: 0 });
        Reading { at: clock::ticks(at * MS), nested: 0, usage }
    }

    fn seen(at: u64) -> Seen {
        clock::start();
        let snapshot = Snapshot { site: &SITE, span: 0, start: 0, nested: 0 };
        Seen::new(&snapshot, clock::ticks(at * MS), reading(at, 0, 0).usage)
    }

    fn about(value: Option<u64>, ms: u64) -> bool {
        value.is_some_and(|value| value.abs_diff(ms * MS) < MS / 100)
    }

    #[test]
    fn reports_come_at_doubling_times_and_at_least_every_minute() {
        const MINUTE: u64 = 60_000 * MS;
        let next = |blocked| next_report_ns(blocked, 10 * MS);
        assert_eq!([next(10 * MS), next(19 * MS), next(41 * MS)], [20 * MS, 20 * MS, 80 * MS]);
        assert_eq!(next(60 * MINUTE), 61 * MINUTE);
        assert_eq!(next_report_ns(u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn a_poll_that_slept_was_charged_with_nothing() {
        let mut seen = seen(2);
        seen.look(reading(7, 0, 0), Some(Doing::Waiting(Cause::Sleep)));
        let findings = seen.conclude(Some(reading(20, 0, 0)), 20 * MS, None);
        assert_eq!(findings.cause, Some(Cause::Sleep));
        assert!(about(findings.cpu, 0) && findings.descheduled() == 0, "{findings:?}");
    }

    #[test]
    fn what_was_not_seen_is_taken_to_be_like_the_rest() {
        let mut seen = seen(4);
        seen.look(reading(9, 5, 0), Some(Doing::Running));
        let findings = seen.conclude(Some(reading(12, 8, 0)), 12 * MS, None);
        assert_eq!(findings.cause, Some(Cause::Cpu));
        assert!(about(findings.cpu, 12), "{findings:?}");
    }

    #[test]
    fn a_thread_that_was_given_no_cpu_since_the_last_look_had_one() {
        let ended = |arrivals| {
            let mut seen = seen(4);
            let counted = |mut reading: Reading, arrivals| {
                reading.usage.iter_mut().for_each(|usage| usage.arrivals = arrivals);
                reading
            };
            seen.look(counted(reading(9, 5, 0), 7), Some(Doing::Running));
            // The scheduler has not looked at it since.
            let findings = seen.conclude(Some(counted(reading(12, 5, 0), arrivals)), 8 * MS, None);
            findings.cpu
        };
        assert!(about(ended(7), 8), "{:?}", ended(7));
        assert!(about(ended(8), 5), "it was off its CPU: {:?}", ended(8));
    }

    #[test]
    fn a_thread_that_waits_for_a_cpu_is_seen_while_it_waits_and_charged_afterwards() {
        let mut seen = seen(1);
        seen.look(reading(6, 0, 0), Some(Doing::Running));
        seen.look(reading(11, 0, 0), Some(Doing::Running));
        let meanwhile = seen.conclude(None, 11 * MS, None);
        assert!(about(meanwhile.runqueue, 10), "{meanwhile:?}");
        assert_eq!(meanwhile.cause, Some(Cause::Runqueue));
        let findings = seen.conclude(Some(reading(14, 3, 10)), 14 * MS, None);
        assert!(about(findings.runqueue, 10), "{findings:?}");
    }

    #[test]
    fn a_wait_that_goes_on_is_not_taken_for_time_off_the_cpu() {
        let mut seen = seen(1);
        seen.look(reading(6, 2, 0), Some(Doing::Running));
        seen.look(reading(11, 2, 0), Some(Doing::Running));
        let meanwhile = seen.conclude(None, 11 * MS, None);
        assert!(about(meanwhile.runqueue, 8), "{meanwhile:?}");
        seen.look(reading(16, 4, 11), Some(Doing::Running));
        assert!(about(seen.conclude(None, 16 * MS, None).runqueue, 11));
    }

    #[test]
    fn how_a_poll_began_is_worked_out_from_what_its_thread_was_charged_with() {
        let begun = |cpu, runqueue, doing| {
            let mut seen = seen(30);
            (seen.start, seen.usage) = (clock::ticks(10 * MS), reading(0, cpu, runqueue).usage);
            seen.work_out_unseen(Before::default(), Some(doing));
            seen.conclude(Some(reading(31, cpu + 1, runqueue)), 21 * MS, None)
        };
        assert!(about(begun(8, 20, Doing::Running).runqueue, 12), "it computed for 8 ms at most");
        assert!(
            about(begun(20, 20, Doing::Running).runqueue, 0),
            "it may have computed all the time"
        );
        assert!(about(begun(8, 3, Doing::Running).runqueue, 3), "it waited for 3 ms at most");
        assert!(about(begun(8, 20, Doing::Waiting(Cause::Sleep)).runqueue, 0), "it slept");
    }

    #[test]
    fn what_a_thread_waits_for_a_cpu_counts_at_the_first_look() {
        let mut late = seen(12);
        late.work_out_unseen(Before::default(), Some(Doing::Running));
        assert!(late.conclude(None, 12 * MS, None).descheduled() > 11 * MS, "it has no CPU yet");
    }

    #[test]
    fn polls_nested_in_it_have_their_share() {
        let mut seen = seen(0);
        let mut later = reading(20, 20, 0);
        later.nested = clock::ticks(15 * MS);
        let findings = seen.conclude(Some(later), 5 * MS, None);
        assert!(about(findings.cpu, 5), "{findings:?}");
        seen.look(later, Some(Doing::Running));
        assert!(about(seen.conclude(None, 5 * MS, None).cpu, 5));
    }

    #[test]
    fn a_quota_explains_only_time_in_which_the_thread_was_ready() {
        let mut ready = seen(0);
        ready.note_throttled(Some(100 * MS));
        ready.look(reading(5, 1, 0), Some(Doing::Running));
        let findings = ready.conclude(Some(reading(20, 4, 0)), 20 * MS, Some(190 * MS));
        assert_eq!(findings.cause, Some(Cause::Runqueue), "{findings:?}");
        assert!(about(Some(findings.throttled), 16), "{findings:?}");
        let mut sleeps = seen(0);
        sleeps.note_throttled(Some(100 * MS));
        sleeps.look(reading(5, 1, 0), Some(Doing::Waiting(Cause::Sleep)));
        let findings = sleeps.conclude(Some(reading(20, 4, 0)), 20 * MS, Some(190 * MS));
        assert_eq!((findings.cause, findings.throttled), (Some(Cause::Sleep), 0));
    }
}
