//! What a thread does with its polls, and what another may see of it.

use loom::sync::Arc;
use loom::sync::atomic::AtomicU64;
use loom::thread;

use super::innermost::{Innermost, InnermostCell, Snapshot};
use super::site::{SITES, SiteCell};

const NONE: Innermost = Innermost { site: None, start: 0, nested: 0 };

const fn poll(site: usize, start: u64, nested: u64) -> Innermost {
    Innermost { site: Some(&SITES[site]), start, nested }
}

/// Goes through the orders of these writes and a look, with up to three switches between the threads
/// that nothing forces: every one takes minutes. The look has to be one of these, or none;
/// and each of them has to be seen in some order, or the scene shows nothing.
fn seen(writes: &'static [Innermost], may_be: &'static [(usize, u64, u64)]) {
    let found = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let sum = std::sync::Arc::clone(&found);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let cell = Arc::new(InnermostCell {
            site: SiteCell::none(),
            span: AtomicU64::new(0),
            start: AtomicU64::new(0),
            nested: AtomicU64::new(0),
        });
        let writer = thread::spawn({
            let cell = Arc::clone(&cell);
            move || writes.iter().for_each(|innermost| cell.set(*innermost))
        });
        if let Some(Snapshot { site, span, start, nested }) = cell.snapshot() {
            let look = (site.0, start, nested);
            assert!(may_be.contains(&look) && span == 0, "no poll was ever like this: {look:?}");
            found.lock().unwrap().insert(look);
        }
        writer.join().unwrap();
        let end = cell.get();
        let last = writes.last().unwrap();
        assert_eq!((end.start, end.nested), (last.start, last.nested));
    });
    assert_eq!(sum.lock().unwrap().len(), may_be.len());
}

#[test]
fn polls_one_after_the_other_are_never_mixed() {
    const WRITES: &[Innermost] = &[poll(0, 1, 0), poll(1, 2, 0)];
    seen(WRITES, &[(0, 1, 0), (1, 2, 0)]);
}

#[test]
fn a_poll_has_the_time_of_what_was_nested_in_it_or_not_yet() {
    const WRITES: &[Innermost] = &[poll(0, 1, 0), poll(1, 2, 0), poll(0, 1, 5)];
    seen(WRITES, &[(0, 1, 0), (1, 2, 0), (0, 1, 5)]);
}

#[test]
fn a_thread_that_ends_its_poll_shows_none() {
    const WRITES: &[Innermost] = &[poll(2, 3, 0), NONE];
    seen(WRITES, &[(2, 3, 0)]);
}
