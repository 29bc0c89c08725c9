//! What the evaluation of rules counts of itself.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::alerts::To;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOutcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

/// What became of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evaluated {
    /// All rows were there.
    Ok,
    /// Some rows may be missing: nothing was resolved.
    Incomplete,
    /// The query failed or took too long.
    Failed,
    /// It was not asked, because rows are late or were until lately.
    Waited,
}

/// Counters of `/metrics`. A clone counts the same.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    evaluations: Family<OfOutcome, Counter>,
    /// Time of one evaluation.
    pub(super) seconds: Histogram,
    /// Evaluations whose time had passed before their turn came.
    pub(super) missed: Counter,
    alerts: Family<OfState, Gauge<u64, AtomicU64>>,
    /// Alerts past the bound.
    pub(super) left_out: Gauge<u64, AtomicU64>,
    transitions: Family<OfState, Counter>,
    /// From when what a rule found began until its alert fired.
    pub(super) began_to_firing: Histogram,
    /// From when it began until a receiver had taken the first notification of it.
    pub(super) began_to_page: Histogram,
    /// Whether this collector sends.
    pub(super) leads: Gauge,
    /// Rules that are evaluated.
    pub(super) rules: Gauge,
    /// Rules whose last evaluation failed.
    pub(super) failing: Gauge,
    /// Rows of history that were lost.
    pub(super) history_lost: Counter,
    /// Writes of the alerts' state that failed.
    pub(super) state_failed: Counter,
    reloads: Family<OfOutcome, Counter>,
    reload_ok: Gauge,
}

impl Counters {
    /// All at zero, each described where operators read it.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let all = Self {
            evaluations: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            missed: Counter::default(),
            alerts: Family::default(),
            left_out: Gauge::default(),
            transitions: Family::default(),
            began_to_firing: Histogram::new([
                1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 30.0, 60.0, 300.0,
            ]),
            began_to_page: Histogram::new([1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 15.0, 30.0, 60.0, 300.0]),
            leads: Gauge::default(),
            rules: Gauge::default(),
            failing: Gauge::default(),
            history_lost: Counter::default(),
            state_failed: Counter::default(),
            reloads: Family::default(),
            reload_ok: Gauge::default(),
        };
        all.reload_ok.set(1);
        let of = all.clone();
        let r = registry;
        r.register("rule_evaluations", "Evaluations of alert rules.", of.evaluations);
        let missed = "Evaluations that came too late to be made.";
        r.register("rule_evaluations_missed", missed, of.missed);
        r.register("alerts", "Alerts that are pending or fire.", of.alerts);
        r.register("alerts_left_out", "Alerts past the bound of a rule.", of.left_out);
        r.register("alert_transitions", "States that alerts entered.", of.transitions);
        r.register("alerts_leader", "1 when this collector tells receivers.", of.leads);
        r.register("alert_rules", "Alert rules that are evaluated.", of.rules);
        r.register("alert_rules_failing", "Rules whose last evaluation failed.", of.failing);
        let lost = "Rows of the alerts' history that were lost.";
        r.register("alert_history_lost", lost, of.history_lost);
        let failed = "Writes of the alerts' state that failed.";
        r.register("alert_state_failed", failed, of.state_failed);
        let reloads = "Times that rules and receivers were read again.";
        r.register("alert_reloads", reloads, of.reloads);
        let ok = "1 unless what was read again last could not be used.";
        r.register("alert_reload_ok", ok, of.reload_ok);
        for (name, help, metric) in [
            ("rule_evaluation", "Time of one evaluation of an alert rule.", of.seconds),
            (
                "alert_began_to_firing",
                "From when what a rule found began until its alert fired.",
                of.began_to_firing,
            ),
            (
                "alert_began_to_page",
                "From when what a rule found began until a receiver was told.",
                of.began_to_page,
            ),
        ] {
            r.register_with_unit(name, help, Unit::Seconds, metric);
        }
        all
    }

    pub(super) fn evaluated(&self, outcome: Evaluated) {
        let outcome = match outcome {
            Evaluated::Ok => "ok",
            Evaluated::Incomplete => "incomplete",
            Evaluated::Failed => "failed",
            Evaluated::Waited => "waited",
        };
        self.evaluations.get_or_create(&OfOutcome { outcome }).inc();
    }

    pub(super) fn alerts(&self, pending: usize, firing: usize) {
        for (state, count) in [("pending", pending), ("firing", firing)] {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.alerts.get_or_create(&OfState { state }).set(count);
        }
    }

    /// Rules and receivers were read again, or could not be used.
    pub(crate) fn reloaded(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.reloads.get_or_create(&OfOutcome { outcome }).inc();
        self.reload_ok.set(i64::from(ok));
    }

    pub(super) fn entered(&self, to: To) {
        self.transitions.get_or_create(&OfState { state: to.name() }).inc();
    }
}
