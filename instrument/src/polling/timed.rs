//! Where the time of a future goes, from its first poll to its end: busy in polls, idle while it is
//! suspended, starved from a wake to the poll that follows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Wake;

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;
use tokio::task::Id;

use crate::polling::clock;
use crate::polling::record::Parent;
use crate::polling::runtime;
use crate::polling::site::Site;
use crate::polling::slot;
use crate::polling::thread::Owner;

/// Records that wait for the findings thread.
pub(crate) const QUEUE_RECORDS_MAX: usize = 256;
/// A wake so soon after a slow poll came when its thread was free to bring it, in nanoseconds, or in
/// parts of that poll.
const LATE_NS: u64 = 1_000_000;
const LATE_PARTS: u64 = 8;
/// A wait of this part of what is reported is worth to know who polled after it.
const NOTED_PARTS: u64 = 4;

static QUEUE: OnceLock<ArrayQueue<Waited>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// What is reported of futures without limits of their own, in nanoseconds; 0 for nothing.
static SLOW_AWAIT_NS: AtomicU64 = AtomicU64::new(0);
static STARVED_NS: AtomicU64 = AtomicU64::new(0);

/// From when on a future is reported, in nanoseconds; 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) slow_await_ns: u64,
    pub(crate) starved_ns: u64,
}

/// Notes the first wake since the last poll, and passes each on to the task.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    /// Ticks; 0 for none.
    first: AtomicU64,
    pub(crate) task: AtomicWaker,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.first.load(Ordering::Relaxed) == 0 {
            let now = clock::now().max(1);
            // Of two at one time either is the first.
            let _ = self.first.compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed);
        }
        self.task.wake();
    }
}

impl Wakes {
    /// When it was first woken since the last call, 0 for never.
    fn take(&self) -> u64 {
        self.first.swap(0, Ordering::AcqRel)
    }
}

/// How a future ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It returned; a `Result` that is an error as well.
    Finished,
    /// A poll of it panicked.
    Panicked,
    /// It was dropped before it was done.
    Cancelled,
}

/// What is told of a future. Times in nanoseconds, instants in ticks.
#[derive(Clone, Debug)]
pub(crate) struct Waited {
    pub(crate) site: &'static Site,
    /// None while it goes on.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) started: u64,
    pub(crate) spent: Spent,
    pub(crate) limits: Limits,
    /// Which of the two limits was reached.
    pub(crate) is_slow_await: bool,
    pub(crate) is_starved: bool,
    /// The longest wait of all for a poll.
    pub(crate) longest: Wait,
    /// The thread that polled or dropped it last.
    pub(crate) owner: Option<Arc<Owner>>,
    pub(crate) worker: Option<u32>,
    pub(crate) task: Option<Id>,
    pub(crate) parent: Option<Parent>,
}

/// From a wake to the poll that followed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wait {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The thread that polled then, and its slot.
    pub(crate) owner: Option<Arc<Owner>>,
    pub(crate) slot: usize,
}

/// Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) busy: u64,
    pub(crate) idle: u64,
    pub(crate) starved: u64,
    pub(crate) polls: u64,
}

/// Adds up the time of one future, in ticks. Each instant ends one stretch and begins the next, so
/// that no time is lost or counted twice.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Of the first poll, 0 before it.
    started: u64,
    /// The last instant that was accounted for.
    until: u64,
    is_polling: bool,
    busy: u64,
    idle: u64,
    starved: u64,
    polls: u64,
    longest: Wait,
    /// In ticks, from where on the next report of a future that goes on is due.
    idle_due: u64,
    starved_due: u64,
    limits: Limits,
}

/// Makes the queue, and sets what is reported by default.
pub(crate) fn start(limits: Limits) {
    QUEUE.get_or_init(|| ArrayQueue::new(QUEUE_RECORDS_MAX));
    SLOW_AWAIT_NS.store(limits.slow_await_ns, Ordering::Relaxed);
    STARVED_NS.store(limits.starved_ns, Ordering::Relaxed);
}

/// The oldest record that waits.
pub(crate) fn pop() -> Option<Waited> {
    QUEUE.get()?.pop()
}

/// Records that did not fit since the last call.
pub(crate) fn take_dropped() -> u64 {
    DROPPED.swap(0, Ordering::Relaxed)
}

impl Limits {
    /// These, and the general ones where they say nothing. `Some(0)` is never.
    pub(crate) fn resolve(slow_await_ns: Option<u64>, starved_ns: Option<u64>) -> Self {
        Self {
            slow_await_ns: slow_await_ns.unwrap_or_else(|| SLOW_AWAIT_NS.load(Ordering::Relaxed)),
            starved_ns: starved_ns.unwrap_or_else(|| STARVED_NS.load(Ordering::Relaxed)),
        }
    }
}

impl Account {
    pub(crate) fn has_started(&self) -> bool {
        self.started != 0
    }

    /// The first poll is about to begin.
    pub(crate) fn start(&mut self, limits: Limits) {
        let due = |ns| if ns == 0 { u64::MAX } else { clock::ticks(ns) };
        self.limits = limits;
        (self.idle_due, self.starved_due) = (due(limits.slow_await_ns), due(limits.starved_ns));
    }

    /// A poll begins.
    pub(crate) fn enter(&mut self, wakes: &Wakes, now: u64) {
        if self.started == 0 {
            let _ = wakes.take();
            self.started = now.max(1);
            self.until = self.started;
        } else {
            self.close_gap(wakes.take(), now);
        }
        self.is_polling = true;
        self.polls += 1;
    }

    /// The poll ends, by a panic too.
    pub(crate) fn leave(&mut self, now: u64) {
        let now = now.max(self.until);
        self.busy += now - self.until;
        self.until = now;
    }

    /// The poll returned.
    pub(crate) fn returned(&mut self) {
        self.is_polling = false;
    }

    /// Accounts for the time since the last poll. Without a wake all of it was idle: whoever polls
    /// may do so for another future of the same task.
    fn close_gap(&mut self, woken: u64, now: u64) {
        let now = now.max(self.until);
        let ready = if woken == 0 { now } else { self.ready(woken.clamp(self.until, now)) };
        self.idle += ready - self.until;
        let wait = now - ready;
        self.starved += wait;
        if wait > self.longest.to - self.longest.from {
            self.note(ready, now);
        }
        self.until = now;
    }

    /// Since when it was ready, if it was woken then. Timers fire and sockets are looked at when a
    /// thread has nothing to poll: a wake right after a slow poll of this thread may have been due
    /// all the time, and could not have been followed by a poll earlier in any case.
    fn ready(&self, woken: u64) -> u64 {
        let (from, to) = slot::current().map_or((0, 0), slot::Slot::last_slow);
        let late = clock::ticks(LATE_NS).max(to.saturating_sub(from) / LATE_PARTS);
        let follows = to > self.until && woken >= to && woken - to <= late;
        if follows { from.max(self.until) } else { woken }
    }

    fn note(&mut self, from: u64, to: u64) {
        (self.longest.from, self.longest.to) = (from, to);
        if to - from >= self.starved_due / NOTED_PARTS
            && let Some(slot) = slot::current()
        {
            self.longest.owner = slot.own();
            self.longest.slot = slot.id();
        } else {
            self.longest.owner = None;
        }
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent {
            busy: clock::nanoseconds(self.busy),
            idle: clock::nanoseconds(self.idle),
            starved: clock::nanoseconds(self.starved),
            polls: self.polls,
        }
    }

    /// Whether there is something to say although it goes on.
    pub(crate) fn is_due(&self) -> bool {
        self.idle >= self.idle_due || self.starved >= self.starved_due
    }

    /// Tells of a future that goes on; the next time at double that.
    #[cold]
    pub(crate) fn report(&mut self, site: &'static Site) {
        let (slow, starved) = (self.idle >= self.idle_due, self.starved >= self.starved_due);
        self.push(site, None, slow, starved);
        if slow {
            self.idle_due = self.idle.saturating_mul(2);
        }
        if starved {
            self.starved_due = self.starved.saturating_mul(2);
        }
    }

    /// It is over.
    pub(crate) fn end(&mut self, site: &'static Site, wakes: &Wakes, is_finished: bool) {
        if self.started == 0 {
            return;
        }
        let outcome = if self.is_polling {
            Outcome::Panicked
        } else if is_finished {
            Outcome::Finished
        } else {
            self.close_gap(wakes.take(), clock::now());
            Outcome::Cancelled
        };
        let Limits { slow_await_ns, starved_ns } = self.limits;
        let reached = |ticks, limit| limit > 0 && clock::nanoseconds(ticks) >= limit;
        let (slow, starved) =
            (reached(self.idle, slow_await_ns), reached(self.starved, starved_ns));
        if slow || starved {
            self.push(site, Some(outcome), slow, starved);
        }
        self.started = 0;
    }

    #[cold]
    fn push(
        &self,
        site: &'static Site,
        outcome: Option<Outcome>,
        is_slow_await: bool,
        is_starved: bool,
    ) {
        let owner = slot::current().and_then(slot::Slot::own);
        if owner.as_ref().is_some_and(|owner| owner.thread.exports()) {
            return;
        }
        let waited = Waited {
            site,
            outcome,
            started: self.started,
            spent: self.spent(),
            limits: self.limits,
            is_slow_await,
            is_starved,
            longest: self.longest.clone(),
            owner,
            worker: runtime::worker(),
            task: runtime::task(),
            parent: Parent::current(),
        };
        if QUEUE.get().is_none_or(|queue| queue.push(waited).is_err()) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever the clock says, and whenever the wake comes, the parts make up the whole.
        #[test]
        fn busy_idle_and_starved_are_all_there_is(
            steps in prop::collection::vec((0_u64..1_000, prop::option::of(0_u64..1_500)), 1..60)
        ) {
            let (mut account, wakes) = (Account::default(), Wakes::default());
            let mut now = 1_000;
            for (index, (step, woken)) in steps.iter().enumerate() {
                now += step;
                if index % 2 == 0 {
                    account.enter(&wakes, now);
                } else {
                    account.leave(now);
                    account.returned();
                    wakes.first.store(woken.map_or(0, |after| now + after), Ordering::Relaxed);
                }
                let sum = account.busy + account.idle + account.starved;
                prop_assert_eq!(sum, account.until - account.started);
            }
        }
    }

    #[test]
    fn time_after_the_wake_is_starved_and_time_without_one_is_idle() {
        let (mut account, wakes) = (Account::default(), Wakes::default());
        let poll = |account: &mut Account, from, to| {
            account.enter(&wakes, from);
            account.leave(to);
            account.returned();
        };
        poll(&mut account, 100, 110);
        wakes.first.store(150, Ordering::Relaxed);
        poll(&mut account, 400, 420);
        assert_eq!((account.busy, account.idle, account.starved), (30, 40, 250));
        assert_eq!((account.longest.from, account.longest.to), (150, 400));
        poll(&mut account, 500, 500);
        assert_eq!((account.idle, account.starved), (120, 250), "nothing had woken it");
        // Woken during the poll: ready from its end on.
        account.enter(&wakes, 600);
        wakes.first.store(601, Ordering::Relaxed);
        account.leave(610);
        account.returned();
        poll(&mut account, 650, 650);
        assert_eq!(account.starved, 250 + 40);
        // A counter that steps back between cores takes nothing away.
        poll(&mut account, 640, 645);
        assert_eq!(account.until, 650);
    }
}
