//! Code of the service that is called for findings, each piece on a thread of its own.
//!
//! What a handler does with its thread harms neither the watchdog nor the exporter nor another
//! handler: each has a bounded queue, and what doesn't fit there is counted as lost.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::findings::finding::{Finding, Kind};

/// Findings that wait for one handler.
const QUEUE_MAX: usize = 256;
/// What may wait for all of them and for the log, in equal parts: stacks are of very different
/// lengths, and one that hangs may not take the room of another.
pub(crate) const WAITING_BYTES_MAX: usize = 448 << 10;
/// Handlers at one time, each with its thread.
const HANDLERS_MAX: usize = 32;

static HANDLERS: Mutex<Vec<Registered>> = Mutex::new(Vec::new());
static OUTLETS: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicU64 = AtomicU64::new(0);
static PANICS: AtomicU64 = AtomicU64::new(0);

/// What is called with a finding.
pub(crate) type Handle = dyn Fn(&Finding) + Send + Sync;

/// Which findings a handler is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    SlowPolls,
    Stalls,
    Everything,
}

impl Wants {
    fn includes(self, finding: &Finding) -> bool {
        match self {
            Self::SlowPolls => finding.kind == Kind::Blocking,
            Self::Stalls => finding.kind == Kind::Blocking && finding.ongoing,
            Self::Everything => true,
        }
    }
}

#[derive(Debug)]
struct Registered {
    wants: Wants,
    outlet: Outlet,
}

/// Keeps a handler registered; made by [`on_slow_poll`], [`on_stall`] and [`on_finding`].
///
/// After its drop the handler is not called any more; a call that goes on is not waited for. A
/// handler that is meant to stay is kept by `std::mem::forget` of this.
#[derive(Debug)]
#[must_use = "the handler is called until this is dropped: bind it to a name, `let _handler = …`"]
pub struct HandlerGuard {
    state: Arc<State>,
}

/// What became of the findings for a handler.
#[derive(Debug, Default)]
struct State {
    calls: AtomicU64,
    lost: AtomicU64,
    panics: AtomicU64,
    is_removed: AtomicBool,
    /// Of the findings that wait or are being told.
    bytes: AtomicUsize,
    waiting: Mutex<usize>,
    changed: Condvar,
}

/// The way to the thread of one handler.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: SyncSender<Arc<Finding>>,
    state: Arc<State>,
}

/// Calls `handler` for each slow poll that is reported: while it lasts, when it passes its threshold
/// and at two, four, … times that ([`ongoing`](Finding::ongoing)), and when it is over.
///
/// It is called on a thread of Holdup's own, up to a second or so after the fact, for whatever found
/// the poll: the attribute, a wrapper, the layer, a watched runtime. It needs an installation
/// ([`init`](crate::init)); what the budget of reports leaves out is counted in the next finding's
/// [`suppressed`](Finding::suppressed).
///
/// A handler that panics is called again for the next finding; the panic is caught and counted. One
/// that hangs loses what doesn't fit into its queue of 256 or its part of the memory for all, counted
/// too, and harms nothing else. Polls on its thread are never reported. Up to 32 handlers are called;
/// further ones are refused with a warning.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// static SLOW: AtomicU64 = AtomicU64::new(0);
/// let handler = holdup::on_slow_poll(|finding| {
///     if !finding.ongoing {
///         SLOW.fetch_add(1, Ordering::Relaxed);
///     }
/// });
/// assert_eq!((handler.calls(), handler.lost(), handler.panics()), (0, 0, 0));
/// ```
pub fn on_slow_poll(handler: impl Fn(&Finding) + Send + Sync + 'static) -> HandlerGuard {
    register(Wants::SlowPolls, Arc::new(handler))
}

/// Calls `handler` for each slow poll while it lasts: when it passes its threshold, and at two, four,
/// … times that. See [`on_slow_poll`] for how it is called.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let _handler = holdup::on_stall(|finding| {
///     if finding.busy > Duration::from_secs(30) {
///         std::process::abort(); // have the orchestrator restart it
///     }
/// });
/// ```
pub fn on_stall(handler: impl Fn(&Finding) + Send + Sync + 'static) -> HandlerGuard {
    register(Wants::Stalls, Arc::new(handler))
}

/// Calls `handler` for each finding, whatever it is about. See [`on_slow_poll`] for how it is called.
///
/// # Examples
///
/// ```
/// let _handler = holdup::on_finding(|finding| eprintln!("{finding}"));
/// ```
pub fn on_finding(handler: impl Fn(&Finding) + Send + Sync + 'static) -> HandlerGuard {
    register(Wants::Everything, Arc::new(handler))
}

pub(crate) fn register(wants: Wants, handler: Arc<Handle>) -> HandlerGuard {
    let mut handlers = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
    let outlet = (handlers.len() < HANDLERS_MAX).then(|| Outlet::open(handler)).flatten();
    let state = outlet.as_ref().map(|outlet| Arc::clone(&outlet.state)).unwrap_or_default();
    let is_refused = outlet.is_none();
    handlers.extend(outlet.map(|outlet| Registered { wants, outlet }));
    drop(handlers);
    if is_refused {
        tracing::warn!(
            target: "holdup",
            "a handler is never called: there are {HANDLERS_MAX} already, or the system refused \
             its thread; drop the guard of another one",
        );
    }
    HandlerGuard { state }
}

/// Gives a finding to all handlers that want it. Waits for none.
pub(super) fn dispatch(finding: &Arc<Finding>) {
    let handlers = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
    for handler in handlers.iter().filter(|handler| handler.wants.includes(finding)) {
        handler.outlet.give(Arc::clone(finding));
    }
}

/// Waits until the handlers have been called for all that was found, or until the deadline.
pub(super) fn flush(deadline: Instant) {
    let handlers = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
    let states = handlers.iter().map(|handler| Arc::clone(&handler.outlet.state));
    let states = states.collect::<Vec<_>>();
    drop(handlers);
    states.iter().for_each(|state| state.flush(deadline));
}

/// Findings that did not fit, and panics of handlers, since the process began.
pub(super) fn totals() -> (u64, u64) {
    (LOST.load(Ordering::Relaxed), PANICS.load(Ordering::Relaxed))
}

impl HandlerGuard {
    /// How often it was called.
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::Acquire)
    }

    /// Findings that it was not called for, because it had not returned from so many others.
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Acquire)
    }

    /// How often it panicked.
    pub fn panics(&self) -> u64 {
        self.state.panics.load(Ordering::Acquire)
    }
}

impl Drop for HandlerGuard {
    fn drop(&mut self) {
        self.state.is_removed.store(true, Ordering::Release);
        let mut handlers = HANDLERS.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.retain(|handler| !Arc::ptr_eq(&handler.outlet.state, &self.state));
    }
}

impl Outlet {
    /// Starts a thread. None when the system has none.
    pub(super) fn open(handler: Arc<Handle>) -> Option<Self> {
        let (queue, findings) = sync_channel(QUEUE_MAX);
        let state = Arc::new(State::default());
        let own = Arc::clone(&state);
        // The name keeps what is polled there out of what is reported.
        let builder = thread::Builder::new().name("holdup-handler".to_owned());
        builder.spawn(move || call(&handler, &findings, &own)).ok()?;
        OUTLETS.fetch_add(1, Ordering::Relaxed);
        Some(Self { queue, state })
    }

    pub(super) fn give(&self, finding: Arc<Finding>) {
        let bytes = finding.bytes();
        let waiting = self.state.bytes.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes);
        let part = WAITING_BYTES_MAX / OUTLETS.load(Ordering::Relaxed).max(1);
        self.state.expect(1);
        if waiting > part || self.queue.try_send(finding).is_err() {
            self.state.bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.state.expect(-1);
            self.state.lost.fetch_add(1, Ordering::AcqRel);
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn flush(&self, deadline: Instant) {
        self.state.flush(deadline);
    }
}

fn call(handler: &Arc<Handle>, findings: &Receiver<Arc<Finding>>, state: &State) {
    for finding in findings {
        if state.is_removed.load(Ordering::Acquire) {
            return;
        }
        state.calls.fetch_add(1, Ordering::AcqRel);
        let called = catch_unwind(AssertUnwindSafe(|| handler(&finding)));
        if let Err(payload) = called {
            state.panics.fetch_add(1, Ordering::AcqRel);
            PANICS.fetch_add(1, Ordering::Relaxed);
            // It may panic as well as it is dropped; that second payload is given up.
            if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(second);
            }
        }
        state.bytes.fetch_sub(finding.bytes(), Ordering::AcqRel);
        state.expect(-1);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        OUTLETS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl State {
    fn expect(&self, change: isize) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = waiting.saturating_add_signed(change);
        self.changed.notify_all();
    }

    fn flush(&self, deadline: Instant) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now());
        drop(self.changed.wait_timeout_while(waiting, left, |waiting| *waiting > 0));
    }
}

/// Handlers as a builder keeps them.
#[derive(Clone, Default)]
pub(crate) struct Wanted(pub(crate) Vec<(Wants, Arc<Handle>)>);

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(wants, _)| wants)).finish()
    }
}
