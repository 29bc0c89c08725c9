//! The innermost poll of a thread, which that thread writes and others read, without a lock.
//!
//! A sequence lock whose sequence is the start of the poll: 0 while it changes, and never the same for
//! two polls of a thread. The model checker loom goes through the orders in which two threads may do
//! this: `cargo test -p holdup --test loom`.

use crate::polling::atomic::{AtomicU64, Ordering, fence};
use crate::polling::site::{Site, SiteCell};

/// Written by its thread alone. Others read by [`InnermostCell::snapshot`].
pub(crate) struct InnermostCell {
    /// None when there is none.
    pub(super) site: SiteCell,
    /// Id of the innermost span of `tracing`; it is the innermost poll if `site` says so.
    pub(super) span: AtomicU64,
    /// Ticks; 0 when there is none.
    pub(super) start: AtomicU64,
    /// Time of the instrumented polls nested in it that have ended.
    pub(super) nested: AtomicU64,
}

/// The innermost instrumented poll of a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Innermost {
    pub(super) site: Option<&'static Site>,
    pub(super) start: u64,
    pub(super) nested: u64,
}

/// What another thread sees of the innermost poll. Times are in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) site: &'static Site,
    /// Id of the innermost span of `tracing`, which is the poll if `site` says so.
    pub(crate) span: u64,
    /// No two polls of a thread begin at the same tick: with the slot, the identity of the poll.
    pub(crate) start: u64,
    pub(crate) nested: u64,
}

impl InnermostCell {
    #[inline(always)]
    pub(super) fn get(&self) -> Innermost {
        Innermost {
            site: self.site.load(),
            start: self.start.load(Ordering::Relaxed),
            nested: self.nested.load(Ordering::Relaxed),
        }
    }

    /// Tells readers that what they see is about to change.
    #[inline(always)]
    pub(super) fn begin_change(&self) {
        self.start.store(0, Ordering::Relaxed);
        fence(Ordering::Release);
    }

    #[inline(always)]
    pub(super) fn set(&self, innermost: Innermost) {
        self.begin_change();
        self.site.store(innermost.site);
        self.nested.store(innermost.nested, Ordering::Release);
        self.start.store(innermost.start, Ordering::Release);
    }

    /// The innermost poll as a whole. None when there is none, or when it changes at this instant.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let start = self.start.load(Ordering::Acquire);
        if start == 0 {
            return None;
        }
        // With the start it tells which state this is: the rest is of that one, or of a later one.
        let nested = self.nested.load(Ordering::Acquire);
        let site = self.site.load();
        let span = self.span.load(Ordering::Relaxed);
        // If a whole poll was nested in between, the start is the same again. Who sees that also
        // sees the time which it left in `nested`, but only in this order.
        fence(Ordering::Acquire);
        let unchanged = self.start.load(Ordering::Acquire) == start
            && self.nested.load(Ordering::Relaxed) == nested;
        if unchanged { Some(Snapshot { site: site?, span, start, nested }) } else { None }
    }
}
