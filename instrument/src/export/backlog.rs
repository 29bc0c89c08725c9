//! Spans on their way to the thread that sends: bounded, for a collector may be away for long.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use crate::export::poll_span::PollSpan;
use crate::polling::record;
use crate::room::{Room, Share};

const SPANS_MAX: usize = 4096;
/// With those of the batch that is being sent.
pub(crate) const SPANS_BYTES_MAX: usize = 1280 << 10;

/// What doesn't fit is dropped and counted.
pub(crate) struct Backlog {
    room: Arc<Room>,
    waiting: Mutex<VecDeque<KeptSpan>>,
}

/// A span with its share of the room for spans: their stacks are of very different lengths.
pub(super) struct KeptSpan {
    pub(super) span: PollSpan,
    share: Share,
}

impl KeptSpan {
    pub(super) fn bytes(&self) -> usize {
        self.share.bytes()
    }
}

impl Deref for KeptSpan {
    type Target = PollSpan;

    fn deref(&self) -> &PollSpan {
        &self.span
    }
}

impl Default for Backlog {
    fn default() -> Self {
        Self { room: Arc::new(Room::new(SPANS_BYTES_MAX)), waiting: Mutex::default() }
    }
}

impl Backlog {
    pub(crate) fn push(&self, span: PollSpan) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let share = self.room.take(span.bytes()).filter(|_| waiting.len() < SPANS_MAX);
        match share {
            Some(share) => waiting.push_back(KeptSpan { span, share }),
            None => record::count_dropped(1),
        }
    }

    pub(super) fn pop(&self) -> Option<KeptSpan> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Gives up all that is left, and counts it.
    pub(super) fn discard(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        record::count_dropped(waiting.len() as u64);
        *waiting = VecDeque::new();
    }
}
