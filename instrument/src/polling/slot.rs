//! One slot a thread: what the thread polls, for others to read, and the stack of what is open.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::measure::table::Table;
use crate::polling::record;
use crate::polling::site::Site;
use crate::polling::spans::{Frame, Held, SPANS_DEPTH_MAX};
use crate::polling::thread::Thread;
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

/// Written by its thread alone. Others may read `site`, `span` and `start`, in that order after
/// `start`, and believe them if `start` is still the same afterwards.
#[repr(align(128))]
pub(crate) struct Slot {
    /// The innermost instrumented poll; null when there is none.
    site: AtomicPtr<Site>,
    /// Id of the innermost span of `tracing`; it is the innermost poll if `site` says so.
    pub(super) span: AtomicU64,
    /// Ticks; 0 when there is none.
    start: AtomicU64,
    /// Time of the instrumented polls nested in it that have ended.
    nested: AtomicU64,
    pub(super) depth: AtomicU32,
    /// Frames of spans below this index belong to what is outside of the innermost wrapper.
    pub(super) floor: AtomicU32,
    pub(super) beyond: AtomicU32,
    pub(super) exited: AtomicU64,
    pub(super) exited_own: AtomicU64,
    /// Whether `held` has something: a load in place of a lock.
    pub(super) holds: AtomicBool,
    pub(super) held: Mutex<Option<Held>>,
    taken: AtomicBool,
    thread: OnceThread,
    /// Made when the slot is first taken.
    table: OnceLock<&'static Table>,
    pub(super) frames: [Frame; SPANS_DEPTH_MAX],
}

/// Filled when a thread takes the slot. A lock, because slots are used again; `try_lock` on the
/// polling path, where only a reader of the same instant can be in the way.
type OnceThread = Mutex<Option<Thread>>;

/// The innermost instrumented poll of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Innermost {
    pub(super) site: *mut Site,
    pub(super) start: u64,
    pub(super) nested: u64,
}

impl Slot {
    const fn new() -> Self {
        Self {
            site: AtomicPtr::new(ptr::null_mut()),
            span: AtomicU64::new(0),
            start: AtomicU64::new(0),
            nested: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            floor: AtomicU32::new(0),
            beyond: AtomicU32::new(0),
            exited: AtomicU64::new(0),
            exited_own: AtomicU64::new(0),
            holds: AtomicBool::new(false),
            held: Mutex::new(None),
            taken: AtomicBool::new(false),
            thread: Mutex::new(None),
            table: OnceLock::new(),
            frames: [const { Frame::new() }; SPANS_DEPTH_MAX],
        }
    }

    #[inline(always)]
    pub(super) fn innermost(&self) -> Innermost {
        Innermost {
            site: self.site.load(Ordering::Relaxed),
            start: self.start.load(Ordering::Relaxed),
            nested: self.nested.load(Ordering::Relaxed),
        }
    }

    #[inline(always)]
    pub(super) fn set_innermost(&self, innermost: Innermost) {
        self.site.store(innermost.site, Ordering::Relaxed);
        self.nested.store(innermost.nested, Ordering::Relaxed);
        self.start.store(innermost.start, Ordering::Release);
    }

    #[inline(always)]
    pub(super) fn nested(&self) -> u64 {
        self.nested.load(Ordering::Relaxed)
    }

    /// Counts a poll in the thread's histograms.
    #[inline(always)]
    pub(super) fn count(&self, site: &'static Site, ticks: u64) {
        if let Some(table) = self.table.get() {
            table.count(site, ticks);
        }
    }

    pub(super) fn give_back(&self, ticks: u64) {
        let nested = self.nested.load(Ordering::Relaxed).saturating_sub(ticks);
        self.nested.store(nested, Ordering::Relaxed);
    }

    pub(super) fn thread(&self) -> Option<Thread> {
        self.thread.try_lock().ok().and_then(|thread| *thread)
    }

    fn occupy(&self) {
        self.table.get_or_init(Table::lease);
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(Thread::current());
    }

    fn clear(&self) {
        self.settle_by_other();
        self.set_innermost(Innermost { site: ptr::null_mut(), start: 0, nested: 0 });
        self.span.store(0, Ordering::Relaxed);
        self.depth.store(0, Ordering::Relaxed);
        self.floor.store(0, Ordering::Relaxed);
        self.beyond.store(0, Ordering::Relaxed);
        self.exited.store(0, Ordering::Relaxed);
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
            USED.fetch_max(used, Ordering::Relaxed);
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

/// Sends off records that wait in slots for a second event which did not come within `age` ticks.
pub(crate) fn settle_older_than(age: u64) {
    let used = USED.load(Ordering::Relaxed) as usize;
    for slot in &SLOTS[..used.min(SLOTS_MAX)] {
        if let Some(record) = slot.take_held_older_than(age) {
            record::push(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};
    use std::thread;

    #[test]
    fn slots_are_used_again_and_threads_beyond_the_bound_get_one_too() {
        let own = ptr::from_ref(thread::spawn(|| current().unwrap()).join().unwrap());
        let again = ptr::from_ref(thread::spawn(|| current().unwrap()).join().unwrap());
        assert_eq!(own, again);

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
