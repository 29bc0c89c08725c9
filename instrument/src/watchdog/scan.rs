//! One look at all slots.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::RandomIdGenerator;

use crate::polling::record::Place;
use crate::polling::slot::{self, Slot, Snapshot};
use crate::polling::thread::Owner;
use crate::polling::usage::{Accounts, Usage};
use crate::polling::{clock, spans as polled_spans};
use crate::stack::{self, Sampler, Target};
use crate::thresholds;
use crate::watchdog::cause::Doing;
use crate::watchdog::ledger::{self, Key, Ledger, Stall};
use crate::watchdog::rhythm::Rhythm;
use crate::watchdog::seen::{Ids, Reading, STACKS_MAX, Seen, next_report_ns};
use crate::watchdog::throttle::Throttle;
use crate::watchdog::unseen::Before;
use crate::watchdog::victims::Drivers;
use crate::watchdog::{ffi, probe, spans, victims};

/// How long polls without a stack are looked at in one go.
const PATIENCE: Duration = Duration::from_millis(2);
/// A poll without a stack is looked at again after so long.
const AGAIN_NS: u64 = 5_000_000;

/// What a look at all slots found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    None,
    /// Only polls that have lasted long.
    Old,
    /// Others, or ones that began and ended since the last look.
    Polls,
}

pub(super) struct Scanner {
    threads: Vec<Watched>,
    throttle: Throttle,
    drivers: Drivers,
    ids: RandomIdGenerator,
    /// Polls whose stack is to be taken after the look at all slots.
    wanted: Vec<Wanted>,
    /// The poll whose thread was asked for its stack and has yet to answer.
    asked: Option<(Key, Target)>,
    /// When some poll is to be looked at next, in ticks.
    next: u64,
    /// Whether this look has read what the container's quota took.
    has_read_throttled: bool,
}

/// A poll whose stack is wanted.
struct Wanted {
    key: Key,
    target: Target,
    has_stacks: bool,
    waits_for_cpu: bool,
}

/// Keeps a stack of a poll, if that goes on: else it may be of a later one. Whether the poll waits
/// for something of which it is not known who has it.
fn keep(key: Key, stack: stack::RawStack, target: &Target, lowest: u64) -> bool {
    let goes_on = slot::used().iter().any(|slot| slot.id() == key.0 && slot.is_in(key.1));
    let mut ledger = ledger::lock();
    let Some(seen) = ledger.polls.get_mut(&key).filter(|_| goes_on) else { return false };
    if let Some(call) = stack.call {
        seen.was_in(probe::doing_in(target.tid.unsigned_abs(), call));
    }
    let waits = stack.call.is_some();
    seen.add_stack(stack, lowest);
    waits && seen.wants_holder()
}

/// Takes the stack of a poll, and searches who holds what it waits for. Whether there was one.
fn take_stack(
    sampler: &mut Sampler,
    wanted: &Wanted,
    asked: &mut Option<(Key, Target)>,
    lowest: u64,
) -> bool {
    let Wanted { key, target, .. } = wanted;
    let was_asking = sampler.is_asking();
    let Some(stack) = sampler.begin(target) else {
        if !was_asking && sampler.is_asking() {
            *asked = Some((*key, *target));
        }
        return false;
    };
    if keep(*key, stack, target, lowest)
        && let Some(holding) = sampler.holder(target)
        && let Some(seen) = ledger::lock().polls.get_mut(key)
    {
        seen.holding = Some(holding);
    }
    true
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
    /// Its totals when it was looked at last, and when that was.
    usage: Usage,
    read: u64,
    /// The last span that was the innermost poll, and its start.
    span: (u64, u64),
    /// When its poll is to be looked at next, in ticks.
    due: u64,
    /// Grows with its polls.
    polled: u64,
}

/// The instant of a look, in ticks.
#[derive(Clone, Copy)]
struct Now {
    at: u64,
    rhythm: Rhythm,
}

impl Now {
    /// For how long before a poll that began at `start` its thread may have done what it was charged
    /// with since `read`, of which `waited` ns without a CPU. In nanoseconds; 0 for a poll that is
    /// seen in time, if what was before is known, or the thread did not wait for a CPU since: such a
    /// poll can't hide its beginning behind what was before.
    fn uncertain(self, start: u64, read: u64, waited: u64) -> u64 {
        let (age, earlier) = (self.at.saturating_sub(start), start.saturating_sub(read));
        let is_known = earlier <= 2 * self.rhythm.period() || clock::ticks(waited) <= age / 8;
        if age < self.rhythm.lowest && is_known { 0 } else { clock::nanoseconds(earlier) }
    }
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            threads: Vec::new(),
            throttle: Throttle::open(),
            drivers: Drivers::default(),
            ids: RandomIdGenerator::default(),
            wanted: Vec::new(),
            asked: None,
            next: 0,
            has_read_throttled: false,
        }
    }

    /// How long all polls can be left alone, for so many ticks at most.
    pub(super) fn pause(&self, most: u64) -> Duration {
        let left = self.next.saturating_sub(clock::now());
        Duration::from_nanos(clock::nanoseconds(left.min(most)))
    }

    /// Has the next look be at every poll, whether or not one is due.
    pub(super) fn look_at_all(&mut self) {
        self.threads.iter_mut().for_each(|thread| thread.due = 0);
    }

    pub(super) fn scan(&mut self, rhythm: Rhythm, sampler: &mut Sampler) -> Activity {
        let slots = slot::used();
        self.threads.resize_with(slots.len(), Watched::default);
        let now = Now { at: clock::now(), rhythm };
        self.next = u64::MAX;
        let mut activity = Activity::None;
        let mut ledger = ledger::lock();
        self.has_read_throttled = false;
        for (index, slot) in slots.iter().enumerate() {
            let Some(thread) = self.threads.get_mut(index) else { break };
            let start = slot.innermost_start();
            if start != thread.innermost {
                let lasted = thread.leave(slot, &mut ledger, now.at);
                if lasted >= rhythm.half() {
                    self.read_throttled(&mut ledger);
                }
            }
            let Some(thread) = self.threads.get_mut(index) else { break };
            if start == 0 {
                let polled = slot.polled();
                if thread.polled != polled {
                    thread.polled = polled;
                    activity = Activity::Polls;
                }
                continue;
            }
            let is_due = start != thread.innermost || now.at >= thread.due;
            let looked = is_due.then(|| self.look(index, slot, &mut ledger, now));
            let Some(thread) = self.threads.get(index) else { break };
            let age = match looked {
                Some(None) => continue,
                Some(Some(age)) => age,
                None => now.at.saturating_sub(thread.last),
            };
            if thread.innermost == start {
                self.next = self.next.min(thread.due);
            }
            if looked.is_some() && age >= rhythm.half() {
                self.look_at_driver(index, slot, &mut ledger, now);
            }
            if age < rhythm.old() {
                activity = Activity::Polls;
            } else if activity == Activity::None {
                activity = Activity::Old;
            }
        }
        // The time of the beginning: a poll that ended since may not have been looked at.
        ledger.settle(now.at, rhythm.lowest);
        drop(ledger);
        self.take_stacks(rhythm, sampler);
        activity
    }

    /// Takes the stacks that are wanted. A poll that has none yet is looked at for a while: whoever
    /// runs may block, and has to be seen to run for a moment before it is interrupted.
    fn take_stacks(&mut self, rhythm: Rhythm, sampler: &mut Sampler) {
        // One thread at a time can be interrupted.
        self.wanted.sort_by_key(|wanted| wanted.has_stacks);
        let start = Instant::now();
        loop {
            if let Some((key, target)) = self.asked {
                if let Some((_, stack)) = sampler.answered() {
                    keep(key, stack, &target, rhythm.lowest);
                    self.wanted.retain(|wanted| wanted.key != key);
                }
                self.asked.take_if(|_| !sampler.is_asking());
            }
            self.wanted
                .retain(|wanted| !take_stack(sampler, wanted, &mut self.asked, rhythm.lowest));
            let is_waited_for = |wanted: &Wanted| !wanted.has_stacks || !wanted.waits_for_cpu;
            if !self.wanted.iter().any(is_waited_for) || start.elapsed() > PATIENCE {
                break;
            }
            thread::sleep(stack::PAUSE);
        }
        self.wanted.clear();
    }

    /// What the quota took is read only when a poll may have been slow for it.
    fn read_throttled(&mut self, ledger: &mut Ledger) -> Option<u64> {
        if !self.has_read_throttled {
            self.has_read_throttled = true;
            ledger.throttled = self.throttle.read_ns();
        }
        ledger.throttled
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
        let innermost = slot.snapshot_if_judged()?;
        thread.compare(&innermost);
        let known = innermost_poll(slot, innermost);
        let snapshot = known.unwrap_or(innermost);
        let age = now.at.saturating_sub(snapshot.start);
        let reading = Reading { at: clock::now(), nested: snapshot.nested, usage: usage(&owner) };
        let is_worth_it = age >= now.rhythm.young();
        let doing = is_worth_it.then(|| probe::doing(owner.thread.id)).flatten();
        // What was read belongs to that poll only if it is still the same.
        if slot.innermost_start() != innermost.start {
            return Some(age);
        }
        (thread.last, thread.innermost) = (snapshot.start, innermost.start);
        thread.due = now.rhythm.next_look(snapshot.start, now.at, u64::MAX);
        let before = std::mem::replace(&mut thread.usage, reading.usage.unwrap_or_default());
        let read = std::mem::replace(&mut thread.read, reading.at);
        let waited =
            reading.usage.map_or(0, |usage| usage.runqueue.saturating_sub(before.runqueue));
        let earlier = now.uncertain(snapshot.start, read, waited);
        let target = thread.target;
        if let Some(usage) = reading.usage {
            ledger.note_totals(slot.id(), reading.at, before, usage);
        }
        let throttled = is_worth_it.then(|| self.read_throttled(ledger)).flatten();
        let begin = || {
            let mut seen = Seen::new(&snapshot, reading.at, reading.usage);
            seen.work_out_unseen(Before { usage: before, earlier }, doing);
            seen
        };
        let Some(seen) = ledger.seen((slot.id(), snapshot.start), begin) else { return Some(age) };
        seen.note_throttled(throttled);
        seen.look(reading, doing);
        if is_worth_it {
            count(seen, doing, &owner);
        }
        let own = age.saturating_sub(snapshot.nested);
        let lacks_stack = own >= now.rhythm.half() && seen.stacks.is_empty();
        if own >= now.rhythm.half() && seen.wants_stack(own) {
            let (key, waits_for_cpu) = ((slot.id(), snapshot.start), seen.waits_for_cpu());
            let of = |target| Wanted { key, target, has_stacks: !lacks_stack, waits_for_cpu };
            self.wanted.extend(target.map(of));
        }
        if own >= now.rhythm.lowest && known.is_some() {
            let missing =
                self.report_if_due(index, slot, (innermost, snapshot, reading.at), ledger);
            let report = missing.map_or(u64::MAX, |ns| age.saturating_add(clock::ticks(ns)));
            if let Some(thread) = self.threads.get_mut(index) {
                thread.due = now.rhythm.next_look(snapshot.start, now.at, report);
            }
        }
        if lacks_stack {
            self.look_again_soon(index, now);
        }
        Some(age)
    }

    /// Reports a poll that has passed its threshold, or twice, four times, … that. One that lasts for
    /// long is reported every minute: the collector takes silence for its end. Tells how much is missing
    /// for the next report, in nanoseconds.
    fn report_if_due(
        &mut self,
        index: usize,
        slot: &'static Slot,
        (innermost, snapshot, at): (Snapshot, Snapshot, u64),
        ledger: &mut Ledger,
    ) -> Option<u64> {
        let owner = self.threads.get(index)?.owner.clone()?;
        let place = spans::place(&snapshot)?;
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
        let seen = ledger.polls.get_mut(&key)?;
        let mut findings = seen.conclude(None, own_ns, throttled);
        let to_blame = own_ns.saturating_sub(findings.descheduled());
        let due_ns = threshold_ns.max(seen.report_at_ns);
        if to_blame < due_ns {
            return Some(due_ns - to_blame);
        }
        seen.report_at_ns = next_report_ns(to_blame, threshold_ns);
        let missing_ns = seen.report_at_ns.saturating_sub(to_blame);
        seen.stalled |= victims::all_workers_blocked(&owner, self.blocked(&owner));
        let ids = *seen.ids.get_or_insert_with(|| Ids::new(&self.ids, snapshot.start));
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
        Some(missing_ns)
    }

    /// A poll whose stack could not be taken is not left alone for as long as others.
    fn look_again_soon(&mut self, index: usize, now: Now) {
        if let Some(thread) = self.threads.get_mut(index) {
            thread.due = thread.due.min(now.at.saturating_add(clock::ticks(AGAIN_NS)));
        }
    }

    /// Notes whether another worker waits for I/O and timers while this one is blocked.
    fn look_at_driver(&mut self, index: usize, slot: &Slot, ledger: &mut Ledger, now: Now) {
        let Some(thread) = self.threads.get(index) else { return };
        let Some(seen) = ledger.polls.get_mut(&(slot.id(), thread.last)) else { return };
        let Some(owner) = thread.owner.as_ref().filter(|_| seen.wants_driver()) else { return };
        let runtime = owner.runtime.as_ref().map(|runtime| runtime.id);
        let is_worker = |other: &Owner| {
            let of = other.runtime.as_ref().filter(|runtime| runtime.workers.is_some());
            of.is_some() && of.map(|runtime| runtime.id) == runtime
        };
        let others = self.threads.iter().enumerate().filter(|(at, _)| *at != index);
        let others = others.filter_map(|(_, other)| {
            let owner = other.owner.as_ref().filter(|owner| is_worker(owner))?;
            let is_old = now.at.saturating_sub(other.last) >= now.rhythm.lowest;
            Some((owner.thread.id, other.last != 0 && is_old))
        });
        if let Some(is_idle) = self.drivers.are_idle(owner, others) {
            seen.note_driver(is_idle);
        }
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
    /// For how long it was seen to go on, in ticks.
    fn leave(&mut self, slot: &Slot, ledger: &mut Ledger, now: u64) -> u64 {
        let (last, _) = (std::mem::take(&mut self.last), std::mem::take(&mut self.innermost));
        let seen = ledger.polls.get_mut(&(slot.id(), last)).filter(|_| last != 0);
        seen.map_or(0, |seen| {
            seen.left = now;
            now.saturating_sub(last)
        })
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
    let totals = owner.accounts.as_ref().and_then(Accounts::read)?;
    // Its own clock is exact at any time.
    Some(Usage { cpu: ffi::cpu_ns(owner.thread.id)?, ..totals })
}

/// A span that may be none is part of what is around it. If nothing there is known to be a poll, it
/// is looked at for its record and not reported.
fn innermost_poll(slot: &Slot, innermost: Snapshot) -> Option<Snapshot> {
    slot.innermost_where(innermost, |snapshot| {
        !polled_spans::is_span(snapshot.site) || spans::is_poll(snapshot.span)
    })
}

fn count(seen: &mut Seen, doing: Option<Doing>, owner: &Owner) {
    if doing == Some(Doing::Running) {
        seen.count_faults(probe::faults(owner.thread.id));
    }
    victims::count(seen, owner);
}
