//! Spans of `tracing` as frames of the same stack that wrapped polls are on.
//!
//! `tracing` says that a span was entered and left, not whether that was a poll. The span of a
//! function that is not async is entered once, left, and closed at once. What is left and *not*
//! closed by the very next thing that the thread does was a poll: it is pending, or its future is
//! dropped inside its span, which enters it again. So the record of a slow frame is held until that
//! next event, and a frame that proves to be no poll gives its time back to the poll around it.

use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::polling::record::{self, Parent, Place, Record, Timing};
use crate::polling::site::{Site, SiteCell};
use crate::polling::slot::{self, HELD, Innermost, Slot, Snapshot};
use crate::polling::{allow, clock, runtime, switch};

/// Spans open at one time on one thread. Deeper ones are part of the deepest that fits.
pub(crate) const SPANS_DEPTH_MAX: usize = 64;

/// What a slot points at while the innermost poll is that of a span.
static SPAN: Site = Site::new("tracing span", "", 0);

/// A span that is open on this thread.
pub(crate) struct Frame {
    id: AtomicU64,
    start: AtomicU64,
    outer_site: SiteCell,
    outer_span: AtomicU64,
    outer_start: AtomicU64,
    outer_nested: AtomicU64,
}

/// The record of a frame that may not have been a poll.
pub(crate) struct Held {
    span: u64,
    record: Record,
    /// Whether it was in a poll of a runtime, as far as that can be told.
    in_poll: bool,
}

impl Frame {
    pub(super) const fn new() -> Self {
        Self {
            id: AtomicU64::new(0),
            start: AtomicU64::new(0),
            outer_site: SiteCell::none(),
            outer_span: AtomicU64::new(0),
            outer_start: AtomicU64::new(0),
            outer_nested: AtomicU64::new(0),
        }
    }

    fn set(&self, id: u64, start: u64, outer: Innermost, outer_span: u64) {
        self.id.store(id, Ordering::Relaxed);
        self.start.store(start, Ordering::Relaxed);
        self.outer_site.store(outer.site);
        self.outer_span.store(outer_span, Ordering::Relaxed);
        self.outer_start.store(outer.start, Ordering::Relaxed);
        self.outer_nested.store(outer.nested, Ordering::Relaxed);
    }

    /// For other threads: whether a poll that began then is around the span.
    pub(super) fn is_in(&self, start: u64) -> bool {
        self.outer_start.load(Ordering::Relaxed) == start
    }

    /// For other threads: what is around the span that began at `start`.
    pub(super) fn around(&self, start: u64) -> Option<Snapshot> {
        if self.start.load(Ordering::Relaxed) != start {
            return None;
        }
        let outer = self.outer();
        let span = self.outer_span.load(Ordering::Relaxed);
        let site = outer.site?;
        (outer.start != 0).then_some(Snapshot {
            site,
            span,
            start: outer.start,
            nested: outer.nested,
        })
    }

    fn outer(&self) -> Innermost {
        Innermost {
            site: self.outer_site.load(),
            start: self.outer_start.load(Ordering::Relaxed),
            nested: self.outer_nested.load(Ordering::Relaxed),
        }
    }
}

/// A frame that took long. Whoever knows the span makes it a record.
pub(crate) struct SlowFrame {
    slot: &'static Slot,
    span: u64,
    timing: Timing,
    in_wrapper: bool,
}

/// Whether a slot's innermost poll is that of a span.
pub(crate) fn is_span(site: &'static Site) -> bool {
    ptr::eq(site, &raw const SPAN)
}

/// A span was entered on this thread.
#[inline]
pub(crate) fn enter(id: u64) {
    if switch::threshold_ticks() == 0 {
        return;
    }
    let Some(slot) = slot::current() else { return };
    slot.settle_before(id);
    slot.exited.store(0, Ordering::Relaxed);
    let depth = slot.depth.load(Ordering::Relaxed);
    let Some(frame) = slot.frames.get(depth as usize) else {
        slot.beyond.store(slot.beyond.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        return;
    };
    let outer = slot.innermost();
    slot.depth.store(depth + 1, Ordering::Relaxed);
    let start = clock::now();
    frame.set(id, start, outer, slot.span().load(Ordering::Relaxed));
    slot.begin_change();
    slot.span().store(id, Ordering::Relaxed);
    slot.set_innermost(Innermost { site: Some(&SPAN), start, nested: 0 });
}

/// A span was left on this thread. It need not be the innermost one, nor have been entered here.
#[inline]
pub(crate) fn exit(id: u64) -> Option<SlowFrame> {
    let slot = slot::existing()?;
    let depth = slot.depth.load(Ordering::Relaxed);
    if depth == 0 {
        return None;
    }
    let end = clock::now();
    slot.settle_before(0);
    slot.exited.store(0, Ordering::Relaxed);
    let floor = slot.floor.load(Ordering::Relaxed);
    let Some((index, frame)) = slot.innermost_frame_of(id, floor, depth) else {
        let beyond = slot.beyond.load(Ordering::Relaxed).saturating_sub(1);
        slot.beyond.store(beyond, Ordering::Relaxed);
        return None;
    };
    let nested = slot.nested().saturating_add(slot.abandon_above(index + 1));
    let duration = end.saturating_sub(frame.start.load(Ordering::Relaxed));
    let own = duration.saturating_sub(nested);
    let outer = frame.outer();
    slot.begin_change();
    slot.span().store(frame.outer_span.load(Ordering::Relaxed), Ordering::Relaxed);
    slot.set_innermost(Innermost { nested: outer.nested.wrapping_add(duration), ..outer });
    slot.depth.store(index, Ordering::Relaxed);
    slot.exited.store(id, Ordering::Relaxed);
    slot.exited_own.store(own, Ordering::Relaxed);
    if own < slot.limit() || !switch::is_on() {
        return None;
    }
    if slot.is_allowed() {
        allow::count();
        return None;
    }
    // The lowest frame above the floor knows what was open below it: nothing, or a wrapped poll.
    let lowest = slot.frames.get(floor as usize)?;
    let in_wrapper = lowest.outer_start.load(Ordering::Relaxed) != 0;
    let start = frame.start.load(Ordering::Relaxed);
    Some(SlowFrame { slot, span: id, timing: Timing { start, duration, own }, in_wrapper })
}

/// A span was closed. If it was left just before, that was no poll.
#[inline]
pub(crate) fn close(id: u64) {
    let Some(slot) = slot::existing() else { return };
    if slot.exited.load(Ordering::Relaxed) != id {
        return;
    }
    slot.exited.store(0, Ordering::Relaxed);
    slot.give_back(slot.exited_own.load(Ordering::Relaxed));
    if slot.attend.load(Ordering::Relaxed) & HELD != 0 {
        let _ = slot.take_held();
    }
}

impl SlowFrame {
    /// Holds the record until the thread shows whether the frame was a poll.
    #[cold]
    #[inline(never)]
    pub(crate) fn hold(self, span: &'static tracing::Metadata<'static>, parent: Option<Parent>) {
        let threshold_ns = clock::nanoseconds(self.slot.limit());
        self.slot.note_slow(self.timing.start, self.timing.duration);
        let place = Place::Span(span);
        let gathered = Record::gather(self.slot, place, self.timing, threshold_ns, parent);
        let Some(record) = gathered else { return };
        let in_poll = self.in_wrapper || runtime::in_poll();
        let held = Held { span: self.span, record, in_poll };
        // A reader holds the lock for an instant at most; waiting for it is not an option here.
        if let Ok(mut place) = self.slot.held.try_lock() {
            if place.replace(held).is_some() {
                record::count_dropped(1);
            }
            self.slot.attend.fetch_or(HELD, Ordering::Release);
        } else {
            record::count_dropped(1);
        }
    }
}

impl Slot {
    /// Sees to what there is for the thread to do at an event. Ends the wait of a held record,
    /// because the thread goes on to `next`: a span, or 0.
    #[inline(always)]
    pub(super) fn settle_before(&self, next: u64) {
        if self.attend.load(Ordering::Relaxed) != 0 {
            self.settle(next);
        }
    }

    #[cold]
    #[inline(never)]
    fn settle(&self, next: u64) {
        self.stop_waking();
        if let Some(held) = self.take_held()
            // To enter the same span again proves a poll, wherever that may have been.
            && (held.in_poll || held.span == next)
        {
            record::push(held.record);
        }
    }

    pub(super) fn settle_by_other(&self) {
        self.settle_before(0);
    }

    fn take_held(&self) -> Option<Held> {
        let mut place = self.held.try_lock().ok()?;
        self.attend.fetch_and(!HELD, Ordering::Relaxed);
        place.take()
    }

    /// For other threads.
    pub(super) fn take_held_older_than(&self, age: u64) -> Option<Record> {
        if self.attend.load(Ordering::Acquire) & HELD == 0 {
            return None;
        }
        let mut place = self.held.try_lock().ok()?;
        let record = &place.as_ref()?.record;
        let end = record.start.saturating_add(record.duration);
        if clock::now().saturating_sub(end) < age {
            return None;
        }
        self.attend.fetch_and(!HELD, Ordering::Relaxed);
        place.take().filter(|held| held.in_poll).map(|held| held.record)
    }

    fn innermost_frame_of(&self, id: u64, floor: u32, depth: u32) -> Option<(u32, &Frame)> {
        (floor..depth)
            .rev()
            .filter_map(|index| Some((index, self.frames.get(index as usize)?)))
            .find(|(_, frame)| frame.id.load(Ordering::Relaxed) == id)
    }

    /// Forgets frames that were never left on this thread, as a guard held across an await leaves
    /// them. Their own time is that of the frame below; what was nested in them stays nested.
    #[inline(always)]
    pub(super) fn abandon_above(&self, depth: u32) -> u64 {
        if self.depth.load(Ordering::Relaxed) <= depth {
            return 0;
        }
        self.abandon(depth)
    }

    #[cold]
    #[inline(never)]
    fn abandon(&self, depth: u32) -> u64 {
        let from = depth as usize;
        let until = self.depth.load(Ordering::Relaxed) as usize;
        let frames = self.frames.get(from..until).unwrap_or_default();
        self.depth.store(depth, Ordering::Relaxed);
        self.beyond.store(0, Ordering::Relaxed);
        if let Some(lowest) = frames.first() {
            self.begin_change();
            self.span().store(lowest.outer_span.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        frames
            .iter()
            .map(|frame| frame.outer_nested.load(Ordering::Relaxed))
            .fold(0, u64::saturating_add)
    }
}
