//! Times one poll: two reads of the clock, and what was open before is put back.

use std::sync::atomic::Ordering;

use crate::polling::record::{self, Place, Record, Timing};
use crate::polling::site::Site;
use crate::polling::slot::{self, Innermost, Slot};
use crate::polling::{allow, clock, switch};

/// Begins to time a poll. None when the thread is about to end and has no slot.
#[inline(always)]
pub(crate) fn enter(site: &'static Site) -> Option<Entered> {
    let slot = slot::current()?;
    slot.settle_before(0);
    let outer = slot.innermost();
    let depth = slot.depth.load(Ordering::Relaxed);
    let floor = slot.floor.load(Ordering::Relaxed);
    slot.floor.store(depth, Ordering::Relaxed);
    slot.exited.store(0, Ordering::Relaxed);
    let start = clock::now();
    slot.set_innermost(Innermost { site: Some(site), start, nested: 0 });
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

impl Entered {
    /// When the poll began, in ticks.
    #[inline(always)]
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The thread's slot.
    #[inline(always)]
    pub(crate) fn slot_id(&self) -> usize {
        self.slot.id()
    }

    /// Whether no other watched poll is around it.
    #[inline(always)]
    pub(crate) fn is_outermost(&self) -> bool {
        self.outer.start == 0
    }

    /// Ends a poll that returned, and tells its duration in ticks; forget it afterwards. What `drop`
    /// does as well, but the compiler keeps `drop` out of line for the sake of unwinding. By reference:
    /// a move copies in pieces that are not those in which it was written, for which the CPU waits.
    #[inline(always)]
    pub(crate) fn leave(&self) -> u64 {
        let slot = self.slot;
        let duration = clock::now().saturating_sub(self.start);
        slot.settle_before(0);
        let nested = slot.nested().saturating_add(slot.abandon_above(self.depth));
        let own = duration.saturating_sub(nested);
        let outer = self.outer;
        slot.set_innermost(Innermost { nested: outer.nested.wrapping_add(duration), ..outer });
        slot.floor.store(self.floor, Ordering::Relaxed);
        slot.exited.store(0, Ordering::Relaxed);
        slot.count(self.site, own);
        if own >= self.site.limit(slot.limit()) && switch::is_on() {
            slow(slot, self.site, Timing { start: self.start, duration, own });
        }
        duration
    }
}

impl Entered {
    /// When it began and how long it takes so far, if that is its site's threshold or more.
    pub(crate) fn slow(&self) -> Option<(u64, u64)> {
        let duration = clock::now().saturating_sub(self.start);
        let own = duration.saturating_sub(self.slot.nested());
        self.site.reached(own, self.slot.limit()).map(|_| (self.start, duration))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _duration = self.leave();
    }
}

#[cold]
#[inline(never)]
fn slow(slot: &Slot, site: &'static Site, timing: Timing) {
    let Some(limit) = site.reached(timing.own, slot.limit()) else { return };
    slot.note_slow(timing.start, timing.duration);
    if slot.is_allowed() {
        return allow::count();
    }
    let threshold_ns = clock::nanoseconds(limit);
    if let Some(record) = Record::gather(slot, Place::Site(site), timing, threshold_ns, None) {
        record::push(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polling::spans;
    use proptest::prelude::*;

    /// A poll and those nested in it. A span may be left by the end of what is around it.
    #[derive(Clone, Debug)]
    enum Tree {
        Wrapped(Vec<Tree>),
        Span { nested: Vec<Tree>, is_left: bool },
    }

    fn trees() -> impl Strategy<Value = Tree> {
        let leaf = Just(Tree::Wrapped(Vec::new()));
        leaf.prop_recursive(6, 48, 4, |inner| {
            let nested = prop::collection::vec(inner, 0..4);
            prop_oneof![
                nested.clone().prop_map(Tree::Wrapped),
                (nested, any::<bool>())
                    .prop_map(|(nested, is_left)| Tree::Span { nested, is_left }),
            ]
        })
    }

    static SITE: Site = Site::new("tree", "", 0);

    fn run(tree: &Tree, id: &mut u64) {
        match tree {
            Tree::Wrapped(nested) => {
                let entered = enter(&SITE);
                nested.iter().for_each(|tree| run(tree, id));
                drop(entered);
            }
            Tree::Span { nested, is_left } => {
                *id += 1;
                let own = *id;
                spans::enter(own);
                nested.iter().for_each(|tree| run(tree, id));
                if *is_left {
                    // Without a name no record: what counts here is what the others get.
                    let _ = spans::exit(own);
                    spans::close(own);
                }
            }
        }
    }

    fn wrapped(tree: &Tree) -> usize {
        let (Tree::Wrapped(nested) | Tree::Span { nested, .. }) = tree;
        usize::from(matches!(tree, Tree::Wrapped(_))) + nested.iter().map(wrapped).sum::<usize>()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Spans that were no polls give their time back, so wrapped polls share all the time of
        /// the outermost one, to the tick.
        #[test]
        fn no_time_is_lost_or_counted_twice(nested in prop::collection::vec(trees(), 0..4)) {
            let _alone = switch::alone();
            clock::start();
            record::prepare();
            while record::pop().is_some() {}
            switch::on(1, u64::MAX);
            slot::current().unwrap().set_limit(1);
            let tree = Tree::Wrapped(nested);
            run(&tree, &mut 0);
            switch::off();
            let records = std::iter::from_fn(record::pop).collect::<Vec<_>>();
            // A poll of less than a tick is not reported, and has no time to be lost.
            prop_assert!(!records.is_empty() && records.len() <= wrapped(&tree));
            let outermost = records.last().unwrap();
            prop_assert_eq!(records.iter().map(|r| r.own).sum::<u64>(), outermost.duration);
            let slot = slot::current().unwrap();
            prop_assert_eq!(slot.depth.load(Ordering::Relaxed), 0);
            prop_assert_eq!(slot.innermost().start, 0);
        }
    }
}
