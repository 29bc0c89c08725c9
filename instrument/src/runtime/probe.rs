//! A task that is polled when the exporter asks: how late that is, is the runtime's lag, and what the
//! runtime says of itself is read there.
//!
//! It has no timer and keeps nothing of the runtime alive. It ends with the runtime, which is how the
//! registry learns of that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::runtime::registry::{Runtime, State};

/// Where the probe's task is spawned.
#[cfg(tokio_unstable)]
pub(super) const FILE: &str = file!();

struct Probe(Arc<Runtime>);

/// Starts the probe of a runtime.
pub(super) fn spawn(handle: &Handle, runtime: Arc<Runtime>) {
    drop(handle.spawn(Probe(runtime)));
}

impl Future for Probe {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Ok(handle) = Handle::try_current() {
            self.0.set_waker(Some(context.waker().clone()));
            self.0.answer(read(&handle));
        }
        Poll::Pending
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.deregister();
    }
}

fn read(handle: &Handle) -> State {
    let metrics = handle.metrics();
    let workers = metrics.num_workers();
    State {
        workers,
        // Less the probe.
        tasks: metrics.num_alive_tasks().saturating_sub(1),
        queue: metrics.global_queue_depth(),
        busy: busy(&metrics, workers),
        parks: parks(&metrics, workers),
    }
}

#[cfg(target_has_atomic = "64")]
fn busy(metrics: &tokio::runtime::RuntimeMetrics, workers: usize) -> Duration {
    (0..workers).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}

#[cfg(target_has_atomic = "64")]
fn parks(metrics: &tokio::runtime::RuntimeMetrics, workers: usize) -> u64 {
    (0..workers).map(|worker| metrics.worker_park_count(worker)).sum()
}

#[cfg(not(target_has_atomic = "64"))]
fn busy(_: &tokio::runtime::RuntimeMetrics, _: usize) -> Duration {
    Duration::ZERO
}

#[cfg(not(target_has_atomic = "64"))]
fn parks(_: &tokio::runtime::RuntimeMetrics, _: usize) -> u64 {
    0
}
