//! Which slow polls become poll spans, and with what.
//!
//! A record says how long a poll took; the watchdog's ledger says why. A record waits until the
//! watchdog has looked once more after the poll's end, which is at most a tick.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::advice;
use crate::export::{PollSpan, Subject};
use crate::findings::awaits::Awaits;
use crate::findings::budget::Budget;
use crate::findings::finding::{Blame, Finding, Kind, LockHolder};
use crate::findings::history::History;
use crate::findings::{Settings, unreported};
use crate::polling::record::{self, Place, Record};
use crate::polling::{allow, clock};
use crate::stack::{self, Resolved};
use crate::thresholds;
use crate::watchdog::ledger::{self, Judged, Key, Stall};
use crate::watchdog::{Cause, Findings, spans};

/// How long the record of a poll that ended may take, in nanoseconds.
const RECORD_NS_MAX: u64 = 2_000_000_000;
/// Functions in which a poll may block.
const IN_PLACE: [&str; 2] =
    ["tokio::task::blocking::block_in_place", "multi_thread::worker::block_in_place"];

/// Records that are looked at together.
pub(crate) const WAITING_MAX: usize = 256;
/// Polls that go on, of which a report was sent.
pub(crate) const ANNOUNCED_MAX: usize = 448;

/// One slow poll, as it is told.
pub(super) struct Told {
    /// Only known in debug mode.
    pub(super) has_spent_budget: bool,
    /// None where a span can't be sent more than once, and the poll goes on.
    pub(super) span: Option<PollSpan>,
    pub(super) finding: Finding,
}

/// Decides record by record.
#[derive(Debug)]
pub(super) struct Judge {
    budget: Budget,
    settings: Settings,
    stalls: VecDeque<Stall>,
    records: VecDeque<Record>,
    names: stack::Cache,
    /// Polls of which a report was made before they returned.
    announced: HashMap<Key, Stall>,
    /// Kept back by the budget since the last one that was told.
    suppressed: u64,
    history: History,
    awaits: Awaits,
}

impl Judge {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            budget: Budget::new(settings.reports_per_minute, Instant::now()),
            settings,
            stalls: VecDeque::new(),
            records: VecDeque::new(),
            names: stack::Cache::default(),
            announced: HashMap::new(),
            suppressed: 0,
            history: History::default(),
            awaits: Awaits::new(settings.reports_per_minute),
        }
    }

    /// Takes what there is: records first, so that a report which comes with them was made before
    /// they were.
    pub(super) fn gather(&mut self) {
        while self.records.len() < WAITING_MAX {
            let Some(record) = record::pop() else { break };
            self.history.add(&record);
            self.records.push_back(record);
        }
        if self.stalls.is_empty() {
            self.stalls = ledger::lock().take_stalls();
        }
        let ended = |stall: &Stall| {
            let key = |record: &Record| (record.slot, record.start) == stall.key;
            self.records.iter().any(key)
        };
        let goes_on = |stall: &Stall| !ended(stall);
        self.stalls = std::mem::take(&mut self.stalls).into_iter().filter(goes_on).collect();
    }

    /// The next slow poll to tell of, if there is one.
    pub(super) fn next(&mut self) -> Option<Told> {
        while let Some(stall) = self.stalls.pop_front() {
            if let Some(told) = self.of_stall(stall) {
                return Some(told);
            }
        }
        while let Some(record) = self.next_record() {
            if let Some(told) = self.of_record(&record) {
                return Some(told);
            }
        }
        if self.records.is_empty() {
            // To tell of the others takes time, in which records came.
            self.gather();
        }
        if self.records.is_empty() { self.next_without_record() } else { None }
    }

    /// What there is to tell of timed futures, with those that kept them waiting. `is_last`: nothing
    /// more will be known of that.
    pub(super) fn awaits(&mut self, is_last: bool) -> Vec<Told> {
        let mut waited = self.awaits.gather();
        if is_last {
            waited.extend(self.awaits.gather());
        }
        self.awaits.tell(&waited, &self.history)
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    fn next_record(&mut self) -> Option<Record> {
        let record = self.records.front()?;
        let end = record.start.saturating_add(record.duration);
        ledger::lock().has_settled(end).then(|| self.records.pop_front())?
    }

    fn of_stall(&mut self, stall: Stall) -> Option<Told> {
        // What isn't told while it lasts is counted when it ends.
        if self.announced.len() >= ANNOUNCED_MAX || !self.budget.spend(Instant::now()) {
            return None;
        }
        let was_announced = self.announced.contains_key(&stall.key);
        let mut told = self.spend_on(&subject_of(&stall, true), &stall.findings, was_announced)?;
        told.span = told.span.filter(|_| self.settings.sends_stalls);
        self.announced.insert(stall.key, stall);
        Some(told)
    }

    /// The end of a poll that was reported while it lasted, and whose record did not come: it didn't
    /// fit, or what looked like a poll was none.
    fn next_without_record(&mut self) -> Option<Told> {
        let age = clock::ticks(RECORD_NS_MAX);
        let ended = |key: &&Key| ledger::lock().has_been_left(**key, age);
        let key = *self.announced.keys().find(ended)?;
        let mut stall = self.announced.remove(&key)?;
        let left = ledger::lock().forget(key).unwrap_or(key.1);
        let longer = left.saturating_sub(key.1).saturating_sub(stall.duration);
        stall.duration = stall.duration.saturating_add(longer);
        stall.own = stall.own.saturating_add(longer);
        let mut told = self.tell(&subject_of(&stall, false), &stall.findings, true)?;
        told.span = told.span.filter(|_| self.settings.sends_stalls);
        Some(told)
    }

    fn of_record(&mut self, record: &Record) -> Option<Told> {
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
        findings.ids = findings.ids.filter(|_| was_announced && self.settings.sends_stalls);
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
            slot: record.slot,
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
        let told = self.spend_on(&subject, &findings, was_announced)?;
        Some(Told { has_spent_budget: record.has_spent_budget, ..told })
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
        unreported::count_descheduled();
        self.settings.reports_descheduled
    }

    /// The end of what was announced is told in any case.
    fn may_report(&mut self, was_announced: bool) -> bool {
        let may = self.budget.spend(Instant::now()) || was_announced;
        if !may {
            self.suppressed += 1;
            unreported::count_suppressed();
        }
        may
    }

    /// Tells what the budget was spent on. What isn't told after all costs nothing.
    fn spend_on(
        &mut self,
        subject: &Subject,
        findings: &Findings,
        was_announced: bool,
    ) -> Option<Told> {
        let told = self.tell(subject, findings, was_announced);
        if told.is_none() {
            self.budget.give_back();
        }
        told
    }

    /// None for what may block, as far as the stack tells. The end of what was announced is told in
    /// any case.
    fn tell(
        &mut self,
        subject: &Subject,
        findings: &Findings,
        was_announced: bool,
    ) -> Option<Told> {
        let resolved = stack::resolve(&mut self.names, &findings.stacks);
        if !was_announced && resolved.frames.iter().any(|frame| is_in_place(frame)) {
            return None;
        }
        if !was_announced && thresholds::allows(&resolved.frames, &subject.place.function()) {
            if !subject.is_stall {
                allow::count();
            }
            return None;
        }
        // Descheduled by more than it had of its own, it is in here because that was asked for.
        let to_blame = subject.own_ns.saturating_sub(findings.descheduled());
        let cause = if to_blame < subject.threshold_ns && findings.descheduled() > 0 {
            Some(Cause::Runqueue)
        } else {
            findings.cause
        };
        if !resolved.blame_function.is_empty() {
            self.history.blame((subject.slot, subject.start), &resolved.blame_function);
        }
        let holding = findings.holding.as_ref().filter(|_| cause == Some(Cause::Lock));
        let holder = holding
            .and_then(|holding| stack::name_holder(&mut self.names, &resolved.frames, holding));
        let mut span = PollSpan::of(subject, findings, cause, &resolved);
        span.tell_holder(holder.as_ref());
        let mut finding = finding_of(subject, findings, cause, resolved);
        finding.lock_holder = holder.map(LockHolder::from);
        finding.suppressed = std::mem::take(&mut self.suppressed);
        Some(Told { has_spent_budget: false, span: Some(span), finding })
    }
}

fn finding_of(
    subject: &Subject,
    findings: &Findings,
    cause: Option<Cause>,
    stack: Resolved,
) -> Finding {
    let place = subject.place;
    let started = clock::wall(subject.start);
    let mut finding = Finding::new(Kind::Blocking, place.function(), started);
    // No two polls of a thread begin at the same tick.
    finding.id = (subject.slot as u64).rotate_left(32) ^ subject.start;
    (finding.file, finding.line) = place.source();
    finding.elapsed = Duration::from_nanos(clock::nanoseconds(subject.duration));
    finding.busy = Duration::from_nanos(subject.own_ns);
    finding.polls = 1;
    finding.threshold = Duration::from_nanos(subject.threshold_ns);
    finding.thread = subject.thread.name().to_owned();
    finding.thread_id = subject.thread.id;
    finding.runtime = subject.runtime.as_deref().map(str::to_owned);
    finding.worker = subject.worker;
    finding.task = subject.task.and_then(|id| id.to_string().parse().ok());
    finding.cause = cause.map(Cause::name);
    finding.blame = (!stack.blame_function.is_empty())
        .then_some(Blame { function: stack.blame_function, crate_name: stack.blame_crate });
    finding.advice = advice::for_stall(&stack.frames, finding.cause.unwrap_or_default());
    finding.stack = stack.frames;
    finding.victims = findings.victims;
    finding.ongoing = subject.is_stall;
    finding
}

/// tokio has handed the worker over to another thread meanwhile.
fn is_in_place(frame: &str) -> bool {
    IN_PLACE.iter().any(|function| frame.contains(function))
}

fn subject_of(stall: &Stall, is_stall: bool) -> Subject {
    Subject {
        place: stall.place,
        slot: stall.key.0,
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
