//! Blocking work on a thread that may block, with the caller's span and name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};

use crate::measure::buckets;
use crate::measure::merge::Histogram;
use crate::polling::allow::{self, Scope};
use crate::polling::site::Site;
use crate::polling::{clock, slot, spans, switch};

/// Names that are told apart; those beyond share one.
const NAMES_MAX: usize = 256;
const OVERFLOW: &str = "otel.metric.overflow";

/// How long work waited for a thread, and how long it ran, by name, since it was last taken.
static TIMES: Mutex<BTreeMap<String, Times>> = Mutex::new(BTreeMap::new());

/// The times of one name.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    /// From the call to the beginning on a thread of the blocking pool.
    pub(crate) queue: Histogram,
    pub(crate) run: Histogram,
}

/// Runs blocking code on a thread of tokio's blocking pool, in the span of the caller, and gives its
/// result.
///
/// As [`tokio::task::spawn_blocking`], with
/// - the span of `tracing` that is current here, entered while the code runs,
/// - the name of the instrumented function that is polled here, or else the place of this call,
/// - how long it waited for a thread (`holdup.isolate.queue`) apart from how long it ran
///   (`holdup.isolate.run`), both histograms by name.
///
/// It is never reported as blocking. It starts at once, whether or not the result is awaited, and
/// runs to its end although the result is dropped. Awaiting gives an error when the code panicked,
/// or when the runtime shut down before it ran, like a [`JoinHandle`].
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let sum = holdup::isolate(|| (1..=1_000_000_u64).sum::<u64>()).await?;
/// assert_eq!(sum, 500_000_500_000);
/// # Ok::<(), tokio::task::JoinError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
///
/// When it is called outside of a runtime, like `spawn_blocking`.
#[track_caller]
pub fn isolate<T, F>(code: F) -> Isolated<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let site = slot::existing().and_then(slot::Slot::innermost_site);
    let site = site.filter(|site| !spans::is_span(site));
    let name = site.map_or_else(|| Name::Place(Location::caller()), Name::Site);
    start(name, code)
}

/// The same under a name of your choice.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let hash = holdup::isolate_named("hash", || 7).await?;
/// assert_eq!(hash, 7);
/// # Ok::<(), tokio::task::JoinError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
///
/// When it is called outside of a runtime, like `spawn_blocking`.
#[track_caller]
pub fn isolate_named<T, F>(name: &'static str, code: F) -> Isolated<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start(Name::Given(name), code)
}

#[derive(Clone, Copy)]
enum Name {
    Given(&'static str),
    Site(&'static Site),
    Place(&'static Location<'static>),
}

impl Name {
    fn text(self) -> Cow<'static, str> {
        match self {
            Self::Given(name) => Cow::Borrowed(name),
            Self::Site(site) => site.function(),
            Self::Place(place) => Cow::Owned(format!("isolated at {place}")),
        }
    }
}

#[track_caller]
fn start<T, F>(name: Name, code: F) -> Isolated<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let span = tracing::Span::current();
    // Only instants of one clock can be told apart, and which one it is follows from `init`.
    let queued = switch::is_on().then(clock::now);
    let handle = tokio::task::spawn_blocking(move || {
        let mut timed = queued.map(|queued| Timed { name, queued, started: queued });
        let _scope = allow::open(Scope::Apart);
        if let Some(timed) = &mut timed {
            timed.started = clock::now();
        }
        span.in_scope(code)
    });
    Isolated { handle }
}

/// Counts the times when the code has ended, also by a panic.
struct Timed {
    name: Name,
    queued: u64,
    started: u64,
}

impl Drop for Timed {
    fn drop(&mut self) {
        if !switch::is_on() {
            return;
        }
        let run = clock::now().saturating_sub(self.started);
        let queue = self.started.saturating_sub(self.queued);
        let name = self.name.text();
        let mut all = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = all.len() >= NAMES_MAX && !all.contains_key(name.as_ref());
        let name = if is_full { OVERFLOW } else { name.as_ref() };
        if !all.contains_key(name) {
            let none = || Histogram { sum_ns: 0, counts: [0; buckets::COUNTERS] };
            all.insert(name.to_owned(), Times { queue: none(), run: none() });
        }
        if let Some(times) = all.get_mut(name) {
            add(&mut times.queue, queue);
            add(&mut times.run, run);
        }
    }
}

fn add(histogram: &mut Histogram, ticks: u64) {
    histogram.sum_ns = histogram.sum_ns.saturating_add(clock::nanoseconds(ticks));
    if let Some(count) = histogram.counts.get_mut(buckets::counter(ticks)) {
        *count += 1;
    }
}

/// What was counted since the last call.
pub(crate) fn take_times() -> BTreeMap<String, Times> {
    std::mem::take(&mut TIMES.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The result of code on another thread: made by [`isolate`].
#[must_use = "the code runs in any case; without `.await` nobody sees its result or its panic"]
pub struct Isolated<T> {
    handle: JoinHandle<T>,
}

impl<T> Isolated<T> {
    /// Keeps the code from running if it has not begun.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl<T> Future for Isolated<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.handle).poll(context)
    }
}

impl<T> fmt::Debug for Isolated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolated").field("is_finished", &self.is_finished()).finish()
    }
}
