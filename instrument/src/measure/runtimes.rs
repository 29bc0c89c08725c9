//! What is reported of watched runtimes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;

use crate::contract;
use crate::measure::merge::Counted;
use crate::measure::report::Report;
use crate::runtime::registry::{self, Runtime, State};

/// What was read of each runtime the last time, by its number.
#[derive(Default)]
pub(crate) struct Runtimes {
    seen: HashMap<u32, Seen>,
}

#[derive(Clone, Copy, Default)]
struct Seen {
    state: State,
    /// Self time of watched polls since the runtime last told of its busy time, which it does less
    /// often than reports go out.
    watched_ns: u64,
}

impl Runtimes {
    /// Adds what happened since the last call.
    pub(crate) fn report(&mut self, counted: &Counted, report: &mut Report) {
        let mut seen = HashMap::new();
        for runtime in &registry::all() {
            let mut known = self.seen.get(&runtime.number()).copied().unwrap_or_default();
            known.watched_ns += counted.ns_of_runtimes.get(&runtime.number()).unwrap_or(&0);
            let state = runtime.state();
            // Without a worker the probe was never polled, and nothing is known.
            if state.workers > 0 {
                add(report, runtime, state, &mut known);
            }
            known.state = state;
            seen.insert(runtime.number(), known);
        }
        self.seen = seen;
    }
}

fn add(report: &mut Report, runtime: &Arc<Runtime>, state: State, known: &mut Seen) {
    let name = runtime.name();
    let busy = state.busy.saturating_sub(known.state.busy);
    let lag = runtime.take_lag();
    for (metric, unit, value) in [
        (contract::RUNTIME_WORKERS, "{worker}", integer(state.workers)),
        (contract::RUNTIME_TASKS, "{task}", integer(state.tasks)),
        (contract::RUNTIME_QUEUE, "{task}", integer(state.queue)),
        (contract::RUNTIME_LAG, "s", Number::AsDouble(lag.as_secs_f64())),
    ] {
        report.gauge(metric, unit, name, value);
    }
    if busy > Duration::ZERO {
        let watched = Duration::from_nanos(std::mem::take(&mut known.watched_ns));
        let share = Number::AsDouble((watched.as_secs_f64() / busy.as_secs_f64()).min(1.0));
        report.gauge(contract::RUNTIME_COVERAGE, "1", name, share);
    }
    let busy = Number::AsDouble(busy.as_secs_f64());
    report.sum(contract::RUNTIME_BUSY, "s", Some(name), busy);
    let parks = state.parks.saturating_sub(known.state.parks);
    let parks = Number::AsInt(i64::try_from(parks).unwrap_or(i64::MAX));
    report.sum(contract::RUNTIME_PARKS, "{park}", Some(name), parks);
}

fn integer(value: usize) -> Number {
    Number::AsInt(i64::try_from(value).unwrap_or(i64::MAX))
}
