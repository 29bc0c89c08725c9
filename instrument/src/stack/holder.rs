//! Who holds the lock that a thread waits for, as far as that can be told.
//!
//! Some locks name their owner: `pthread_mutex_t` has a field for it, and the word of a futex with
//! priority inheritance is its owner's id. std's locks name nobody. But a guard refers to its lock,
//! so the lock's address is on the stack of the thread that holds it, unless the compiler keeps it in
//! a register or knows it beforehand. A thread whose stack has that address, and that does not itself
//! wait for the lock, is a probable holder; it is named if it is the only one.

use std::time::{Duration, Instant};

use crate::stack::proc::{self, Futex, Whereabouts};
use crate::stack::resolve::{Cache, resolve};
use crate::stack::sampler::{RawStack, Sampler};
use crate::stack::threads::{self, Target};
use crate::stack::{STACK_BYTES_MAX, ffi};

/// With more threads nobody is searched: the holder could be among the rest.
const THREADS_MAX: usize = 256;
/// How long one search waits for threads that run, all in all.
const PATIENCE: Duration = Duration::from_millis(4);
/// After a search there is none for so many times the CPU time that it took.
const REST: u32 = 50;
/// Of a stack's frames, in how many from the leaf outwards the lock's own function is.
const LEAF_FRAMES: usize = 8;
/// Where `pthread_mutex_t` has its owner.
const OWNER_OFFSET: u64 = 8;

/// Bits of a futex word with priority inheritance that are its owner's id.
const OWNER_BITS: u32 = 0x3fff_ffff;
/// What std's mutex has in its word when somebody waits for it.
const CONTENDED: u32 = 2;
/// Bits that std's lock for readers and writers sets when somebody waits.
const WAITING_BITS: u32 = 0xc000_0000;
/// What std's parked threads wait with.
const PARKED: u32 = u32::MAX;

/// A thread that may hold a lock.
#[derive(Clone, Debug)]
struct Candidate {
    tid: i32,
    name: String,
    stack: Option<RawStack>,
}

/// What was found of a lock at one instant. What it says depends on what kind of lock it is, which
/// the names of the waiter's frames tell.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    inherits: bool,
    by_field: Option<Candidate>,
    by_address: Option<Candidate>,
}

/// A search, which is enough for a while.
#[derive(Debug)]
pub(super) struct Search {
    futex: Futex,
    until: Instant,
    found: Option<Holding>,
}

/// Who holds a lock, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) thread: u32,
    pub(crate) thread_name: String,
    /// The function to blame of the holder's stack; empty where there is none.
    pub(crate) function: String,
    pub(crate) evidence: &'static str,
}

/// The lock itself names its owner.
const OWNER: &str = "owner";
/// The lock's address is on the stack of this thread, and on that of no other that doesn't wait for it.
const ADDRESS: &str = "address";

impl Sampler {
    /// Who may hold the lock that a thread waits for at this instant, or did a moment ago for another
    /// that waits for the same. None when it waits for something else, when there is no trace of a
    /// holder, or when the last search is too recent.
    pub(crate) fn holder(&mut self, waiter: &Target) -> Option<Holding> {
        let futex = lock_of(waiter.tid)?;
        let start = Instant::now();
        if let Some(last) = self.last_search.as_ref().filter(|last| start < last.until) {
            return last.found.clone().filter(|_| last.futex == futex);
        }
        // What is asked of another thread would be lost.
        if self.is_asking() {
            return None;
        }
        let before = ffi::cpu_time(ffi::thread_id())?;
        let found = self.search(waiter.tid, futex);
        let took = ffi::cpu_time(ffi::thread_id())?.saturating_sub(before);
        // It may have changed hands meanwhile.
        let found = found.filter(|_| lock_of(waiter.tid) == Some(futex));
        let until = Instant::now() + took * REST;
        self.last_search = Some(Search { futex, until, found: found.clone() });
        found
    }

    fn search(&mut self, waiter: i32, futex: Futex) -> Option<Holding> {
        let others = proc::threads(THREADS_MAX)?;
        let owner = if futex.inherits {
            word_at(futex.address).map(|word| (word & OWNER_BITS).cast_signed())
        } else {
            word_at(futex.address + OWNER_OFFSET).map(u32::cast_signed)
        };
        let owner = owner.filter(|owner| *owner != waiter && others.contains(owner));
        let by_field = owner.map(|tid| self.candidate(tid));
        let mut by_address = Vec::new();
        if !futex.inherits {
            let until = Instant::now() + PATIENCE;
            for tid in others.into_iter().filter(|tid| *tid != waiter) {
                by_address.extend(self.with_address(tid, futex.address, until));
            }
        }
        // A word that another thread has kept since it held the lock is no proof.
        let by_address = if by_address.len() == 1 { by_address.pop() } else { None };
        let is_known = by_field.is_some() || by_address.is_some();
        is_known.then_some(Holding { inherits: futex.inherits, by_field, by_address })
    }

    /// A thread, if its stack has the lock's address and it doesn't itself wait for it.
    fn with_address(&mut self, tid: i32, address: u64, until: Instant) -> Option<Candidate> {
        let stack = match proc::whereabouts(tid) {
            Whereabouts::Blocked(at) => {
                if at.futex().is_some_and(|futex| futex.address == address) {
                    return None;
                }
                let stack_high = threads::target(tid).map(|target| target.stack_high);
                let high = stack_high.unwrap_or(at.sp.saturating_add(STACK_BYTES_MAX as u64));
                self.copy_blocked(tid, high, at)?;
                if !self.has_copied(address) {
                    return None;
                }
                self.copied_blocked(at, high)
            }
            Whereabouts::Running => {
                let patience = until.saturating_duration_since(Instant::now());
                let stack = self.sample_within(&threads::target(tid)?, patience);
                // Its answer would come too late to tell of this instant.
                self.give_up();
                let stack = stack?;
                if !self.has_copied(address) {
                    return None;
                }
                Some(stack)
            }
            Whereabouts::Unknown => return None,
        };
        Some(Candidate { tid, name: proc::name(tid), stack })
    }

    fn candidate(&mut self, tid: i32) -> Candidate {
        let stack = threads::target(tid).and_then(|target| self.begin(&target));
        self.give_up();
        Candidate { tid, name: proc::name(tid), stack }
    }
}

/// The futex of a lock that the thread waits for: not one that is parked, or waits for a condition,
/// as far as the word tells.
fn lock_of(tid: i32) -> Option<Futex> {
    let Whereabouts::Blocked(at) = proc::whereabouts(tid) else { return None };
    let futex = at.futex()?;
    let word = word_at(futex.address)?;
    let is_lock = word == CONTENDED || (word & WAITING_BITS != 0 && word != PARKED);
    (futex.inherits || is_lock).then_some(futex)
}

fn word_at(address: u64) -> Option<u32> {
    let mut bytes = [0; 4];
    (ffi::read_memory(address, &mut bytes) == bytes.len()).then(|| u32::from_ne_bytes(bytes))
}

/// Who holds the lock that the thread with these stacks waited for.
pub(crate) fn name_holder(
    cache: &mut Cache,
    frames: &[String],
    holding: &Holding,
) -> Option<Holder> {
    let near = &frames[..frames.len().min(LEAF_FRAMES)];
    let is_in =
        |names: &[&str]| near.iter().any(|frame| names.iter().any(|name| frame.contains(name)));
    let (candidate, evidence) = if holding.inherits
        || is_in(&["pthread_mutex_lock", "pthread_mutex_timedlock", "lll_lock_wait"])
    {
        (holding.by_field.as_ref()?, OWNER)
    } else if is_in(&["sync::mutex::", "sync::rwlock::", "sync::poison::mutex", "Mutex::lock"])
        && !is_in(&["condvar"])
    {
        (holding.by_address.as_ref()?, ADDRESS)
    } else {
        return None;
    };
    let stack = candidate.stack.as_slice();
    Some(Holder {
        thread: candidate.tid.unsigned_abs(),
        thread_name: candidate.name.clone(),
        function: resolve(cache, stack).blame_function,
        evidence,
    })
}
