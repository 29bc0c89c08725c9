//! Which threads may be looked at: each registers itself, and takes itself out before it ends.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::stack::ffi;

/// Threads that can be registered at one time; of those beyond, no stack is taken.
const THREADS_MAX: usize = 1024;

static THREADS: [Thread; THREADS_MAX] = [const { Thread::new() }; THREADS_MAX];

/// One registered thread.
#[derive(Debug)]
struct Thread {
    /// 0 when the entry is free.
    tid: AtomicI32,
    stack_low: AtomicU64,
    stack_high: AtomicU64,
    /// Held by a sampler while it has to do with the thread, and by the thread while it leaves: so
    /// that none is signalled after its end, when another may have its id.
    present: Mutex<()>,
}

/// A thread whose stack can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) tid: i32,
    /// The first address above the stack.
    pub(crate) stack_high: u64,
}

/// A thread that is kept from ending.
#[derive(Debug)]
pub(super) struct Present {
    pub(super) stack_low: u64,
    pub(super) stack_high: u64,
    _guard: MutexGuard<'static, ()>,
}

/// Takes its thread out when it is dropped, which has to happen on that thread. Waits for a capture
/// that is under way, a few milliseconds at most.
#[derive(Debug)]
pub(crate) struct Registered {
    thread: Option<&'static Thread>,
    process: u32,
}

impl Thread {
    const fn new() -> Self {
        Self {
            tid: AtomicI32::new(0),
            stack_low: AtomicU64::new(0),
            stack_high: AtomicU64::new(0),
            present: Mutex::new(()),
        }
    }

    fn hold(&self) -> MutexGuard<'_, ()> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers this thread.
pub(crate) fn register() -> Registered {
    let process = std::process::id();
    // Miri can't tell them.
    let bounds = if cfg!(miri) { None } else { ffi::stack_bounds() };
    let Some((low, high)) = bounds else {
        return Registered { thread: None, process };
    };
    let tid = ffi::thread_id();
    for thread in &THREADS {
        if thread.tid.load(Ordering::Relaxed) != 0 {
            continue;
        }
        // One that is busy is taken, or was when this process was forked off.
        let Ok(_guard) = thread.present.try_lock() else { continue };
        if thread.tid.load(Ordering::Relaxed) == 0 {
            thread.stack_low.store(low, Ordering::Relaxed);
            thread.stack_high.store(high, Ordering::Relaxed);
            thread.tid.store(tid, Ordering::Release);
            return Registered { thread: Some(thread), process };
        }
    }
    Registered { thread: None, process }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // A child of `fork` has the lock as it was: held for ever, if a sampler had it then.
        if let Some(thread) = self.thread
            && self.process == std::process::id()
        {
            let _guard = thread.hold();
            thread.tid.store(0, Ordering::Release);
        }
    }
}

/// Where the stack of a thread is, if that thread is registered.
pub(crate) fn target(tid: i32) -> Option<Target> {
    let thread = find(tid)?;
    let stack_high = thread.stack_high.load(Ordering::Relaxed);
    (thread.tid.load(Ordering::Acquire) == tid).then_some(Target { tid, stack_high })
}

/// Keeps a thread from ending until the result is dropped. None when it isn't registered any more, is
/// about to end, or is kept already.
pub(super) fn hold(target: &Target) -> Option<Present> {
    let thread = find(target.tid)?;
    let guard = match thread.present.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    let stack_low = thread.stack_low.load(Ordering::Relaxed);
    let stack_high = thread.stack_high.load(Ordering::Relaxed);
    let same = thread.tid.load(Ordering::Relaxed) == target.tid && stack_high == target.stack_high;
    same.then_some(Present { stack_low, stack_high, _guard: guard })
}

fn find(tid: i32) -> Option<&'static Thread> {
    if tid == 0 {
        return None;
    }
    THREADS.iter().find(|thread| thread.tid.load(Ordering::Acquire) == tid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_there_from_its_registration_to_its_end() {
        let (tid, here) = std::thread::spawn(|| {
            let registered = register();
            let tid = ffi::thread_id();
            let target = target(tid).unwrap();
            let on_stack = std::ptr::from_ref(&registered).addr() as u64;
            let present = hold(&target).unwrap();
            assert!(present.stack_low < on_stack && on_stack < present.stack_high);
            assert!(hold(&target).is_none(), "who keeps it would wait for itself");
            drop(present);
            drop(registered);
            (tid, target)
        })
        .join()
        .unwrap();
        assert_eq!(target(tid), None);
        assert!(hold(&here).is_none());
    }
}
