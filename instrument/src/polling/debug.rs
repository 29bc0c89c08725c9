//! What debug mode notes where code of the service runs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use tokio::task::coop;

use crate::polling::site::Site;
use crate::polling::switch;

/// Notes that wait for the findings thread.
const QUEUE_NOTES_MAX: usize = 1024;

static IS_ON: AtomicBool = AtomicBool::new(false);
static QUEUE: OnceLock<ArrayQueue<Note>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Something about a future that only debug mode tells of.
#[derive(Debug)]
pub(crate) struct Note {
    pub(crate) site: &'static Site,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// It was dropped before its first poll.
    NeverPolled,
    /// It was done after one poll, which was a slow one. In ticks.
    OnePoll { start: u64, duration: u64 },
    /// Its task panicked with this message, and its handle was dropped.
    UnseenPanic { message: Option<String> },
}

pub(crate) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

pub(crate) fn set(on: bool) {
    if on {
        QUEUE.get_or_init(|| ArrayQueue::new(QUEUE_NOTES_MAX));
    }
    IS_ON.store(on, Ordering::Relaxed);
}

pub(crate) fn pop() -> Option<Note> {
    QUEUE.get()?.pop()
}

/// Notes that did not fit since the last call.
pub(crate) fn take_dropped() -> u64 {
    DROPPED.swap(0, Ordering::Relaxed)
}

#[cold]
pub(crate) fn note(site: &'static Site, what: What) {
    if !is_on() || !switch::is_on() {
        return;
    }
    if QUEUE.get().is_none_or(|queue| queue.push(Note { site, what }).is_err()) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether the poll that goes on has used up what tokio lets it do before it has to give its thread
/// back: for so long nothing that it awaited was pending.
pub(super) fn has_spent_budget() -> bool {
    is_on() && !coop::has_budget_remaining()
}

/// Notes a future that is dropped before its first poll, if debug mode was on when it was made.
#[derive(Debug)]
pub(crate) struct Unpolled(Option<&'static Site>);

impl Unpolled {
    pub(crate) fn new(site: &'static Site) -> Self {
        Self((is_on() && switch::is_on()).then_some(site))
    }

    #[inline(always)]
    pub(crate) fn is_armed(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Unpolled {
    #[inline]
    fn drop(&mut self) {
        if let Some(site) = self.0 {
            note(site, What::NeverPolled);
        }
    }
}
