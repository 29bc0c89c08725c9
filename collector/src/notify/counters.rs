//! What notifications count of themselves.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Outcome, Way};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReceiver {
    receiver: String,
    way: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    receiver: String,
    way: &'static str,
    outcome: &'static str,
}

/// Counters of `/metrics`, by receiver. A clone counts the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    notifications: Family<Ended, Counter>,
    failures: Family<OfReceiver, Counter>,
    waiting: Family<OfReceiver, Gauge<u64, AtomicU64>>,
    oldest: Family<OfReceiver, Gauge<f64, AtomicU64>>,
    alerts: Gauge<u64, AtomicU64>,
    silenced: Gauge<u64, AtomicU64>,
    left_out: Gauge<u64, AtomicU64>,
    unrecorded: Counter,
}

impl Counters {
    /// All at zero.
    pub(crate) fn register(r: &mut Registry) -> Self {
        let all = Self::default();
        let Self { notifications, failures, waiting, oldest, .. } = all.clone();
        let ended = "Notifications that ended: sent, refused by the receiver, dropped.";
        r.register("notifications", ended, notifications);
        let failed = "Tries to notify that failed and come again.";
        r.register("notifications_failed", failed, failures);
        let wait = "Notifications that wait for a receiver.";
        r.register("notifications_waiting", wait, waiting);
        let age = "Age in seconds of the oldest notification that waits for a receiver.";
        r.register("notifications_oldest_seconds", age, oldest);
        let fire = "Alerts that fire, as receivers are told of them.";
        r.register("notify_alerts", fire, all.alerts.clone());
        let silent = "Alerts that fire and are silenced or in maintenance.";
        r.register("notify_alerts_silenced", silent, all.silenced.clone());
        let out = "Alerts that fire and are told to nobody, because more fire than are kept.";
        r.register("notify_alerts_left_out", out, all.left_out.clone());
        let lost = "Notifications that the history did not take.";
        r.register("notifications_unrecorded", lost, all.unrecorded.clone());
        all
    }

    /// A notification ended.
    pub(super) fn ended(&self, receiver: &str, way: &Way, outcome: Outcome) {
        let receiver = receiver.to_owned();
        let labels = Ended { receiver, way: way.kind(), outcome: outcome.name() };
        self.notifications.get_or_create(&labels).inc();
    }

    /// A try failed and comes again.
    pub(super) fn failed(&self, receiver: &str, way: &Way) {
        self.failures.get_or_create(&of(receiver, way)).inc();
    }

    /// So many wait, the oldest for so long.
    pub(super) fn waiting(&self, receiver: &str, way: &Way, count: u64, oldest_seconds: f64) {
        let labels = of(receiver, way);
        self.waiting.get_or_create(&labels).set(count);
        self.oldest.get_or_create(&labels).set(oldest_seconds);
    }

    /// What fires.
    pub(super) fn alerts(&self, firing: u64, silenced: u64) {
        self.alerts.set(firing);
        self.silenced.set(silenced);
    }

    /// So many alerts are not kept.
    pub(super) fn left_out(&self, alerts: u64) {
        self.left_out.set(alerts);
    }

    /// The history is behind.
    pub(super) fn unrecorded(&self) {
        self.unrecorded.inc();
    }

    /// How many fire.
    #[cfg(test)]
    pub(super) fn firing(&self) -> u64 {
        self.alerts.get()
    }

    /// Every receiver at zero, so that a rate is known from the first failure.
    pub(super) fn begin(&self, receiver: &str, way: &Way) {
        let labels = of(receiver, way);
        self.failures.get_or_create(&labels).inc_by(0);
        self.waiting(receiver, way, 0, 0.0);
        for outcome in [Outcome::Sent, Outcome::Refused, Outcome::Dropped] {
            let outcome = outcome.name();
            let OfReceiver { receiver, way } = labels.clone();
            self.notifications.get_or_create(&Ended { receiver, way, outcome }).inc_by(0);
        }
    }
}

fn of(receiver: &str, way: &Way) -> OfReceiver {
    OfReceiver { receiver: receiver.to_owned(), way: way.kind() }
}
