//! A thread of Holdup's own: how it is told to end, and tells that it did.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shared by the thread and those who end it.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    deadline: Option<Instant>,
    is_nudged: bool,
    is_finished: bool,
}

impl Stop {
    /// Waits for a tick, for a nudge, or for the order to stop: then until when there is time.
    pub(crate) fn wait(&self, tick: Duration) -> Option<Instant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |state: &mut State| state.deadline.is_none() && !state.is_nudged;
        let waited = self.changed.wait_timeout_while(state, tick, waits);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_nudged = false;
        state.deadline
    }

    /// There is something to do before the tick is over.
    pub(crate) fn nudge(&self) {
        self.change(|state| state.is_nudged = true);
    }

    /// Has the thread end, and waits for that no longer than until the deadline.
    pub(crate) fn finish(&self, deadline: Instant) {
        self.change(|state| state.deadline = Some(deadline));
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        let waiting = |state: &mut State| !state.is_finished;
        drop(self.changed.wait_timeout_while(state, left, waiting));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

/// Tells that the thread ended, also when it panics.
pub(crate) struct Finished(pub(crate) Arc<Stop>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.change(|state| state.is_finished = true);
    }
}
