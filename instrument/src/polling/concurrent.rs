//! What one thread writes while others read it. Small enough for Miri, which tries other orders of
//! the same memory accesses than the CPU would:
//!
//! `MIRIFLAGS="-Zmiri-disable-isolation" cargo +nightly miri test -p holdup --lib concurrent::`

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::measure::table::Table;
use crate::polling::record::{self, Place, QUEUE_RECORDS_MAX, Record, Timing};
use crate::polling::site::Site;
use crate::polling::slot::{self, Innermost, Slot};
use crate::polling::switch;

const TURNS: u64 = if cfg!(miri) { 60 } else { 200_000 };
const PATIENCE: Duration = Duration::from_secs(60);

static EVEN: Site = Site::new("concurrent::even", "", 0);
static ODD: Site = Site::new("concurrent::odd", "", 0);

fn site(start: u64) -> &'static Site {
    if start.is_multiple_of(2) { &EVEN } else { &ODD }
}

/// Does something on a thread with a slot, and on this thread meanwhile.
fn beside<T: Send + 'static>(
    writes: impl FnOnce(&'static Slot) -> T + Send + 'static,
    mut reads: impl FnMut(&'static Slot),
) -> T {
    let (tell, told) = std::sync::mpsc::channel();
    let writer = thread::spawn(move || {
        let slot = slot::current().unwrap();
        tell.send(slot).unwrap();
        writes(slot)
    });
    let slot = told.recv().unwrap();
    while !writer.is_finished() {
        reads(slot);
    }
    writer.join().unwrap()
}

#[test]
fn a_poll_is_seen_as_a_whole_or_not_at_all() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let writes = |slot: &'static Slot| {
        let begun = Instant::now();
        // On a busy machine the reader may have no CPU for a while.
        let is_unread = || SEEN.load(Ordering::Relaxed) == 0 && begun.elapsed() < PATIENCE;
        for start in (1..).take_while(|start| *start <= TURNS || (!cfg!(miri) && is_unread())) {
            // The outer poll has the even numbers, and what was nested in it so far.
            let outer = Innermost { site: Some(site(4 * start)), start: 4 * start, nested: 1 };
            slot.set_innermost(outer);
            let inner = 4 * start + 1;
            slot.set_innermost(Innermost { site: Some(site(inner)), start: inner, nested: 0 });
            slot.set_innermost(Innermost { nested: 1 + start, ..outer });
        }
        slot.set_innermost(Innermost { site: None, start: 0, nested: 0 });
    };
    beside(writes, |slot| {
        let Some(snapshot) = slot.snapshot() else { return };
        assert!(std::ptr::eq(snapshot.site, site(snapshot.start)), "{snapshot:?}");
        let is_outer = snapshot.start.is_multiple_of(2);
        let nested = [1, 1 + snapshot.start / 4];
        assert_eq!(is_outer, snapshot.nested != 0, "{snapshot:?}");
        assert!(!is_outer || nested.contains(&snapshot.nested), "{snapshot:?}");
        SEEN.fetch_add(1, Ordering::Relaxed);
    });
    assert!(cfg!(miri) || SEEN.load(Ordering::Relaxed) > 0, "nothing was read");
}

#[test]
fn a_histogram_that_is_read_while_it_is_written_never_shrinks() {
    let table: &'static Table = Table::lease();
    let mut last = [0; 2];
    let writes = |_: &'static Slot| {
        for turn in 0..TURNS {
            table.count(site(turn), 7);
        }
    };
    let counts = || {
        let mut counts = [0; 2];
        // Row 0 is that of all sites which pass the bound.
        for (count, (_, row)) in counts.iter_mut().zip(table.read().skip(1)) {
            *count = row.counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        }
        counts
    };
    beside(writes, |_| {
        let now = counts();
        assert!(now.iter().zip(&last).all(|(now, then)| now >= then), "{now:?} after {last:?}");
        last = now;
    });
    assert_eq!(counts(), [TURNS / 2, TURNS / 2]);
}

#[test]
fn what_is_pushed_is_popped_or_counted_as_dropped() {
    let _alone = switch::alone();
    record::prepare();
    while record::pop().is_some() {}
    let before = record::dropped();
    let pushes = if cfg!(miri) { 20 } else { 4 * QUEUE_RECORDS_MAX };
    let mut popped = 0;
    let pushed = beside(
        move |slot| {
            let timing = Timing { start: 1, duration: 1, own: 1 };
            let record = Record::gather(slot, Place::Site(&ODD), timing, 1, None).unwrap();
            (0..pushes).for_each(|_| record::push(record.clone()));
            pushes
        },
        |_| popped += usize::from(record::pop().is_some()),
    );
    popped += std::iter::from_fn(record::pop).count();
    let dropped = usize::try_from(record::dropped() - before).unwrap();
    assert_eq!(popped + dropped, pushed);
}
