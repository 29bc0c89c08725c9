//! One look at all slots.

use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use crate::polling::record::Place;
use crate::polling::slot::{self, Slot, Snapshot};
use crate::polling::thread::Owner;
use crate::polling::usage::{Accounts, Usage};
use crate::polling::{clock, spans as polled_spans};
use crate::stack::{self, Sampler, Target};
use crate::thresholds;
use crate::watchdog::ledger::{self, Key, Ledger, Stall};
use crate::watchdog::seen::{Ids, Reading, STACKS_MAX, Seen, next_report_ns};
use crate::watchdog::throttle::Throttle;
use crate::watchdog::{ffi, probe, spans, victims};

/// A poll that has lasted so many ticks is not looked at with every tick.
const OLD_TICKS: u32 = 64;
/// Parts of a tick from which on a poll is worth a closer look.
const YOUNG_PARTS: u64 = 4;
/// An old poll is looked at again when it has become older by this part of its age.
const OLD_PARTS: u64 = 8;

/// What a look at all slots found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    None,
    /// Only polls that have lasted long.
    Old,
    Polls,
}

pub(super) struct Scanner {
    threads: Vec<Watched>,
    sampler: Option<Sampler>,
    throttle: Throttle,
    ids: RandomIdGenerator,
    /// Polls whose stack is to be taken after the look at all slots.
    wanted: Vec<(Key, Target)>,
    /// Age of the youngest of the old polls, in ticks.
    youngest_old: u64,
}

/// A thread, as long as it has its slot.
#[derive(Default)]
struct Watched {
    generation: u32,
    owner: Option<Arc<Owner>>,
    target: Option<Target>,
    /// Start of the poll that was looked at last; 0 when there is none.
    last: u64,
    /// Start of the innermost poll at that time: the same one, or a span in it.
    innermost: u64,
    /// Its totals at that time.
    usage: Usage,
    /// The last span that was the innermost poll, and its start.
    span: (u64, u64),
}

/// The instant of a look, in ticks.
#[derive(Clone, Copy)]
struct Now {
    at: u64,
    tick: u64,
    lowest: u64,
}

impl Scanner {
    pub(super) fn new(stacks: stack::Settings) -> Self {
        Self {
            threads: Vec::new(),
            sampler: Some(Sampler::new(stacks)),
            throttle: Throttle::open(),
            ids: RandomIdGenerator::default(),
            wanted: Vec::new(),
            youngest_old: 0,
        }
    }

    /// How long the old polls can be left alone.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_nanos(clock::nanoseconds(self.youngest_old / OLD_PARTS))
    }

    pub(super) fn scan(&mut self, tick: Duration) -> Activity {
        let slots = slot::used();
        self.threads.resize_with(slots.len(), Watched::default);
        let now = Now {
            at: clock::now(),
            tick: clock::ticks(u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX)),
            lowest: clock::ticks(thresholds::lowest_ns()),
        };
        self.youngest_old = u64::MAX;
        let mut activity = Activity::None;
        let mut ledger = ledger::lock();
        for (index, slot) in slots.iter().enumerate() {
            let Some(thread) = self.threads.get_mut(index) else { break };
            let start = slot.innermost_start();
            if start != thread.innermost {
                thread.leave(slot, &mut ledger, now.at);
            }
            if start == 0 {
                continue;
            }
            let Some(age) = self.look(index, slot, &mut ledger, now) else { continue };
            if age >= now.tick.saturating_mul(u64::from(OLD_TICKS)) {
                self.youngest_old = self.youngest_old.min(age);
                activity = if activity == Activity::None { Activity::Old } else { activity };
            } else {
                activity = Activity::Polls;
            }
        }
        if activity != Activity::None {
            ledger.throttled = self.throttle.read_ns();
        }
        // The time of the beginning: a poll that ended since may not have been looked at.
        ledger.settle(now.at, now.lowest);
        drop(ledger);
        self.take_stacks();
        activity
    }

    /// Takes the stacks that are wanted. A thread that runs may let itself be waited for.
    fn take_stacks(&mut self) {
        for (key, target) in self.wanted.drain(..) {
            let Some(stack) = self.sampler.as_mut().and_then(|sampler| sampler.sample(&target))
            else {
                continue;
            };
            // It may be of a later poll, if that one has ended meanwhile.
            let goes_on = slot::used().iter().any(|slot| slot.id() == key.0 && slot.is_in(key.1));
            if goes_on && let Some(seen) = ledger::lock().polls.get_mut(&key) {
                seen.stacks.push(stack);
            }
        }
    }

    /// Looks at one slot that is in a poll, and tells for how long it has been.
    fn look(
        &mut self,
        index: usize,
        slot: &'static Slot,
        ledger: &mut Ledger,
        now: Now,
    ) -> Option<u64> {
        let thread = self.threads.get_mut(index)?;
        thread.identify(slot);
        let owner = Arc::clone(thread.owner.as_ref().filter(|owner| !owner.thread.exports())?);
        let innermost = slot.snapshot()?;
        thread.compare(&innermost);
        // A span that may be none is part of what is around it. If nothing there is known to be a
        // poll, it is looked at for its record and not reported.
        let known = slot.innermost_where(innermost, |snapshot| {
            !polled_spans::is_span(snapshot.site) || spans::is_poll(snapshot.span)
        });
        let snapshot = known.unwrap_or(innermost);
        let age = now.at.saturating_sub(snapshot.start);
        let reading = Reading { at: clock::now(), nested: snapshot.nested, usage: usage(&owner) };
        let is_worth_it = age >= now.tick / YOUNG_PARTS;
        let doing = is_worth_it.then(|| probe::doing(owner.thread.id)).flatten();
        // What was read belongs to that poll only if it is still the same.
        if slot.innermost_start() != innermost.start {
            return Some(age);
        }
        (thread.last, thread.innermost) = (snapshot.start, innermost.start);
        let throttled = ledger.throttled;
        let seen = match ledger.polls.entry((slot.id(), snapshot.start)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let seen = place.insert(Seen::new(&snapshot, reading.at, reading.usage));
                seen.note_throttled(throttled);
                seen.work_out_unseen(thread.usage, doing);
                seen
            }
        };
        thread.usage = reading.usage.unwrap_or_default();
        seen.look(reading, doing);
        if is_worth_it {
            seen.count_faults(probe::faults(owner.thread.id));
            victims::count(seen, &owner);
        }
        let own = age.saturating_sub(snapshot.nested);
        if own >= now.lowest / 2 && seen.wants_stack() {
            let key = (slot.id(), snapshot.start);
            self.wanted.extend(thread.target.map(|target| (key, target)));
        }
        if own >= now.lowest && known.is_some() {
            self.report_if_due(index, slot, (innermost, snapshot, reading.at), ledger);
        }
        Some(age)
    }

    /// Reports a poll that has passed its threshold, or twice, four times, … that. One that lasts for
    /// long is reported every minute: the collector takes silence for its end.
    fn report_if_due(
        &mut self,
        index: usize,
        slot: &'static Slot,
        (innermost, snapshot, at): (Snapshot, Snapshot, u64),
        ledger: &mut Ledger,
    ) -> Option<()> {
        let owner = self.threads.get(index)?.owner.clone()?;
        let place = if polled_spans::is_span(snapshot.site) {
            Place::Span(spans::metadata(snapshot.span)?)
        } else {
            Place::Site(snapshot.site)
        };
        let threshold_ns = match place {
            Place::Site(site) => thresholds::of_site(site, owner.runtime_name()),
            Place::Span(_) => thresholds::of_function(&place.function(), owner.runtime_name()),
        };
        let duration = at.saturating_sub(snapshot.start);
        let gaps = ledger.gaps_within(snapshot.start, at);
        let own = duration.saturating_sub(snapshot.nested).saturating_sub(gaps);
        let own_ns = clock::nanoseconds(own);
        let key = (slot.id(), snapshot.start);
        let throttled = ledger.throttled;
        let all_blocked = victims::all_workers_blocked(&owner, self.blocked(&owner));
        let seen = ledger.polls.get_mut(&key)?;
        let mut findings = seen.conclude(None, own_ns, throttled);
        let to_blame = own_ns.saturating_sub(findings.descheduled());
        if to_blame < threshold_ns.max(seen.report_at_ns) {
            return None;
        }
        seen.report_at_ns = next_report_ns(to_blame, threshold_ns);
        seen.stalled |= all_blocked;
        let ids = *seen.ids.get_or_insert_with(|| Ids {
            trace: self.ids.new_trace_id(),
            span: self.ids.new_span_id(),
            start: clock::wall(snapshot.start),
        });
        (findings.ids, findings.stalled) = (Some(ids), seen.stalled);
        // Stacks from here on are of what it does later.
        if seen.stacks.len() >= STACKS_MAX {
            seen.stacks.truncate(STACKS_MAX / 2);
        }
        let stall = Stall {
            key,
            place,
            duration,
            own,
            threshold_ns,
            thread: owner.thread,
            runtime: owner.runtime_name().map(Box::from),
            findings,
        };
        // The exporter holds the ledger's lock when it takes reports, after it has taken records. A
        // poll that goes on here has no record yet, and so its report can't come after its end.
        if slot.innermost_start() == innermost.start {
            ledger.report(stall);
        }
        Some(())
    }

    /// Threads of the same runtime whose innermost poll has passed the lowest threshold.
    fn blocked(&self, owner: &Owner) -> usize {
        let runtime = owner.runtime.as_ref().map(|runtime| runtime.id);
        let is_blocked = |thread: &&Watched| {
            let same = |other: &Arc<Owner>| other.runtime.as_ref().map(|r| r.id) == runtime;
            thread.last != 0 && thread.owner.as_ref().is_some_and(same)
        };
        let limit = clock::ticks(thresholds::lowest_ns());
        let old = |thread: &&Watched| clock::now().saturating_sub(thread.last) >= limit;
        self.threads.iter().filter(is_blocked).filter(old).count()
    }
}

impl Watched {
    /// The poll that was innermost is not so any more: it ended, or another is nested in it.
    fn leave(&mut self, slot: &Slot, ledger: &mut Ledger, now: u64) {
        if self.last != 0
            && let Some(seen) = ledger.polls.get_mut(&(slot.id(), self.last))
        {
            seen.left = now;
        }
        (self.last, self.innermost) = (0, 0);
    }

    /// A span that is entered again is that of a future.
    fn compare(&mut self, innermost: &Snapshot) {
        if !polled_spans::is_span(innermost.site) {
            return;
        }
        let (span, start) = self.span;
        if span == innermost.span
            && start != innermost.start
            && let Some(function) = spans::metadata(span)
        {
            spans::is_async(function);
        }
        self.span = (innermost.span, innermost.start);
    }

    fn identify(&mut self, slot: &Slot) {
        let generation = slot.generation();
        if self.owner.is_none() || self.generation != generation {
            self.generation = generation;
            self.usage = Usage::default();
            self.owner = slot.owner();
            let id = self.owner.as_ref().and_then(|owner| i32::try_from(owner.thread.id).ok());
            self.target = id.and_then(stack::target);
        }
    }
}

/// Totals of a thread up to here.
pub(super) fn usage(owner: &Owner) -> Option<Usage> {
    let runqueue = owner.accounts.as_ref().and_then(Accounts::runqueue)?;
    Some(Usage { cpu: ffi::cpu_ns(owner.thread.id)?, runqueue })
}
