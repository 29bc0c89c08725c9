//! Who waits while a worker is blocked, as far as tokio tells on its stable interface.

use crate::polling::thread::Owner;
use crate::watchdog::seen::Seen;

/// Counts the tasks that have gathered in the queue which all workers share since the poll was first
/// looked at. Those in the blocked worker's own queue can't be counted.
pub(super) fn count(seen: &mut Seen, owner: &Owner) {
    let Some(handle) = owner.runtime.as_ref().and_then(|runtime| runtime.workers.as_ref()) else {
        return;
    };
    let depth = handle.metrics().global_queue_depth() as u64;
    let before = *seen.queue.get_or_insert(depth);
    let waiting = depth.saturating_sub(before);
    seen.victims = Some(seen.victims.unwrap_or(0).max(waiting));
}

/// Whether none of a runtime's workers is left, when so many of its threads are blocked.
pub(super) fn all_workers_blocked(owner: &Owner, blocked: usize) -> bool {
    let Some(runtime) = owner.runtime.as_ref() else { return false };
    match &runtime.workers {
        Some(handle) => blocked >= handle.metrics().num_workers(),
        None => runtime.is_single,
    }
}
