//! The thread that takes the records of slow polls and sends them on as spans.
//!
//! Everything that may block, allocate or fail is here, on an OS thread of its own: a service whose
//! runtime is blocked is the one that must still be able to say so.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::install::InstallError;
use crate::polling::{clock, slot};
use crate::runtime::registry;
use crate::thresholds;

mod budget;
mod http;
mod judge;
mod metrics;
mod otlp;
mod outbox;
mod poll_span;
mod provider;
mod resource;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "tls_absent.rs"]
mod tls;
mod variables;

pub(crate) use judge::Judge;
pub(crate) use resource::Identity;

/// How often the thread looks for records.
const TICK: Duration = Duration::from_millis(200);
/// How often each watched runtime is asked how it is.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A record whose frame was not proved to be a poll is believed after this time: the close that
/// would disprove it follows within microseconds.
const HELD_NS_MAX: u64 = 100_000_000;

/// Where poll spans go.
pub(crate) enum Target {
    Otlp { endpoint: Option<String>, identity: Identity, metrics_every: Duration },
    Provider(SdkTracerProvider),
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Exporter {
    stop: Arc<Stop>,
    timeout: Duration,
}

/// How the thread is told to end, and tells that it did.
#[derive(Debug, Default)]
struct Stop {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    deadline: Option<Instant>,
    is_finished: bool,
}

impl Stop {
    /// Waits for a tick, or for the order to stop: then until when there is time.
    fn wait(&self) -> Option<Instant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, TICK, |s| s.deadline.is_none());
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.deadline
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

/// Tells that the thread ended, also when it panics.
struct Finished(Arc<Stop>);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.change(|state| state.is_finished = true);
    }
}

/// Starts the thread and waits until it knows whether it can send to its target. The HTTP client
/// is made and dropped there too: it panics inside of a runtime.
pub(crate) fn start(
    target: Target,
    judge: Judge,
    timeout: Duration,
) -> Result<Exporter, InstallError> {
    let stop = Arc::new(Stop::default());
    let finished = Finished(Arc::clone(&stop));
    let (ready, is_ready) = sync_channel(1);
    let body = move || {
        let stop = Arc::clone(&finished.0);
        match outbox::Outbox::open(target, judge) {
            Ok(mut outbox) => {
                let _ = ready.send(Ok(()));
                run(&mut outbox, &stop);
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    };
    thread::Builder::new()
        .name("holdup-export".to_owned())
        .spawn(body)
        .map_err(|source| InstallError::Thread { source })?;
    let ended = || InstallError::Exporter { reason: "its thread ended early".to_owned() };
    is_ready.recv().map_err(|_| ended())??;
    Ok(Exporter { stop, timeout })
}

fn run(outbox: &mut outbox::Outbox, stop: &Stop) {
    registry::ask_all();
    let mut asked = Instant::now();
    loop {
        let deadline = stop.wait();
        // After the deadline the queue may be that of another exporter.
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        clock::refine();
        if asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            registry::ask_all();
        }
        thresholds::refresh();
        let held = if deadline.is_some() { 0 } else { clock::ticks(HELD_NS_MAX) };
        slot::settle_older_than(held);
        if let Some(deadline) = deadline {
            outbox.finish(deadline);
            break;
        }
        outbox.collect();
        outbox.send_if_due();
    }
    outbox.discard();
}

impl Exporter {
    /// Has the rest sent, and waits for it no longer than the timeout.
    pub(crate) fn finish(self) {
        let deadline = Instant::now() + self.timeout;
        self.stop.change(|state| state.deadline = Some(deadline));
        let state = self.stop.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut State| !state.is_finished;
        drop(self.stop.changed.wait_timeout_while(state, self.timeout, waiting));
    }
}
