//! What is counted of TLS.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// On `/metrics`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    failed: Family<Reason, Counter>,
    reloads: Family<Outcome, Counter>,
    reload_ok: Gauge,
}

impl Counters {
    /// Registered, at zero.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let counters = Self::default();
        counters.reload_ok.set(1);
        let help = "Connections that did not get through their TLS handshake.";
        registry.register("tls_handshakes_failed", help, counters.failed.clone());
        let help = "Times that certificates were read again.";
        registry.register("tls_reloads", help, counters.reloads.clone());
        let help = "1 when certificates could be used as they were read last.";
        registry.register("tls_reload_ok", help, counters.reload_ok.clone());
        counters
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.failed.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn reloaded(&self, outcome: Option<bool>) {
        self.reload_ok.set(i64::from(outcome != Some(false)));
        if let Some(ok) = outcome {
            let outcome = if ok { "ok" } else { "failed" };
            self.reloads.get_or_create(&Outcome { outcome }).inc();
        }
    }
}
