//! Workers of watched runtimes that are held although no watched poll is in sight.
//!
//! A worker that is not parked may be in one long poll or in many short ones. tokio tells which, a
//! little: a runtime of many workers publishes a worker's busy time every 61 polls, and one of one
//! thread looks at what other threads woke every 31. So a worker that shows neither for long is in
//! polls of which at least one takes long, and it is reported as sampled.

use std::time::Duration;

use opentelemetry_sdk::trace::RandomIdGenerator;
use tokio::runtime::Handle;

use crate::polling::clock;
use crate::polling::record::Place;
use crate::polling::slot::{self, Slot, Snapshot};
use crate::polling::thread::Owner;
use crate::runtime::registry;
use crate::stack::{self, RawStack, Sampler, Target};
use crate::thresholds;
use crate::watchdog::ledger::{self, Stall};
use crate::watchdog::scan::Activity;
use crate::watchdog::seen::{Ids, Reading, STACKS_MAX, Seen, next_report_ns};
use crate::watchdog::{probe, scan};

/// So long a worker has to be held at least: 61 polls of less than 1.6 ms are nobody's block.
const HELD_MIN: Duration = Duration::from_millis(100);

/// A worker that has been held for so long needs no quick eye.
const OLD_NS: u64 = 2_000_000_000;

pub(super) struct Held {
    workers: Vec<Worker>,
    /// The thread that was asked for its stack and has yet to answer.
    asked: Option<Target>,
    /// What a thread left that was asked.
    answered: Option<(Target, RawStack)>,
    ids: RandomIdGenerator,
}

/// What was last seen of the worker that has a slot.
#[derive(Clone, Copy, Default)]
struct Worker {
    /// When it unparked, in ticks; 0 while it is parked.
    turn: u64,
    signs: Signs,
    /// When the signs last changed.
    since: u64,
    /// Another thread is that worker: this one called `block_in_place`.
    is_replaced: bool,
}

/// What changes as a worker polls.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Signs {
    busy: Duration,
    parks: u64,
    /// Of watched polls.
    polled: u64,
    asked: u64,
}

impl Held {
    pub(super) fn new() -> Self {
        let ids = RandomIdGenerator::default();
        Self { workers: Vec::new(), asked: None, answered: None, ids }
    }

    /// Looks at all workers. The watchdog has to stay awake while one is not parked.
    pub(super) fn scan(&mut self, activity: Activity, sampler: &mut Sampler) -> Activity {
        let slots = slot::used();
        self.answered = self.asked.and_then(|_| sampler.answered());
        self.asked.take_if(|_| !sampler.is_asking());
        self.workers.resize(slots.len(), Worker::default());
        let (mut activity, now) = (activity, clock::now());
        for (index, slot) in slots.iter().enumerate() {
            let turn = slot.turn.since();
            if let Some(worker) = self.workers.get_mut(index).filter(|_| turn == 0) {
                forget(slot, worker.since);
                *worker = Worker::default();
                continue;
            }
            let _ = self.look(index, slot, turn, sampler);
            let since = self.workers.get(index).map_or(0, |worker| worker.since);
            let is_old = now.saturating_sub(since) >= clock::ticks(OLD_NS);
            activity = match activity {
                Activity::None | Activity::Old if is_old => Activity::Old,
                _ => Activity::Polls,
            };
        }
        activity
    }

    /// The stack of a thread, or the one that it left since it was asked.
    fn sample(&mut self, target: &Target, sampler: &mut Sampler) -> Option<RawStack> {
        if let Some((_, stack)) = self.answered.take_if(|(of, _)| of == target) {
            return Some(stack);
        }
        let was_asking = sampler.is_asking();
        let stack = sampler.begin(target);
        if !was_asking && sampler.is_asking() {
            self.asked = Some(*target);
        }
        stack
    }

    fn look(
        &mut self,
        index: usize,
        slot: &'static Slot,
        turn: u64,
        sampler: &mut Sampler,
    ) -> Option<()> {
        let owner = slot.owner()?;
        let runtime = registry::find(slot.turn.runtime())?;
        let worker = self.workers.get_mut(index)?;
        let now = clock::now();
        let signs = signs(slot, &owner, &runtime);
        if worker.turn != turn {
            forget(slot, worker.since);
            *worker = Worker { turn, signs, since: now, is_replaced: false };
            return None;
        }
        worker.is_replaced |= worker.signs.parks != signs.parks;
        if worker.signs != signs || slot.innermost_start() != 0 {
            slot.turn.is_over(worker.since, now);
            forget(slot, worker.since);
            (worker.signs, worker.since) = (signs, now);
            return None;
        }
        let since = worker.since;
        let held = now.saturating_sub(since);
        let threshold_ns = thresholds::of_site(runtime.site(), Some(runtime.name()));
        let threshold_ns = threshold_ns.max(clock::whole_nanoseconds(HELD_MIN));
        let held_ns = clock::nanoseconds(held);
        if worker.is_replaced || held_ns < threshold_ns / 2 || slot.turn.was_held_before(since) {
            return None;
        }
        let key = (slot.id(), since);
        let is_enough = |seen: &Seen| seen.stacks.len() >= STACKS_MAX;
        let wants_stack = !ledger::lock().polls.get(&key).is_some_and(is_enough);
        let target = i32::try_from(owner.thread.id).ok().and_then(stack::target);
        let target = target.filter(|_| wants_stack);
        let stack = target.and_then(|target| self.sample(&target, sampler));
        let usage = scan::usage(&owner);
        let snapshot = Snapshot { site: runtime.site(), span: 0, start: since, nested: 0 };
        let mut ledger = ledger::lock();
        let throttled = ledger.throttled;
        let seen = ledger.seen(key, || Seen::new(&snapshot, now, usage))?;
        seen.look(Reading { at: now, nested: 0, usage }, probe::doing(owner.thread.id));
        seen.stacks.extend(stack);
        if held_ns < threshold_ns.max(seen.report_at_ns) || !slot.turn.hold(turn, since) {
            return None;
        }
        seen.report_at_ns = next_report_ns(held_ns, threshold_ns);
        let ids = *seen.ids.get_or_insert_with(|| Ids::new(&self.ids, since));
        let mut findings = seen.conclude(None, held_ns, throttled);
        findings.ids = Some(ids);
        ledger.report(Stall {
            key,
            place: Place::Site(runtime.site()),
            duration: held,
            own: held,
            threshold_ns,
            thread: owner.thread,
            runtime: Some(runtime.name().into()),
            findings,
        });
        Some(())
    }
}

/// Nothing more will be seen of what was held since then. If it was reported its record follows.
fn forget(slot: &Slot, since: u64) {
    if since != 0
        && let Some(seen) = ledger::lock().polls.get_mut(&(slot.id(), since))
    {
        seen.left = clock::now();
    }
}

fn signs(slot: &Slot, owner: &Owner, runtime: &registry::Runtime) -> Signs {
    let polled = slot.polled();
    match owner.runtime.as_ref().and_then(|runtime| runtime.workers.as_ref()) {
        Some(handle) => {
            let (busy, parks) = published(handle, slot.turn.worker());
            Signs { busy, parks, polled, asked: 0 }
        }
        None => Signs { asked: runtime.ask(), polled, ..Signs::default() },
    }
}

#[cfg(target_has_atomic = "64")]
fn published(handle: &Handle, worker: usize) -> (Duration, u64) {
    let metrics = handle.metrics();
    if worker >= metrics.num_workers() {
        return (Duration::ZERO, 0);
    }
    (metrics.worker_total_busy_duration(worker), metrics.worker_park_unpark_count(worker))
}

#[cfg(not(target_has_atomic = "64"))]
fn published(_: &Handle, _: usize) -> (Duration, u64) {
    (Duration::ZERO, 0)
}
