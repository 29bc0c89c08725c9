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

/// How often the accounts are read: to read them costs as much as to look at all slots.
const SLEEPS_MAX: u32 = 16;

pub(super) struct Lateness {
    accounts: Option<Accounts>,
    from: u64,
    /// As it was some sleeps ago.
    runqueue: Option<u64>,
    sleeps: u32,
    /// By how much it was late in all since: for as long it may have waited for a CPU.
    late: Duration,
}

impl Lateness {
    /// For this thread.
    pub(super) fn new() -> Self {
        let accounts = Accounts::open();
        Self { accounts, from: 0, runqueue: None, sleeps: 0, late: Duration::ZERO }
    }

    /// All of its time, in nanoseconds.
    fn waited_for_a_cpu(&self) -> Option<u64> {
        self.accounts.as_ref().and_then(Accounts::read).map(|usage| usage.runqueue)
    }

    /// The thread goes to sleep.
    pub(super) fn begin(&mut self) {
        self.from = clock::now();
        if self.sleeps == 0 {
            self.runqueue = self.waited_for_a_cpu();
            self.late = Duration::ZERO;
        }
        self.sleeps = (self.sleeps + 1) % SLEEPS_MAX;
    }

    /// The thread woke up and had wanted to by `planned`.
    pub(super) fn end(&mut self, planned: Duration, tick: Duration) -> Option<Gap> {
        let to = clock::now();
        let slept = Duration::from_nanos(clock::nanoseconds(to.saturating_sub(self.from)));
        let late = slept.saturating_sub(planned);
        if late <= tick {
            self.late += late;
            return None;
        }
        self.sleeps = 0;
        let runqueue = self.waited_for_a_cpu();
        let is_gap = match (self.runqueue, runqueue) {
            (Some(before), Some(after)) => {
                let waited = Duration::from_nanos(after.saturating_sub(before));
                late.saturating_sub(waited.saturating_sub(self.late)) > tick
            }
            _ => late >= UNEXPLAINED_MIN,
        };
        is_gap.then_some(Gap { from: self.from, to })
    }
}
