//! What is counted of who is let in.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    listener: String,
    reason: &'static str,
}

/// On `/metrics`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    refused: Family<Of, Counter>,
    pub(super) known: Gauge,
}

impl Counters {
    /// Registered, at zero.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        let help = "Requests that were not let in, by what was wrong.";
        registry.register("auth_failures", help, counters.refused.clone());
        let help = "Tokens that are known; 0 means that none is needed.";
        registry.register("auth_tokens", help, counters.known.clone());
        counters
    }

    pub(super) fn refused(&self, listener: &str, reason: &'static str) {
        self.refused.get_or_create(&Of { listener: listener.to_owned(), reason }).inc();
    }
}
