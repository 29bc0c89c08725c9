//! Knows each task and times its polls, through hooks that exist with `--cfg tokio_unstable` only.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use tokio::task::Id;

use crate::polling::poll::{self, Entered};
use crate::polling::tasks::hooked::{self, Hooked};
use crate::polling::{site, switch};

/// Polls of tasks that are open on one thread: more than one only where a poll runs another runtime.
const DEPTH_MAX: usize = 8;

thread_local! {
    static OPEN: RefCell<[Option<Open>; DEPTH_MAX]> =
        const { RefCell::new([const { None }; DEPTH_MAX]) };
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A poll that goes on.
struct Open {
    entered: Entered,
    task: Option<Hooked>,
}

/// A task was spawned there.
pub(super) fn spawned(spawned_at: &'static Location<'static>, id: Id) {
    if switch::is_on() && !is_probe(spawned_at) {
        hooked::spawned(site::spawned_at(spawned_at), id);
    }
}

/// A task that was spawned there is about to be polled.
pub(super) fn before(spawned_at: &'static Location<'static>, id: Id) {
    let _ = DEPTH.try_with(|depth| {
        let index = depth.get();
        depth.set(index + 1);
        if switch::threshold_ticks() == 0 || is_probe(spawned_at) {
            return;
        }
        let Some(entered) = poll::enter(site::spawned_at(spawned_at)) else { return };
        let task = hooked::find(id);
        if let Some(task) = &task {
            task.begin(entered.start(), entered.slot_id());
        }
        let _ = OPEN.try_with(|open| {
            if let Some(place) = open.borrow_mut().get_mut(index) {
                *place = Some(Open { entered, task });
            }
        });
    });
}

/// The poll is over, also when it panicked, and if it was the last one, the task is too.
pub(super) fn after() {
    let _ = DEPTH.try_with(|depth| {
        let index = depth.get().saturating_sub(1);
        depth.set(index);
        let open = OPEN.try_with(|open| open.borrow_mut().get_mut(index).and_then(Option::take));
        if let Ok(Some(Open { entered, task })) = open {
            let began = entered.start();
            let duration = entered.leave();
            std::mem::forget(entered);
            if let Some(task) = task {
                task.end(began, duration);
            }
        }
    });
}

/// The task is over, whether it has ended or was aborted.
pub(super) fn terminated(id: Id) {
    hooked::ended(id);
}

fn is_probe(spawned_at: &Location<'_>) -> bool {
    spawned_at.file() == super::probe::FILE
}
