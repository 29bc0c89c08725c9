//! Identity of the OS thread that runs.

use tokio::runtime::{Handle, Id, RuntimeFlavor};

use crate::polling::clock;
use crate::polling::record::Parent;
use crate::polling::usage::{Accounts, Usage};

/// Longest name kept, in bytes.
const NAME_BYTES_MAX: usize = 31;

/// Name and id of an OS thread, small and `Copy` so that it fits into a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// As the OS counts, 0 when it isn't known.
    pub(crate) id: u32,
    length: u8,
    name: [u8; NAME_BYTES_MAX],
}

/// What is known of a thread that polls. Found when it polls for the first time.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) thread: Thread,
    /// None where the OS has none, or when too many are open.
    pub(crate) accounts: Option<Accounts>,
    /// Its totals before its first poll, and when they were read, in ticks.
    pub(crate) first: Option<(u64, Usage)>,
    pub(crate) runtime: Option<Runtime>,
}

/// The runtime that a thread polled for first.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) id: Id,
    pub(crate) name: Option<Box<str>>,
    /// Of a runtime with several workers, whose threads end with it. A thread may have runtimes of
    /// one thread by turns: a handle would keep the first alive.
    pub(crate) workers: Option<Handle>,
    /// Its only thread is this one.
    pub(crate) is_single: bool,
    /// Which of its workers this thread was at first.
    #[cfg(tokio_unstable)]
    pub(crate) worker: Option<usize>,
}

impl Owner {
    pub(super) fn current() -> Self {
        // The first look at the context of a thread allocates what OpenTelemetry keeps for it.
        let _parent = Parent::current();
        let accounts = Accounts::open();
        let usage = accounts.as_ref().and_then(Accounts::read_own);
        Self {
            thread: Thread::current(),
            accounts,
            first: usage.map(|usage| (clock::now(), usage)),
            runtime: Handle::try_current().ok().map(Runtime::of),
        }
    }
}

impl Owner {
    pub(crate) fn runtime_name(&self) -> Option<&str> {
        self.runtime.as_ref()?.name.as_deref()
    }
}

impl Runtime {
    fn of(handle: Handle) -> Self {
        let id = handle.id();
        let name = handle.name().map(Box::from);
        // A thread for blocking closures has a handle, and no index.
        let is_worker = tokio::runtime::worker_index().is_some();
        let has_many = handle.runtime_flavor() == RuntimeFlavor::MultiThread;
        let workers = (is_worker && has_many).then_some(handle);
        Self {
            id,
            name,
            workers,
            is_single: is_worker && !has_many,
            #[cfg(tokio_unstable)]
            worker: tokio::runtime::worker_index(),
        }
    }
}

impl Thread {
    pub(super) fn current() -> Self {
        let handle = std::thread::current();
        let full = handle.name().unwrap_or_default();
        let kept = &full[..full.floor_char_boundary(NAME_BYTES_MAX)];
        let mut name = [0; NAME_BYTES_MAX];
        name[..kept.len()].copy_from_slice(kept.as_bytes());
        Self { id: os_id(), length: u8::try_from(kept.len()).unwrap_or(0), name }
    }

    pub(crate) fn name(&self) -> &str {
        std::str::from_utf8(&self.name[..usize::from(self.length)]).unwrap_or_default()
    }

    /// Whether the thread does the exporter's work: polls there are never of the service.
    pub(crate) fn exports(&self) -> bool {
        self.name().starts_with("holdup-") || self.name() == "reqwest-internal-sync-runtime"
    }
}

/// Id of this thread as the OS counts, 0 when it isn't known.
pub(crate) fn this_thread_id() -> u32 {
    os_id()
}

#[cfg(target_os = "linux")]
fn os_id() -> u32 {
    u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn os_id() -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_between_characters() {
        let name = format!("{}ü", "x".repeat(NAME_BYTES_MAX - 1));
        let handle = std::thread::Builder::new().name(name).spawn(Thread::current).unwrap();
        assert_eq!(handle.join().unwrap().name(), "x".repeat(NAME_BYTES_MAX - 1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_id_is_that_of_the_os() {
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        let id = link.file_name().unwrap().to_str().unwrap().parse::<u32>().unwrap();
        assert_eq!(Thread::current().id, id);
    }
}
