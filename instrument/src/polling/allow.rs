//! Scopes in which a poll may be slow, and scopes in those in which it may not.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::polling::poll::{self, Entered};
use crate::polling::site::Site;
use crate::polling::slot::{self, Slot};
use crate::polling::switch;

/// What the time of a scope is charged to, so that it is not the time of the poll around it.
static ALLOWED: Site = Site::new("holdup::allow_blocking", "", 0);
static FORBIDDEN: Site = Site::new("holdup::forbid_blocking", "", 0);

/// Since the process began.
static SLOW_IN_ALL: AtomicU64 = AtomicU64::new(0);

/// Slow polls that were allowed, since the process began.
pub(crate) fn allowed() -> u64 {
    SLOW_IN_ALL.load(Ordering::Relaxed)
}

/// A slow poll that is not reported.
#[cold]
pub(crate) fn count() {
    SLOW_IN_ALL.fetch_add(1, Ordering::Relaxed);
}

/// What a scope says of the polls in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Allow,
    Forbid,
    /// As allowed, on a thread that polls for no runtime: its time is nobody's.
    Apart,
}

/// Ends the scope when it goes out of scope itself, so that a panic ends it too.
pub(crate) struct Opened {
    slot: &'static Slot,
    was_allowed: bool,
    /// Dropped first: the end of the scope's own time is still in the scope.
    entered: Option<Entered>,
}

/// Begins a scope on this thread. None while Holdup is off, and when the thread is about to end.
#[inline]
pub(crate) fn open(scope: Scope) -> Option<Opened> {
    if !switch::is_on() {
        return None;
    }
    let slot = slot::current()?;
    let was_allowed = slot.is_allowed();
    let may = scope != Scope::Forbid;
    let site = match scope {
        Scope::Allow => Some(&ALLOWED),
        // Where nothing is allowed there is nothing to forbid, and the time stays where it was.
        Scope::Forbid if was_allowed => Some(&FORBIDDEN),
        Scope::Forbid | Scope::Apart => None,
    };
    slot.set_allowed(may);
    let entered = site.and_then(poll::enter);
    Some(Opened { slot, was_allowed, entered })
}

impl Drop for Opened {
    fn drop(&mut self) {
        drop(self.entered.take());
        self.slot.set_allowed(self.was_allowed);
    }
}
