//! Times each poll of a task, through hooks that exist with `--cfg tokio_unstable` only.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use crate::polling::poll::{self, Entered};
use crate::polling::{site, switch};

/// Polls of tasks that are open on one thread: more than one only where a poll runs another runtime.
const DEPTH_MAX: usize = 8;

thread_local! {
    static OPEN: RefCell<[Option<Entered>; DEPTH_MAX]> =
        const { RefCell::new([const { None }; DEPTH_MAX]) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A task that was spawned there is about to be polled.
pub(super) fn before(spawned_at: &'static Location<'static>) {
    let _ = DEPTH.try_with(|depth| {
        let index = depth.get();
        depth.set(index + 1);
        if switch::threshold_ticks() == 0 || is_probe(spawned_at) {
            return;
        }
        let entered = poll::enter(site::spawned_at(spawned_at));
        let _ = OPEN.try_with(|open| {
            if let Some(place) = open.borrow_mut().get_mut(index) {
                *place = entered;
            } else {
                drop(entered);
            }
        });
    });
}

/// The poll is over, also when it panicked.
pub(super) fn after() {
    let _ = DEPTH.try_with(|depth| {
        let index = depth.get().saturating_sub(1);
        depth.set(index);
        let entered = OPEN.try_with(|open| open.borrow_mut().get_mut(index).and_then(Option::take));
        if let Ok(Some(entered)) = entered {
            drop(entered);
        }
    });
}

fn is_probe(spawned_at: &Location<'_>) -> bool {
    spawned_at.file() == super::probe::FILE
}
