//! Spans on their way to the thread that sends: bounded, for a collector may be away for long.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::export::poll_span::PollSpan;
use crate::polling::record;

const SPANS_MAX: usize = 4096;
/// Stacks are of very different lengths.
const BYTES_MAX: usize = 8 << 20;

/// What doesn't fit is dropped and counted.
#[derive(Default)]
pub(crate) struct Backlog {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<PollSpan>,
    bytes: usize,
}

impl Backlog {
    pub(crate) fn push(&self, span: PollSpan) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = waiting.bytes + span.bytes();
        if waiting.spans.len() >= SPANS_MAX || bytes > BYTES_MAX {
            return record::count_dropped(1);
        }
        waiting.bytes = bytes;
        waiting.spans.push_back(span);
    }

    pub(super) fn pop(&self) -> Option<PollSpan> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let span = waiting.spans.pop_front()?;
        waiting.bytes = waiting.bytes.saturating_sub(span.bytes());
        Some(span)
    }

    /// Gives up all that is left, and counts it.
    pub(super) fn discard(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        record::count_dropped(waiting.spans.len() as u64);
        *waiting = Waiting::default();
    }
}
