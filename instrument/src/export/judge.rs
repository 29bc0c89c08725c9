//! Which slow polls become poll spans, and with what.
//!
//! A record says how long a poll took; the watchdog's ledger says why. A record waits until the
//! watchdog has looked once more after the poll's end, which is at most a tick.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::export::budget::Budget;
use crate::export::poll_span::{PollSpan, Subject};
use crate::polling::clock;
use crate::polling::record::{self, Place, Record};
use crate::stack;
use crate::thresholds;
use crate::watchdog::ledger::{self, Judged, Key, Stall};
use crate::watchdog::{Cause, Findings, spans};

/// How long the record of a poll that ended may take, in nanoseconds.
const RECORD_NS_MAX: u64 = 2_000_000_000;
/// Functions in which a poll may block.
const IN_PLACE: [&str; 2] =
    ["tokio::task::blocking::block_in_place", "multi_thread::worker::block_in_place"];

/// Records that are looked at together.
const WAITING_MAX: usize = 512;
/// Polls that go on, of which a report was sent.
const ANNOUNCED_MAX: usize = 4096;

static SUPPRESSED: AtomicU64 = AtomicU64::new(0);
static DESCHEDULED: AtomicU64 = AtomicU64::new(0);

/// Slow polls without a span so far, by why there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unreported {
    /// Beyond the budget.
    pub(crate) suppressed: u64,
    /// Long because their threads had no CPU.
    pub(crate) descheduled: u64,
}

/// The totals of the process.
pub(crate) fn unreported() -> Unreported {
    Unreported {
        suppressed: SUPPRESSED.load(Ordering::Relaxed),
        descheduled: DESCHEDULED.load(Ordering::Relaxed),
    }
}

/// Decides record by record.
#[derive(Debug)]
pub(crate) struct Judge {
    budget: Budget,
    reports_descheduled: bool,
    reports_stalls: bool,
    stalls: VecDeque<Stall>,
    records: VecDeque<Record>,
    names: stack::Cache,
    /// Polls of which a report was sent before they returned.
    announced: HashMap<Key, Stall>,
    /// What the last span to tell told.
    told: Unreported,
}

impl Judge {
    /// With a budget a minute. `reports_stalls` is false where a span can't be sent twice.
    pub(crate) fn new(per_minute: u32, reports_descheduled: bool, reports_stalls: bool) -> Self {
        Self {
            budget: Budget::new(per_minute, Instant::now()),
            reports_descheduled,
            reports_stalls,
            stalls: VecDeque::new(),
            records: VecDeque::new(),
            names: stack::Cache::default(),
            announced: HashMap::new(),
            told: unreported(),
        }
    }

    /// Takes what there is: records first, so that a report which comes with them was made before
    /// they were.
    pub(super) fn gather(&mut self) {
        self.names.rest();
        while self.records.len() < WAITING_MAX {
            let Some(record) = record::pop() else { break };
            self.records.push_back(record);
        }
        if self.stalls.is_empty() {
            self.stalls = ledger::lock().take_stalls();
        }
        let ended = |stall: &Stall| {
            let key = |record: &Record| (record.slot, record.start) == stall.key;
            self.records.iter().any(key)
        };
        let goes_on = |stall: &Stall| self.reports_stalls && !ended(stall);
        self.stalls = std::mem::take(&mut self.stalls).into_iter().filter(goes_on).collect();
    }

    /// The next poll span, if there is one.
    pub(super) fn next(&mut self) -> Option<PollSpan> {
        while let Some(stall) = self.stalls.pop_front() {
            if let Some(span) = self.of_stall(stall) {
                return Some(span);
            }
        }
        while let Some(record) = self.next_record() {
            if let Some(span) = self.of_record(&record) {
                return Some(span);
            }
        }
        if self.records.is_empty() { self.next_without_record() } else { None }
    }

    fn next_record(&mut self) -> Option<Record> {
        let record = self.records.front()?;
        let end = record.start.saturating_add(record.duration);
        ledger::lock().has_settled(end).then(|| self.records.pop_front())?
    }

    fn of_stall(&mut self, stall: Stall) -> Option<PollSpan> {
        if self.announced.len() >= ANNOUNCED_MAX || !self.may_report(false) {
            return None;
        }
        let was_announced = self.announced.contains_key(&stall.key);
        let span = self.span(&subject_of(&stall, true), &stall.findings, was_announced)?;
        self.announced.insert(stall.key, stall);
        Some(span)
    }

    /// The end of a poll that was reported while it lasted, and whose record did not come: it didn't
    /// fit, or what looked like a poll was none.
    fn next_without_record(&mut self) -> Option<PollSpan> {
        let age = clock::ticks(RECORD_NS_MAX);
        let ended = |key: &&Key| ledger::lock().has_been_left(**key, age);
        let key = *self.announced.keys().find(ended)?;
        let mut stall = self.announced.remove(&key)?;
        let left = ledger::lock().forget(key).unwrap_or(key.1);
        let longer = left.saturating_sub(key.1).saturating_sub(stall.duration);
        stall.duration = stall.duration.saturating_add(longer);
        stall.own = stall.own.saturating_add(longer);
        self.span(&subject_of(&stall, false), &stall.findings, true)
    }

    fn of_record(&mut self, record: &Record) -> Option<PollSpan> {
        if let Place::Span(function) = record.place {
            spans::is_async(function);
        }
        let was_announced = self.announced.remove(&(record.slot, record.start)).is_some();
        let Judged { mut findings, own_ns } = ledger::lock().judge(record);
        let runtime = record.owner.runtime_name();
        let threshold_ns = match record.place {
            Place::Site(site) => thresholds::of_site(site, runtime),
            Place::Span(_) => thresholds::of_function(&record.place.function(), runtime),
        };
        // Within the error of the clock's calibration it is the same threshold.
        let is_same = threshold_ns.abs_diff(record.threshold_ns) <= threshold_ns / 256;
        let in_force = if is_same { threshold_ns } else { threshold_ns.max(record.threshold_ns) };
        findings.ids = findings.ids.filter(|_| was_announced);
        let falls_short = own_ns + own_ns / 256 + 1 < in_force;
        if !was_announced && !is_same && falls_short {
            return None;
        }
        if !was_announced && !self.is_to_blame(own_ns, in_force, record, &findings) {
            return None;
        }
        if !self.may_report(was_announced) {
            return None;
        }
        let subject = Subject {
            place: record.place,
            start: record.start,
            duration: record.duration,
            own_ns,
            threshold_ns: in_force,
            parent: record.parent,
            task: record.task,
            worker: record.worker,
            thread: record.owner.thread,
            runtime: runtime.map(Box::from),
            is_stall: false,
        };
        self.span(&subject, &findings, was_announced)
    }

    /// Whether the code kept the thread for as long as the threshold. A standstill of the process
    /// is nobody's poll; what the scheduler added is counted.
    fn is_to_blame(
        &self,
        own_ns: u64,
        threshold_ns: u64,
        record: &Record,
        findings: &Findings,
    ) -> bool {
        // What the clock's calibration was off by when the record was made is no standstill.
        let stood_still = clock::nanoseconds(record.own).saturating_sub(own_ns) > 0;
        if stood_still && own_ns < threshold_ns {
            return false;
        }
        let descheduled = findings.descheduled();
        if descheduled == 0 || own_ns.saturating_sub(descheduled) >= threshold_ns {
            return true;
        }
        DESCHEDULED.fetch_add(1, Ordering::Relaxed);
        self.reports_descheduled
    }

    /// The end of what was announced is told in any case.
    fn may_report(&mut self, was_announced: bool) -> bool {
        let may = self.budget.spend(Instant::now()) || was_announced;
        if !may {
            SUPPRESSED.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// None for what may block, as far as the stack tells. The end of what was announced is told in
    /// any case.
    fn span(
        &mut self,
        subject: &Subject,
        findings: &Findings,
        was_announced: bool,
    ) -> Option<PollSpan> {
        let resolved = stack::resolve(&mut self.names, &findings.stacks);
        if !was_announced && resolved.frames.iter().any(|frame| is_in_place(frame)) {
            return None;
        }
        // Descheduled by more than it had of its own, it is in here because that was asked for.
        let to_blame = subject.own_ns.saturating_sub(findings.descheduled());
        let cause = if to_blame < subject.threshold_ns && findings.descheduled() > 0 {
            Some(Cause::Runqueue)
        } else {
            findings.cause
        };
        let mut span = PollSpan::of(subject, findings, cause, &resolved);
        let total = unreported();
        span.tell_unreported(Unreported {
            suppressed: total.suppressed - self.told.suppressed,
            descheduled: total.descheduled - self.told.descheduled,
        });
        self.told = total;
        Some(span)
    }
}

/// tokio has handed the worker over to another thread meanwhile.
fn is_in_place(frame: &str) -> bool {
    IN_PLACE.iter().any(|function| frame.contains(function))
}

fn subject_of(stall: &Stall, is_stall: bool) -> Subject {
    Subject {
        place: stall.place,
        start: stall.key.1,
        duration: stall.duration,
        own_ns: clock::nanoseconds(stall.own),
        threshold_ns: stall.threshold_ns,
        parent: None,
        task: None,
        worker: None,
        thread: stall.thread,
        runtime: stall.runtime.clone(),
        is_stall,
    }
}
