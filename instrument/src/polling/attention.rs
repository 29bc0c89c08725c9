//! How a thread that begins to poll wakes the watchdog, which sleeps while nobody does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread::Thread;
use std::time::Duration;

static ASLEEP: AtomicBool = AtomicBool::new(false);
static SLEEPER: RwLock<Option<Thread>> = RwLock::new(None);

/// Makes this thread the one that is woken, or nobody.
pub(crate) fn set_sleeper(thread: Option<Thread>) {
    ASLEEP.store(false, Ordering::Relaxed);
    *SLEEPER.write().unwrap_or_else(PoisonError::into_inner) = thread;
}

/// Has the watchdog look now, in whatever rhythm it is.
pub(crate) fn nudge() {
    let sleeper = SLEEPER.read().unwrap_or_else(PoisonError::into_inner);
    if let Some(thread) = sleeper.as_ref() {
        thread.unpark();
    }
}

/// From here on [`wake`] wakes the sleeper.
pub(crate) fn fall_asleep() {
    ASLEEP.store(true, Ordering::SeqCst);
}

/// Waits to be woken, for no longer than `most`. Whether it was.
pub(crate) fn sleep(most: Duration) -> bool {
    if ASLEEP.load(Ordering::Acquire) {
        std::thread::park_timeout(most);
    }
    !ASLEEP.swap(false, Ordering::AcqRel)
}

/// Wakes the watchdog if it sleeps: a few microseconds for the first thread that polls after a
/// pause, and for no other.
#[cold]
pub(crate) fn wake() {
    if ASLEEP.swap(false, Ordering::AcqRel)
        // Only the start and the end of the watchdog hold it for writing.
        && let Ok(sleeper) = SLEEPER.try_read()
        && let Some(thread) = sleeper.as_ref()
    {
        thread.unpark();
    }
}
