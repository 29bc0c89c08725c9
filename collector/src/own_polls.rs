//! The collector watches its own runtime with the crate: what holds a worker of it is a line in its
//! log and counted. Nothing is sent, for it would have to send to itself.

use std::io;

use holdup::Kind;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::runtime::{Builder, Runtime};

/// On `/metrics`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    slow: Counter,
}

impl Counters {
    /// Registered, at zero.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        let help = "Polls of the collector's own that held a worker of its runtime for 100 ms.";
        registry.register("own_slow_polls", help, counters.slow.clone());
        counters
    }
}

/// A runtime whose workers are watched.
pub(crate) fn runtime() -> io::Result<Runtime> {
    holdup::watch_runtime(Builder::new_multi_thread().enable_all()).build()
}

/// Watches until the guard is dropped. Without it the collector runs all the same.
pub(crate) fn watch(counters: Counters) -> Option<holdup::Guard> {
    let installed = holdup::builder()
        .service_name("holdup-collector")
        // It has no exporter.
        .tracer_provider(SdkTracerProvider::builder().build())
        .signal(false)
        .on_finding(move |finding| {
            if finding.kind == Kind::Blocking && !finding.ongoing {
                counters.slow.inc();
            }
        })
        .install();
    match installed {
        Ok(guard) => Some(guard),
        Err(error) => {
            tracing::warn!(%error, "the collector does not watch its own polls");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Counters, runtime, watch};

    #[test]
    fn what_holds_a_worker_is_counted_and_what_may_block_is_not() {
        let counters = Counters::default();
        let guard = watch(counters.clone());
        assert!(guard.is_some());
        let runtime = runtime().unwrap();
        let may = runtime.spawn(async {
            tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(400)));
        });
        runtime.block_on(may).unwrap();
        assert_eq!(counters.slow.get(), 0);
        let began = Instant::now();
        while counters.slow.get() == 0 {
            assert!(began.elapsed() < Duration::from_secs(30), "it is not found");
            let held = runtime.spawn(async { std::thread::sleep(Duration::from_millis(400)) });
            runtime.block_on(held).unwrap();
        }
    }
}
