//! What is counted of messages.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// Counters and gauges; copies count together.
#[derive(Clone, Default)]
pub(crate) struct Counters {
    messages: Family<Outcome, Counter>,
    pub(super) errors: Counter,
    pub(super) partitions: Gauge<u64, AtomicU64>,
    pub(super) behind: Gauge<u64, AtomicU64>,
    pub(super) paused: Gauge,
}

impl Counters {
    /// All at zero, each described where operators read it.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        let all = counters.clone();
        registry.register("kafka_messages", "Messages read from Kafka.", all.messages);
        let help = "Errors that Kafka or the way to it answered with.";
        registry.register("kafka_errors", help, all.errors);
        let help = "Partitions that this collector reads.";
        registry.register("kafka_partitions", help, all.partitions);
        let help = "Messages in these partitions behind what is committed.";
        registry.register("kafka_behind", help, all.behind);
        let help = "1 while nothing is read because a message is not taken.";
        registry.register("kafka_paused", help, all.paused);
        counters
    }
}

#[cfg(feature = "kafka")]
impl Counters {
    /// A message is in the log.
    pub(super) fn taken(&self) {
        self.count("taken");
    }

    /// A message is no request.
    pub(super) fn unusable(&self) {
        self.count("unusable");
    }

    fn count(&self, outcome: &'static str) {
        self.messages.get_or_create(&Outcome { outcome }).inc();
    }
}
