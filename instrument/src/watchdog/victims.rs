//! Who waits while a worker is blocked, as far as tokio tells on its stable interface.

use tokio::runtime::Id;

use crate::polling::thread::Owner;
use crate::watchdog::cause::Work;
use crate::watchdog::probe;
use crate::watchdog::seen::Seen;

/// Runtimes of which it is remembered that they have an I/O driver.
const DRIVEN_MAX: usize = 64;

/// Counts the tasks that have gathered in the queue which all workers share, and where tokio tells it
/// in the blocked worker's own, since the poll was first looked at.
pub(super) fn count(seen: &mut Seen, owner: &Owner) {
    let Some(runtime) = owner.runtime.as_ref() else { return };
    let Some(handle) = runtime.workers.as_ref() else { return };
    let metrics = handle.metrics();
    let depth = metrics.global_queue_depth() as u64;
    #[cfg(tokio_unstable)]
    let depth = depth + runtime.worker.map_or(0, |at| metrics.worker_local_queue_depth(at) as u64);
    let before = *seen.queue.get_or_insert(depth);
    let waiting = depth.saturating_sub(before);
    seen.victims = Some(seen.victims.unwrap_or(0).max(waiting));
}

/// Who waits for a runtime's I/O and timers while one of its workers is blocked.
#[derive(Debug, Default)]
pub(super) struct Drivers {
    /// Runtimes of which a worker was seen to wait for I/O. Others may have no driver for it, and then
    /// their workers tell nothing.
    known: Vec<Id>,
}

impl Drivers {
    /// Whether nobody does: all other workers are parked elsewhere, or blocked as well. `others` are
    /// their threads, and whether they are blocked. None when that can't be told.
    pub(super) fn are_idle(
        &mut self,
        owner: &Owner,
        others: impl Iterator<Item = (u32, bool)>,
    ) -> Option<bool> {
        let runtime = owner.runtime.as_ref()?;
        let Some(handle) = &runtime.workers else {
            return runtime.is_single.then_some(true);
        };
        let mut seen = 1;
        let mut is_idle = true;
        for (thread, is_blocked) in others {
            seen += 1;
            match probe::work(thread) {
                Some(Work::Drives) => {
                    if !self.known.contains(&runtime.id) && self.known.len() < DRIVEN_MAX {
                        self.known.push(runtime.id);
                    }
                    return Some(false);
                }
                // It polls tasks, and looks after the driver in between.
                Some(Work::Runs) if !is_blocked => is_idle = false,
                Some(Work::Parked | Work::Runs) => {}
                _ if is_blocked => {}
                _ => return None,
            }
        }
        if !is_idle {
            return Some(false);
        }
        let all = handle.metrics().num_workers();
        (seen >= all && self.known.contains(&runtime.id)).then_some(true)
    }
}

/// Whether none of a runtime's workers is left, when so many of its threads are blocked.
pub(super) fn all_workers_blocked(owner: &Owner, blocked: usize) -> bool {
    let Some(runtime) = owner.runtime.as_ref() else { return false };
    match &runtime.workers {
        Some(handle) => blocked >= handle.metrics().num_workers(),
        None => runtime.is_single,
    }
}
