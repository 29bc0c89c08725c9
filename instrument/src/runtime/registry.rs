//! What is known of each watched runtime, for the exporter.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::polling::clock;
use crate::polling::site::{self, Site};

/// Runtimes that are watched at one time.
const RUNTIMES_MAX: usize = 64;

static RUNTIMES: Mutex<Vec<Arc<Runtime>>> = Mutex::new(Vec::new());
static NUMBERS: AtomicU32 = AtomicU32::new(1);

/// A runtime, as long as its probe lives.
#[derive(Debug)]
pub(crate) struct Runtime {
    name: String,
    site: &'static Site,
    number: u32,
    /// Wakes the probe; none before its first poll, and when it is gone.
    waker: Mutex<Option<Waker>>,
    /// When the probe was woken, in ticks; 0 when it has answered.
    asked: AtomicU64,
    /// The longest that it took to answer since the last report, in ticks.
    lag: AtomicU64,
    state: Mutex<State>,
}

/// What the runtime says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) workers: usize,
    pub(crate) tasks: usize,
    pub(crate) queue: usize,
    /// Of all workers, since the runtime began.
    pub(crate) busy: Duration,
    pub(crate) parks: u64,
}

impl Runtime {
    /// None when too many are watched already.
    pub(super) fn register(name: String) -> Option<Arc<Self>> {
        let mut runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
        if runtimes.len() >= RUNTIMES_MAX {
            return None;
        }
        let runtime = Arc::new(Self {
            site: site::worker_of(&name),
            name,
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            waker: Mutex::new(None),
            asked: AtomicU64::new(0),
            lag: AtomicU64::new(0),
            state: Mutex::default(),
        });
        runtimes.push(Arc::clone(&runtime));
        Some(runtime)
    }

    /// The probe is gone, and with it the runtime.
    pub(super) fn deregister(&self) {
        let mut runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.retain(|runtime| runtime.number != self.number);
        drop(runtimes);
        self.set_waker(None);
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What a worker that is held is reported as.
    pub(crate) fn site(&self) -> &'static Site {
        self.site
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn set_waker(&self, waker: Option<Waker>) {
        // A waker that is dropped may drop its task: not under the lock.
        let mut place = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, waker);
        drop(place);
        drop(old);
    }

    /// The probe was polled.
    pub(super) fn answer(&self, state: State) {
        let asked = self.asked.swap(0, Ordering::AcqRel);
        if asked != 0 {
            self.lag.fetch_max(clock::now().saturating_sub(asked), Ordering::Relaxed);
        }
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Wakes the probe, unless it has not answered yet. Since when it has not, 0 if there is none.
    pub(crate) fn ask(&self) -> u64 {
        let asked = self.asked.load(Ordering::Acquire);
        if asked != 0 {
            return asked;
        }
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            let now = clock::now();
            self.asked.store(now, Ordering::Release);
            waker.wake();
            return now;
        }
        0
    }

    pub(crate) fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The longest that the probe waited since the last call, or waits.
    pub(crate) fn take_lag(&self) -> Duration {
        let lag = self.lag.swap(0, Ordering::Relaxed);
        let waits = match self.asked.load(Ordering::Acquire) {
            0 => 0,
            asked => clock::now().saturating_sub(asked),
        };
        Duration::from_nanos(clock::nanoseconds(lag.max(waits)))
    }
}

/// Every watched runtime.
pub(crate) fn all() -> Vec<Arc<Runtime>> {
    RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The runtime of a number.
pub(crate) fn find(number: u32) -> Option<Arc<Runtime>> {
    let runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
    runtimes.iter().find(|runtime| runtime.number == number).cloned()
}

/// Asks every runtime how it is.
pub(crate) fn ask_all() {
    for runtime in all() {
        runtime.ask();
    }
}
