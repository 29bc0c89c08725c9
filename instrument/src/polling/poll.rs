//! Times one poll: two reads of the clock, and what was open before is put back.

use std::ptr;
use std::sync::atomic::Ordering;

use crate::polling::record::{self, Place, Record, Timing};
use crate::polling::site::Site;
use crate::polling::slot::{self, Innermost, Slot};
use crate::polling::{clock, switch};

/// Begins to time a poll. None when nothing is timed.
#[inline(always)]
pub(crate) fn enter(site: &'static Site) -> Option<Entered> {
    if switch::threshold_ticks() == 0 {
        return None;
    }
    let slot = slot::current()?;
    slot.settle_before(0);
    let outer = slot.innermost();
    let depth = slot.depth.load(Ordering::Relaxed);
    let floor = slot.floor.load(Ordering::Relaxed);
    slot.floor.store(depth, Ordering::Relaxed);
    slot.exited.store(0, Ordering::Relaxed);
    let start = clock::now();
    let site_pointer = ptr::from_ref(site).cast_mut();
    slot.set_innermost(Innermost { site: site_pointer, span: 0, start, nested: 0 });
    Some(Entered { slot, site, start, outer, depth, floor })
}

/// Ends the poll when it goes out of scope, so that a panic in the poll ends it too.
pub(crate) struct Entered {
    slot: &'static Slot,
    site: &'static Site,
    start: u64,
    outer: Innermost,
    depth: u32,
    floor: u32,
}

impl Drop for Entered {
    #[inline(always)]
    fn drop(&mut self) {
        let slot = self.slot;
        let duration = clock::now().saturating_sub(self.start);
        slot.settle_before(0);
        let nested = slot.nested().saturating_add(slot.abandon_above(self.depth));
        let own = duration.saturating_sub(nested);
        let outer = self.outer;
        slot.set_innermost(Innermost { nested: outer.nested.wrapping_add(duration), ..outer });
        slot.floor.store(self.floor, Ordering::Relaxed);
        slot.exited.store(0, Ordering::Relaxed);
        let global = switch::threshold_ticks();
        if own >= self.site.limit(global) && global != 0 {
            slow(slot, self.site, Timing { start: self.start, duration, own });
        }
    }
}

#[cold]
#[inline(never)]
fn slow(slot: &Slot, site: &'static Site, timing: Timing) {
    let Some(threshold_ns) = site.reached(timing.own) else { return };
    if let Some(record) = Record::gather(slot, Place::Site(site), timing, threshold_ns, None) {
        record::push(record);
    }
}
