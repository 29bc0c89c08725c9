//! The thread that sends: spans of what was found, and metrics.
//!
//! Everything that may block, allocate or fail is here, on an OS thread of its own: a service whose
//! runtime is blocked is the one that must still be able to say so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::install::InstallError;
use crate::own_thread::{Finished, Stop};
use crate::runtime::registry;
use crate::tasks::settings::TaskDumps;

mod await_span;
mod backlog;
mod dumps;
mod http;
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

pub(crate) use await_span::AwaitSpan;
pub(crate) use backlog::Backlog;
#[cfg(test)]
pub(crate) use backlog::SPANS_BYTES_MAX;
pub(crate) use dumps::note_stall;
#[cfg(test)]
pub(crate) use outbox::BATCH_BYTES_MAX;
pub(crate) use poll_span::{PollSpan, Subject};
pub(crate) use resource::Identity;

/// How often the thread looks for records.
const TICK: Duration = Duration::from_millis(200);
/// How often each watched runtime is asked how it is.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Where poll spans go.
pub(crate) enum Target {
    Otlp { endpoint: Option<String>, identity: Identity, metrics_every: Duration },
    Provider(SdkTracerProvider),
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Exporter {
    stop: Arc<Stop>,
    tasks_address: Option<SocketAddr>,
}

/// Starts the thread and waits until it knows whether it can send to its target. The HTTP client
/// is made and dropped there too: it panics inside of a runtime.
pub(crate) fn start(
    target: Target,
    tasks: TaskDumps,
    backlog: Arc<Backlog>,
) -> Result<Exporter, InstallError> {
    let stop = Arc::new(Stop::default());
    let finished = Finished(Arc::clone(&stop));
    let (ready, is_ready) = sync_channel(1);
    let body = move || {
        let stop = Arc::clone(&finished.0);
        match outbox::Outbox::open(target, tasks, backlog) {
            Ok(mut outbox) => {
                let _ = ready.send(Ok(outbox.tasks_address()));
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
    let tasks_address = is_ready.recv().map_err(|_| ended())??;
    Ok(Exporter { stop, tasks_address })
}

fn run(outbox: &mut outbox::Outbox, stop: &Stop) {
    registry::ask_all();
    let mut asked = Instant::now();
    loop {
        let deadline = stop.wait(TICK);
        // After the deadline the queue may be that of another exporter.
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        if asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            registry::ask_all();
        }
        if let Some(deadline) = deadline {
            outbox.finish(deadline);
            break;
        }
        outbox.collect();
        outbox.send_if_due();
        outbox.dump_tasks();
    }
    outbox.discard_all();
}

impl Exporter {
    /// Where live tasks are told.
    pub(crate) fn tasks_address(&self) -> Option<SocketAddr> {
        self.tasks_address
    }

    /// Wakes the thread before its tick.
    pub(crate) fn stop(&self) -> Arc<Stop> {
        Arc::clone(&self.stop)
    }

    /// Has the rest sent, and waits for it no longer than until the deadline.
    pub(crate) fn finish(self, deadline: Instant) {
        self.stop.finish(deadline);
    }
}
