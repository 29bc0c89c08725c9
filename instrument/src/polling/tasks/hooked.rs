//! Tasks of which the hooks of their runtime tell. The hooks give the number of a task and nowhere to
//! keep anything, so the task's entry is near where its number says.

use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;

use tokio::task::Id;

use super::{Entry, LIVE, Place, Task, candidates, number};
use crate::polling::site::Site;

/// The entry of a task that is being polled.
pub(crate) struct Hooked {
    // Given back when the task ends, and not before.
    place: ManuallyDrop<Place>,
    number: u64,
}

/// A task was spawned. If there is no room for it, it is one of those that its runtime counts and
/// nobody knows.
pub(crate) fn spawned(site: &'static Site, id: Id) {
    let number = number(Some(id));
    let task = Task { site, number, tracks_wakes: false, is_hooked: true };
    let _kept = Place::claim(start(number), task).map(ManuallyDrop::new);
}

/// The task has ended, or was aborted.
pub(crate) fn ended(id: Id) {
    if let Some(hooked) = find(id) {
        drop(ManuallyDrop::into_inner(hooked.place));
    }
}

/// The entry of a task that was spawned while Holdup was switched on.
pub(crate) fn find(id: Id) -> Option<Hooked> {
    let number = number(Some(id));
    let entry = candidates(start(number)).find(|entry| is_of(entry, number));
    let place = Place { entry: Some(entry?), is_unregistered: false };
    Some(Hooked { place: ManuallyDrop::new(place), number })
}

impl Hooked {
    /// A poll begins.
    pub(crate) fn begin(&self, began: u64, slot: usize) {
        self.place.begin(began, slot);
    }

    /// The poll that began then has ended, and maybe the task with it.
    pub(crate) fn end(&self, began: u64, duration: u64) {
        if self.place.entry.is_some_and(|entry| is_of(entry, self.number)) {
            let _known = self.place.end(began, duration);
        }
    }
}

fn start(number: u64) -> usize {
    usize::try_from(number % super::TASKS_MAX as u64).unwrap_or_default()
}

fn is_of(entry: &Entry, number: u64) -> bool {
    entry.state.load(Ordering::Acquire) == LIVE
        && entry.task.load(Ordering::Relaxed) == number
        && entry.is_hooked.load(Ordering::Relaxed)
}
