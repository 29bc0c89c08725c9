//! Runtimes that asked to be watched as a whole.
//!
//! [`watch_runtime`] hooks into a runtime's builder. The hooks run on the runtime's threads: the first
//! that parks spawns a [`probe`], and with `--cfg tokio_unstable` each poll of a task is timed under
//! the place where the task was spawned ([`tasks`]). What the exporter reads is in the [`registry`].

mod probe;
pub(crate) mod registry;
#[cfg(tokio_unstable)]
mod tasks;

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle, Id};

use crate::polling::slot;
use crate::runtime::registry::Runtime;

/// Watches a runtime: its workers, its queue, how long a task that is ready waits, and how much of its
/// busy time was inside of watched polls.
///
/// With `--cfg tokio_unstable` every task is watched too, under the place where it was spawned, with
/// no annotation: `task spawned at src/main.rs:12:5`. What is annotated inside of it has its own time.
/// [Task dumps](crate::tasks) list all of them.
///
/// On stable tokio a worker that is held for 100 ms or more is reported with its stack, marked
/// `holdup.sampled`, although nothing on it was annotated; `docs/instrument.md` tells what that can't
/// see.
///
/// It takes the builder's hooks `on_thread_park` and `on_thread_unpark`, or with `tokio_unstable`
/// `on_thread_park` and all four of tasks: a builder has one of each, and the later call wins. It also
/// spawns one task that is polled once a second, which the runtime counts among its alive tasks.
///
/// # Examples
///
/// ```
/// let mut builder = tokio::runtime::Builder::new_multi_thread();
/// let runtime = holdup::watch_runtime(builder.worker_threads(2).enable_all()).build()?;
/// runtime.block_on(async { /* … the service … */ });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn watch_runtime(builder: &mut Builder) -> &mut Builder {
    // A builder can build several runtimes, which share the hooks.
    let spawned = Arc::new(Spawned::default());
    // With hooks for every poll nothing has to be inferred.
    #[cfg(not(tokio_unstable))]
    {
        let spawned = Arc::clone(&spawned);
        builder.on_thread_unpark(move || spawned.unpark());
    }
    builder.on_thread_park(move || spawned.park());
    #[cfg(tokio_unstable)]
    builder
        .on_task_spawn(|task| tasks::spawned(task.spawned_at(), task.id()))
        .on_before_task_poll(|task| tasks::before(task.spawned_at(), task.id()))
        .on_after_task_poll(|_| tasks::after())
        .on_task_terminate(|task| tasks::terminated(task.id()));
    builder
}

/// Runtimes of one builder that have a probe.
#[derive(Default)]
struct Spawned {
    runtimes: Mutex<Vec<(Id, u32)>>,
}

thread_local! {
    /// The runtime that this thread parked for last, and its number.
    static LAST: Cell<Option<(Id, u32)>> =
        const { Cell::new(None) };
}

impl Spawned {
    /// A thread of the runtime is about to park: a thread that has nothing to do.
    fn park(&self) {
        let Some(number) = self.current() else { return };
        if let Some(slot) = slot::existing() {
            slot.set_runtime(number);
            slot.turn.end(slot, || Some(registry::find(number)?.site()));
        }
    }

    /// A thread of the runtime goes on.
    #[cfg(not(tokio_unstable))]
    fn unpark(&self) {
        let (Some(number), Some(slot)) = (self.current(), slot::current()) else { return };
        slot.turn.begin(number, tokio::runtime::worker_index().unwrap_or(usize::MAX));
    }

    /// The number of the runtime that this thread works for.
    fn current(&self) -> Option<u32> {
        let handle = Handle::try_current().ok()?;
        let id = handle.id();
        let known = LAST.try_with(Cell::get).ok().flatten();
        let number = match known {
            Some((last, number)) if last == id => number,
            _ => self.number(&handle, id),
        };
        let _ = LAST.try_with(|last| last.set(Some((id, number))));
        Some(number)
    }

    #[cold]
    fn number(&self, handle: &Handle, id: Id) -> u32 {
        let mut runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, number)) = runtimes.iter().find(|(known, _)| *known == id) {
            return *number;
        }
        let name = handle.name().map_or_else(|| format!("runtime {id}"), str::to_owned);
        let Some(runtime) = Runtime::register(name) else { return 0 };
        let number = runtime.number();
        runtimes.push((id, number));
        drop(runtimes);
        probe::spawn(handle, runtime);
        number
    }
}
