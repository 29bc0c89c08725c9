//! One slot a thread: what the thread polls, for others to read, and the stack of what is open.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::measure::table::{Sum, Table};
use crate::polling::innermost::InnermostCell;
pub(crate) use crate::polling::innermost::{Innermost, Snapshot};
use crate::polling::site::{Site, SiteCell};
use crate::polling::spans::{Frame, Held, SPANS_DEPTH_MAX};
use crate::polling::thread::Owner;
use crate::polling::turn::Turn;
use crate::polling::{attention, record, switch};
use crate::stack;

/// Threads that can be watched at one time. Those beyond are timed like any other, but nobody looks
/// at their slots.
pub(crate) const SLOTS_MAX: usize = 1024;

static SLOTS: [Slot; SLOTS_MAX] = [const { Slot::new() }; SLOTS_MAX];
/// One more than the highest index in use so far.
static USED: AtomicU32 = AtomicU32::new(0);
/// Slots made for threads beyond [`SLOTS_MAX`], free again.
static SPARE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());

thread_local! {
    static SLOT: Cell<Option<&'static Slot>> = const { Cell::new(None) };
    static LEASE: OnceLock<Lease> = const { OnceLock::new() };
}

/// Written by its thread alone. Others read by [`Slot::snapshot`].
#[repr(align(128))]
pub(crate) struct Slot {
    innermost: InnermostCell,
    pub(super) depth: AtomicU32,
    /// Frames of spans below this index belong to what is outside of the innermost wrapper.
    pub(super) floor: AtomicU32,
    pub(super) beyond: AtomicU32,
    pub(super) exited: AtomicU64,
    pub(super) exited_own: AtomicU64,
    /// The threshold in ticks of sites that have none of their own.
    limit: AtomicU64,
    /// What the thread is to see to at its next event: [`HELD`], [`WAKE`]. One load in place of a
    /// lock.
    pub(super) attend: AtomicU8,
    pub(super) held: Mutex<Option<Held>>,
    /// The slow poll that ended last.
    slow_from: AtomicU64,
    slow_to: AtomicU64,
    /// Polls may be slow: see [`allow`](crate::polling::allow).
    allowed: AtomicBool,
    taken: AtomicBool,
    /// Changes with each thread that takes the slot.
    generation: AtomicU32,
    owner: SharedOwner,
    /// Made when the slot is first taken.
    table: OnceLock<&'static Table>,
    pub(crate) turn: Turn,
    pub(super) frames: [Frame; SPANS_DEPTH_MAX],
}

/// `held` has something.
pub(super) const HELD: u8 = 1;
/// The watchdog sleeps until a poll begins.
const WAKE: u8 = 2;

/// Filled when a thread takes the slot. A lock, because slots are used again; `try_lock` on the
/// polling path, where only a reader of the same instant can be in the way.
type SharedOwner = Mutex<Option<Arc<Owner>>>;

impl Slot {
    const fn new() -> Self {
        Self {
            innermost: InnermostCell {
                site: SiteCell::none(),
                span: AtomicU64::new(0),
                start: AtomicU64::new(0),
                nested: AtomicU64::new(0),
            },
            depth: AtomicU32::new(0),
            floor: AtomicU32::new(0),
            beyond: AtomicU32::new(0),
            exited: AtomicU64::new(0),
            exited_own: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            attend: AtomicU8::new(0),
            held: Mutex::new(None),
            slow_from: AtomicU64::new(0),
            slow_to: AtomicU64::new(0),
            allowed: AtomicBool::new(false),
            taken: AtomicBool::new(false),
            generation: AtomicU32::new(0),
            owner: Mutex::new(None),
            table: OnceLock::new(),
            turn: Turn::new(),
            frames: [const { Frame::new() }; SPANS_DEPTH_MAX],
        }
    }

    #[inline(always)]
    pub(super) fn innermost(&self) -> Innermost {
        self.innermost.get()
    }

    /// Tells readers that what they see is about to change.
    #[inline(always)]
    pub(super) fn begin_change(&self) {
        self.innermost.begin_change();
    }

    #[inline(always)]
    pub(super) fn set_innermost(&self, innermost: Innermost) {
        self.innermost.set(innermost);
    }

    /// The id of the innermost span of `tracing`.
    #[inline(always)]
    pub(super) fn span(&self) -> &AtomicU64 {
        &self.innermost.span
    }

    #[inline(always)]
    pub(super) fn nested(&self) -> u64 {
        self.innermost.nested.load(Ordering::Relaxed)
    }

    /// Counts a poll in the thread's histograms.
    #[inline(always)]
    pub(super) fn count(&self, site: &'static Site, ticks: u64) {
        if let Some(table) = self.table.get() {
            table.count(site, ticks);
        }
    }

    /// What the thread counted of each site, for other threads.
    pub(crate) fn sums(&self) -> Vec<Sum> {
        self.table.get().map(|table| table.sums()).unwrap_or_default()
    }

    /// The thread works for this watched runtime; 0 for none.
    pub(crate) fn set_runtime(&self, number: u32) {
        if let Some(table) = self.table.get() {
            table.set_runtime(number);
        }
    }

    /// Grows with the polls that have ended on this thread.
    pub(crate) fn polled(&self) -> u64 {
        self.nested()
    }

    /// What the thread polls, for this thread.
    pub(crate) fn innermost_site(&self) -> Option<&'static Site> {
        self.innermost().site
    }

    #[inline(always)]
    pub(super) fn is_allowed(&self) -> bool {
        self.allowed.load(Ordering::Relaxed)
    }

    /// To be followed, or preceded, by a change of the innermost poll, for those who read along.
    pub(super) fn set_allowed(&self, allowed: bool) {
        self.allowed.store(allowed, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, ticks: u64) {
        let nested = self.innermost.nested.load(Ordering::Relaxed).saturating_sub(ticks);
        self.innermost.nested.store(nested, Ordering::Relaxed);
    }

    /// The innermost poll as a whole. None when there is none, or when it changes at this instant.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.innermost.snapshot()
    }

    /// The same of a poll that may not be slow.
    pub(crate) fn snapshot_if_judged(&self) -> Option<Snapshot> {
        let snapshot = self.snapshot()?;
        let may_be_slow = self.is_allowed();
        // The scope of that poll, if the poll is still the same: scopes are polls of their own.
        fence(Ordering::Acquire);
        (!may_be_slow && self.innermost_start() == snapshot.start).then_some(snapshot)
    }

    /// The innermost poll that `is_poll` lets pass, where any but the innermost of all has to have
    /// the time of those further in. None when it changes at this instant.
    pub(crate) fn innermost_where(
        &self,
        innermost: Snapshot,
        is_poll: impl Fn(&Snapshot) -> bool,
    ) -> Option<Snapshot> {
        let mut found = Some(innermost);
        let mut depth = self.depth.load(Ordering::Relaxed) as usize;
        while let Some(snapshot) = found.filter(|snapshot| !is_poll(snapshot)) {
            // Only spans may be none, and each has a frame that knows what is around it.
            depth = depth.checked_sub(1)?;
            found = self.frames.get(depth)?.around(snapshot.start);
        }
        let is_same = self.innermost.start.load(Ordering::Acquire) == innermost.start;
        found.filter(|_| is_same)
    }

    /// Which poll is the innermost, 0 for none.
    pub(crate) fn innermost_start(&self) -> u64 {
        self.innermost.start.load(Ordering::Acquire)
    }

    /// Whether a poll that began then goes on, as the innermost one or around it.
    pub(crate) fn is_in(&self, start: u64) -> bool {
        let innermost = self.innermost_start();
        let depth = self.depth.load(Ordering::Relaxed) as usize;
        let frames = self.frames.iter().take(depth);
        innermost == start || (innermost != 0 && frames.rev().any(|frame| frame.is_in(start)))
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Identifies the slot in the records of its polls.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// For other threads: the thread that has this slot.
    pub(crate) fn owner(&self) -> Option<Arc<Owner>> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn own(&self) -> Option<Arc<Owner>> {
        self.owner.try_lock().ok().and_then(|owner| owner.clone())
    }

    /// The threshold of sites without one of their own.
    #[inline(always)]
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// A slow poll ended.
    pub(super) fn note_slow(&self, start: u64, duration: u64) {
        self.slow_from.store(start, Ordering::Relaxed);
        self.slow_to.store(start.saturating_add(duration), Ordering::Relaxed);
    }

    /// For the thread itself: from when to when the last slow poll was.
    pub(super) fn last_slow(&self) -> (u64, u64) {
        (self.slow_from.load(Ordering::Relaxed), self.slow_to.load(Ordering::Relaxed))
    }

    /// The threshold of sites without one of their own, for other threads.
    pub(crate) fn threshold(&self) -> u64 {
        self.limit()
    }

    pub(crate) fn set_limit(&self, ticks: u64) {
        self.limit.store(ticks, Ordering::Relaxed);
    }

    /// Has the thread call [`attention::wake`] when its next poll begins or ends. Whether it was asked
    /// before, and has neither begun nor ended one since.
    pub(crate) fn ask_to_wake(&self) -> bool {
        self.attend.fetch_or(WAKE, Ordering::SeqCst) & WAKE != 0
    }

    /// Whether the thread was asked to wake the watchdog, and has not yet done so.
    pub(super) fn stop_waking(&self) {
        if self.attend.load(Ordering::Relaxed) & WAKE != 0 {
            self.attend.fetch_and(!WAKE, Ordering::Relaxed);
            attention::wake();
        }
    }

    fn occupy(&self) {
        self.limit.store(switch::floor_ticks(), Ordering::Relaxed);
        let owner = Some(Arc::new(Owner::current()));
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = owner;
        self.table.get_or_init(Table::lease).set_runtime(0);
        self.generation.fetch_add(1, Ordering::Release);
        attention::wake();
    }

    fn clear(&self) {
        self.settle_by_other();
        self.turn.end(self, || None);
        self.set_allowed(false);
        self.set_innermost(Innermost { site: None, start: 0, nested: 0 });
        self.innermost.span.store(0, Ordering::Relaxed);
        self.depth.store(0, Ordering::Relaxed);
        self.floor.store(0, Ordering::Relaxed);
        self.beyond.store(0, Ordering::Relaxed);
        self.exited.store(0, Ordering::Relaxed);
        if let Some(table) = self.table.get() {
            table.retire();
        }
        *self.owner.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The slot of this thread. None when the thread is about to end.
#[inline(always)]
pub(crate) fn current() -> Option<&'static Slot> {
    match SLOT.get() {
        Some(slot) => Some(slot),
        None => register(),
    }
}

/// The slot of this thread if it has polled anything.
#[inline(always)]
#[cfg_attr(not(feature = "layer"), allow(dead_code))]
pub(crate) fn existing() -> Option<&'static Slot> {
    SLOT.get()
}

/// Gives the slot back when the thread ends.
struct Lease {
    slot: &'static Slot,
    is_spare: bool,
    /// While it lasts, the stack of this thread can be taken.
    _stack: stack::Registered,
}

#[cold]
#[inline(never)]
fn register() -> Option<&'static Slot> {
    LEASE
        .try_with(|lease| {
            let slot = lease.get_or_init(Lease::take).slot;
            SLOT.set(Some(slot));
            slot
        })
        .ok()
}

impl Lease {
    fn take() -> Self {
        let free = SLOTS.iter().zip(1_u32..).find(|(slot, _)| {
            !slot.taken.load(Ordering::Relaxed) && !slot.taken.swap(true, Ordering::Acquire)
        });
        let lease = if let Some((slot, used)) = free {
            USED.fetch_max(used, Ordering::Release);
            Self { slot, is_spare: false, _stack: stack::register() }
        } else {
            let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let slot = spare.unwrap_or_else(|| Box::leak(Box::new(Slot::new())));
            Self { slot, is_spare: true, _stack: stack::register() }
        };
        lease.slot.occupy();
        lease
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        SLOT.set(None);
        self.slot.clear();
        if self.is_spare {
            SPARE.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
        } else {
            self.slot.taken.store(false, Ordering::Release);
        }
    }
}

/// The slots that others look at.
pub(crate) fn used() -> &'static [Slot] {
    let used = USED.load(Ordering::Acquire) as usize;
    &SLOTS[..used.min(SLOTS_MAX)]
}

/// Sends off records that wait in slots for a second event which did not come within `age` ticks.
pub(crate) fn settle_older_than(age: u64) {
    for slot in used() {
        if let Some(record) = slot.take_held_older_than(age) {
            record::push(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::{ptr, thread};

    #[test]
    fn a_thread_takes_no_more_memory_than_it_may() {
        // What the watchdog and the sampler remember of a thread.
        const ELSEWHERE: usize = 512;
        let identity = size_of::<Owner>() + size_of::<SharedOwner>() + size_of::<Lease>();
        let bytes = size_of::<Slot>() + size_of::<Table>() + identity + ELSEWHERE;
        assert!(bytes <= 64 * 1024, "{bytes} bytes: {} in the slot", size_of::<Slot>());
    }

    #[test]
    #[cfg_attr(miri, ignore = "a thousand threads take an hour there")]
    fn slots_are_used_again_and_threads_beyond_the_bound_get_one_too() {
        // Other tests have threads that take slots as well.
        let slot = || ptr::from_ref(thread::spawn(|| current().unwrap()).join().unwrap());
        let first = slot();
        assert!((0..1000).any(|_| slot() == first));

        let threads = SLOTS_MAX + 8;
        let everyone = Arc::new(Barrier::new(threads));
        let handles = (0..threads)
            .map(|_| {
                let everyone = Arc::clone(&everyone);
                let builder = thread::Builder::new().stack_size(64 * 1024);
                let body = move || {
                    let slot = ptr::from_ref(current().unwrap()).addr();
                    everyone.wait();
                    slot
                };
                builder.spawn(body).unwrap()
            })
            .collect::<Vec<_>>();
        let mut slots = handles.into_iter().map(|h| h.join().unwrap()).collect::<Vec<_>>();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), threads, "no slot is shared");
    }
}
