//! Whether the watchdog itself was kept from running, and by what.
//!
//! When the whole process stood still (a suspended machine, a stopped process, a paused virtual
//! machine), no poll is to blame for that time. When the machine has more to do than CPUs, polls go
//! on meanwhile, and each thread's own accounts tell what it waited for.

use std::time::Duration;

use crate::polling::clock;
use crate::polling::usage::Accounts;

/// Where the OS keeps no accounts, only what no overload explains counts as a standstill.
const UNEXPLAINED_MIN: Duration = Duration::from_secs(1);

/// A time in which nothing of the process ran, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

pub(super) struct Lateness {
    accounts: Option<Accounts>,
    from: u64,
    runqueue: Option<u64>,
}

impl Lateness {
    /// For this thread.
    pub(super) fn new() -> Self {
        Self { accounts: Accounts::open(), from: 0, runqueue: None }
    }

    /// The thread goes to sleep.
    pub(super) fn begin(&mut self) {
        self.from = clock::now();
        self.runqueue = self.accounts.as_ref().and_then(Accounts::runqueue);
    }

    /// The thread woke up and had wanted to by `planned`.
    pub(super) fn end(&self, planned: Duration, tick: Duration) -> Option<Gap> {
        let to = clock::now();
        let slept = Duration::from_nanos(clock::nanoseconds(to.saturating_sub(self.from)));
        let late = slept.saturating_sub(planned);
        if late <= tick {
            return None;
        }
        let runqueue = self.accounts.as_ref().and_then(Accounts::runqueue);
        let is_gap = match (self.runqueue, runqueue) {
            (Some(before), Some(after)) => {
                late.saturating_sub(Duration::from_nanos(after.saturating_sub(before))) > tick
            }
            _ => late >= UNEXPLAINED_MIN,
        };
        is_gap.then_some(Gap { from: self.from, to })
    }
}
