//! Many short polls that together hold a thread: found by looking at what each thread counted.

use std::collections::HashMap;
use std::time::Duration;

use crate::findings::finding::{Finding, Kind};
use crate::findings::history::History;
use crate::measure::table::Sum;
use crate::polling::clock;
use crate::polling::site::Site;
use crate::polling::slot::{self, Slot};

/// A thread that is held for so long, without a pause, is told of.
const HELD: Duration = Duration::from_millis(100);
/// Fewer polls are told of one by one, if at all.
const POLLS_MIN: u64 = 4;
/// Part of a look's time in polls from which on there was no pause, in percent.
const BUSY_PERCENT: u64 = 80;
/// A thread that never pauses is told of so often.
const RUN_MAX: Duration = Duration::from_secs(1);

/// What was last seen of all threads.
#[derive(Default)]
pub(super) struct Together {
    threads: Vec<Seen>,
}

#[derive(Default)]
struct Seen {
    generation: u32,
    at: u64,
    /// In polls by then, those that go on too, in ticks.
    busy: u64,
    counted: Vec<Sum>,
    /// Since when there was no pause; what was counted and the polls' time by then.
    run: Option<Run>,
}

struct Run {
    from: u64,
    busy: u64,
    counted: Vec<Sum>,
}

impl Together {
    pub(super) fn forget(&mut self) {
        self.threads.clear();
    }

    /// Looks at all threads.
    pub(super) fn look(&mut self, history: &History) -> Vec<Finding> {
        let slots = slot::used();
        self.threads.resize_with(slots.len(), Seen::default);
        let threads = slots.iter().zip(&mut self.threads);
        threads.filter_map(|(slot, seen)| seen.look(slot, history)).collect()
    }
}

impl Seen {
    fn look(&mut self, slot: &'static Slot, history: &History) -> Option<Finding> {
        let counted = slot.sums();
        let now = clock::now();
        let open = match slot.innermost_start() {
            0 => 0,
            start => now.saturating_sub(start),
        };
        let busy = counted.iter().map(|sum| sum.ticks).fold(open, u64::wrapping_add);
        let is_same = self.generation == slot.generation() && self.at != 0;
        let last = std::mem::replace(
            self,
            Self { generation: slot.generation(), at: now, busy, counted, run: None },
        );
        if !is_same {
            return None;
        }
        let wall = now.saturating_sub(last.at);
        let worked = busy.wrapping_sub(last.busy).min(wall.saturating_mul(2));
        let is_busy = worked.saturating_mul(100) >= wall.saturating_mul(BUSY_PERCENT);
        // What it did before the first full stretch, and after the last, is part of it.
        let Some(run) = last.run else {
            self.run = Some(Run { from: last.at, busy: last.busy, counted: last.counted });
            return None;
        };
        let length = now.saturating_sub(run.from);
        if is_busy && length < clock::ticks(clock::whole_nanoseconds(RUN_MAX)) {
            self.run = Some(run);
            return None;
        }
        let told = self.tell(slot, &run, now, history);
        // This stretch may be the beginning of the next one.
        self.run = Some(Run { from: last.at, busy: last.busy, counted: last.counted });
        told
    }

    fn tell(&self, slot: &Slot, run: &Run, now: u64, history: &History) -> Option<Finding> {
        let busy = self.busy.wrapping_sub(run.busy);
        let is_possible = busy <= now.saturating_sub(run.from).saturating_mul(2);
        if busy < clock::ticks(clock::whole_nanoseconds(HELD)) || !is_possible {
            return None;
        }
        // Those are told of one by one.
        let slow = history.slow_within(slot.id(), run.from, now);
        let busy = busy.saturating_sub(slow.ticks);
        let held = Duration::from_nanos(clock::nanoseconds(busy));
        let mut sums = added(&run.counted, &self.counted);
        let polls = sums.values().map(|sum| sum.polls).sum::<u64>().saturating_sub(slow.polls);
        let owner = slot.owner()?;
        if held < HELD || polls < POLLS_MIN || owner.thread.exports() {
            return None;
        }
        let (site, _) = sums.drain().map(|(_, sum)| (sum.site, sum.ticks)).max_by_key(|s| s.1)?;
        let mut finding = about(Kind::HeldTogether, site, run.from);
        finding.elapsed = Duration::from_nanos(clock::nanoseconds(now.saturating_sub(run.from)));
        (finding.busy, finding.polls, finding.threshold) = (held, polls, HELD);
        owner.thread.name().clone_into(&mut finding.thread);
        finding.thread_id = owner.thread.id;
        finding.runtime = owner.runtime_name().map(str::to_owned);
        Some(finding)
    }
}

/// What was counted in between.
fn added(before: &[Sum], after: &[Sum]) -> HashMap<usize, Sum> {
    let before = before.iter().map(|sum| (sum.number, sum)).collect::<HashMap<_, _>>();
    let since = |sum: &Sum| {
        let old = before.get(&sum.number);
        let ticks = sum.ticks.wrapping_sub(old.map_or(0, |old| old.ticks));
        let polls = sum.polls.wrapping_sub(old.map_or(0, |old| old.polls));
        (sum.number, Sum { ticks, polls, ..*sum })
    };
    after.iter().map(since).filter(|(_, sum)| sum.polls > 0).collect()
}

/// A finding with the place in the source.
pub(super) fn about(kind: Kind, site: &'static Site, start: u64) -> Finding {
    let mut finding = Finding::new(kind, site.function().into_owned(), clock::wall(start));
    finding.id = (std::ptr::from_ref(site).addr() as u64).rotate_left(32) ^ start;
    site.file().clone_into(&mut finding.file);
    finding.line = site.line();
    finding
}
