//! What the watchdog leaves for the exporter. Neither waits for the other for longer than a look at
//! all slots takes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::polling::clock;
use crate::polling::record::{self, Place, Record};
use crate::polling::slot;
use crate::polling::thread::Thread;
use crate::polling::usage::Usage;
use crate::watchdog::lateness::Gap;
use crate::watchdog::seen::{Findings, Reading, Seen};
use crate::watchdog::unseen::{self, Before};

/// Polls that are looked at: those that go on, and those whose record is still to come. Beyond them
/// none is begun to be looked at.
pub(crate) const POLLS_MAX: usize = 896;
/// Those that are over give way from here on, the oldest first.
const POLLS_KEPT_MAX: usize = 448;
/// How long a poll is kept for its record, in nanoseconds.
const KEPT_NS_MAX: u64 = 60_000_000_000;
/// Totals of one thread that are kept, for polls that nobody saw.
const TOTALS_MAX: usize = 64;
/// Reports of polls that go on, until the exporter takes them.
pub(crate) const STALLS_MAX: usize = 256;
const GAPS_MAX: usize = 64;

/// Of a poll in the table, and of the list of its stacks.
#[cfg(test)]
pub(crate) const POLL_BYTES: usize = size_of::<Key>() + size_of::<Seen>();
#[cfg(test)]
pub(crate) const STACK_LIST_BYTES: usize =
    crate::watchdog::seen::STACKS_MAX * size_of::<crate::stack::RawStack>();

static LEDGER: Mutex<Option<Ledger>> = Mutex::new(None);

/// A slot and the start of a poll there.
pub(crate) type Key = (usize, u64);

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(super) polls: HashMap<Key, Seen>,
    /// Of the thread in each slot, and when they were read, oldest first.
    totals: HashMap<usize, VecDeque<(u64, Usage)>>,
    stalls: VecDeque<Stall>,
    gaps: VecDeque<Gap>,
    /// All polls that ended before have been looked at for the last time.
    horizon: u64,
    pub(super) throttled: Option<u64>,
}

/// A poll that has not returned. Times in ticks.
#[derive(Debug)]
pub(crate) struct Stall {
    pub(crate) key: Key,
    pub(crate) place: Place,
    pub(crate) duration: u64,
    pub(crate) own: u64,
    pub(crate) threshold_ns: u64,
    pub(crate) thread: Thread,
    pub(crate) runtime: Option<Box<str>>,
    pub(crate) findings: Findings,
}

/// A record's poll, judged by all that was seen.
pub(crate) struct Judged {
    pub(crate) findings: Findings,
    /// Self time less that in which nothing of the process ran, in nanoseconds.
    pub(crate) own_ns: u64,
}

/// Waits for nobody for long: see the module.
pub(crate) fn lock() -> Guard {
    Guard(LEDGER.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(crate) struct Guard(MutexGuard<'static, Option<Ledger>>);

impl std::ops::Deref for Guard {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        static CLOSED: std::sync::LazyLock<Ledger> = std::sync::LazyLock::new(Ledger::default);
        self.0.as_ref().unwrap_or(&CLOSED)
    }
}

impl std::ops::DerefMut for Guard {
    fn deref_mut(&mut self) -> &mut Ledger {
        self.0.get_or_insert_default()
    }
}

/// Begins anew.
pub(super) fn open() {
    *LEDGER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Ledger::default());
}

/// No more will be seen: whatever ended by now can be judged.
pub(super) fn close(now: u64) {
    lock().horizon = now;
}

impl Ledger {
    /// What is known of a poll, if it is or there is room for it.
    pub(super) fn seen(&mut self, key: Key, begin: impl FnOnce() -> Seen) -> Option<&mut Seen> {
        if self.polls.len() >= POLLS_MAX && !self.polls.contains_key(&key) {
            return None;
        }
        Some(self.polls.entry(key).or_insert_with(begin))
    }

    /// Whether all that can be known of a poll that ended then is known.
    pub(crate) fn has_settled(&self, end: u64) -> bool {
        end <= self.horizon
    }

    /// Takes what was seen of a record's poll.
    pub(crate) fn judge(&mut self, record: &Record) -> Judged {
        let end = record.start.saturating_add(record.duration);
        let gaps = self.gaps_within(record.start, end);
        let own_ns = clock::nanoseconds(record.own.saturating_sub(gaps));
        let reading = Reading {
            at: end,
            nested: record.duration.saturating_sub(record.own),
            usage: record.usage,
        };
        let findings = match self.polls.remove(&(record.slot, record.start)) {
            Some(seen) => seen.conclude(Some(reading), own_ns, self.throttled),
            None => self.of_unseen(record, own_ns).unwrap_or_default(),
        };
        Judged { findings, own_ns }
    }

    /// The watchdog had no CPU itself, or waited for memory that others were about to map.
    fn of_unseen(&self, record: &Record, own_ns: u64) -> Option<Findings> {
        // What was read before is of the thread that had the slot before.
        let first = record.owner.first?;
        let is_before = |(at, _): &&(u64, Usage)| (first.0..=record.start).contains(at);
        let totals = self.totals.get(&record.slot);
        let read = totals.and_then(|totals| totals.iter().rfind(is_before));
        let (at, usage) = read.copied().unwrap_or(first);
        let earlier = clock::nanoseconds(record.start.saturating_sub(at));
        Some(unseen::conclude(own_ns, Before { usage, earlier }, record.usage?))
    }

    /// Notes the totals of the thread in a slot, which were `before` when it was looked at last.
    pub(super) fn note_totals(&mut self, slot: usize, at: u64, before: Usage, usage: Usage) {
        let totals = self.totals.entry(slot).or_default();
        // Another thread has got the slot.
        if totals.back().is_some_and(|(_, last)| *last != before) {
            totals.clear();
        }
        if totals.len() >= TOTALS_MAX {
            totals.pop_front();
        }
        totals.push_back((at, usage));
    }

    /// Whether a poll has been over for `age` ticks. Another may be nested in one that goes on, so
    /// only a thread that polls nothing tells for certain.
    pub(crate) fn has_been_left(&self, key: Key, age: u64) -> bool {
        let now = clock::now();
        let slot = slot::used().iter().find(|slot| slot.id() == key.0);
        self.polls.get(&key).is_some_and(|seen| {
            seen.left != 0
                && now.saturating_sub(seen.left) >= age
                && slot.is_none_or(|slot| slot.innermost_start() == 0)
        })
    }

    /// Forgets a poll that is over, and tells when it was first found to be.
    pub(crate) fn forget(&mut self, key: Key) -> Option<u64> {
        self.polls.remove(&key).map(|seen| seen.left)
    }

    /// Reports of polls that had not returned, oldest first.
    pub(crate) fn take_stalls(&mut self) -> VecDeque<Stall> {
        std::mem::take(&mut self.stalls)
    }

    /// Of several reports of one poll the last says all.
    pub(super) fn report(&mut self, stall: Stall) {
        self.stalls.retain(|other| other.key != stall.key);
        if self.stalls.len() >= STALLS_MAX {
            self.stalls.pop_front();
            record::count_dropped(1);
        }
        self.stalls.push_back(stall);
    }

    pub(super) fn add_gap(&mut self, gap: Gap) {
        if self.gaps.len() >= GAPS_MAX {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }

    /// Ticks between two instants in which nothing of the process ran.
    pub(super) fn gaps_within(&self, from: u64, to: u64) -> u64 {
        let overlap = |gap: &Gap| gap.to.min(to).saturating_sub(gap.from.max(from));
        self.gaps.iter().map(overlap).sum()
    }

    /// All slots were looked at. Forgets polls that ended too soon to be slow.
    pub(super) fn settle(&mut self, now: u64, lowest: u64) {
        self.horizon = now;
        let kept_max = clock::ticks(KEPT_NS_MAX);
        self.polls.retain(|_, seen| {
            let can_be_slow = seen.left.saturating_sub(seen.start) >= lowest;
            seen.left == 0 || (can_be_slow && now.saturating_sub(seen.left) < kept_max)
        });
        while self.polls.len() > POLLS_KEPT_MAX {
            let oldest = self.polls.iter().filter(|(_, seen)| seen.left != 0);
            let Some(key) = oldest.min_by_key(|(_, seen)| seen.left).map(|(key, _)| *key) else {
                break;
            };
            self.polls.remove(&key);
        }
    }
}
