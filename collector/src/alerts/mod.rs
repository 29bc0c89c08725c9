//! The state of a rule's alerts: pending, firing, resolved. A pure function of what was observed and
//! when: no clock, no I/O, so that a test can be at any hour and a replay gives the same.
//!
//! An observation that failed changes nothing. One that may lack rows can start alerts, and ends none.

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names and values.
pub(crate) type Labels = BTreeMap<String, String>;

/// An alert that fires this often within [`FLAP_WINDOW_MS`] flaps.
const FLAPS: usize = 4;
/// The time within which firings are counted.
const FLAP_WINDOW_MS: u64 = 30 * 60_000;
/// How long a flapping alert fires on after its row was there last.
const FLAP_HOLD_MS: u64 = 10 * 60_000;
/// How long receivers are told that an alert was resolved.
pub(crate) const TOLD_RESOLVED_MS: u64 = 15 * 60_000;

/// How a rule's alerts move on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How long a row must be there before its alert fires.
    pub(crate) for_ms: u64,
    /// How long an alert fires on after its row was there last.
    pub(crate) keep_firing_ms: u64,
    /// After longer than this without an observation, what waits to fire waits anew: nobody knows
    /// what was in between.
    pub(crate) gap_ms: u64,
    /// The most alerts that are pending or fire.
    pub(crate) alerts_max: usize,
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The alert's identity.
    pub(crate) labels: Labels,
    /// What is told of it.
    pub(crate) annotations: Labels,
    /// The row's value.
    pub(crate) value: f64,
    /// What it means.
    pub(crate) level: Level,
    /// When what the row tells of began, unix ms, where the rule says.
    pub(crate) began_ms: Option<u64>,
}

/// What a row means for its alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The condition holds.
    Over,
    /// It does not, but an alert that fires is not over.
    Holding,
}

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Observed {
    /// Nothing is known: the query failed, or came too late.
    Failed,
    /// The rows, of which some may be missing.
    Rows {
        /// One an alert.
        samples: Vec<Sample>,
        /// Whether a row that is not there means that its condition does not hold.
        complete: bool,
    },
}

/// A change of an alert's state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transition {
    /// To which state.
    pub(crate) to: To,
    /// The alert after it.
    pub(crate) alert: Alert,
    /// When, unix ms.
    pub(crate) at_ms: u64,
    /// Whether the alert flaps.
    pub(crate) flaps: bool,
}

/// A state that an alert enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Its condition holds, not for long enough yet.
    Pending,
    /// It fires.
    Firing,
    /// It fired, and is over.
    Resolved,
    /// It was pending, and is over without having fired.
    Inactive,
}

impl To {
    /// Its name in the history.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
            Self::Inactive => "inactive",
        }
    }
}

/// An alert of a rule, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alert {
    /// Its identity.
    pub(crate) labels: Labels,
    /// What is told of it.
    pub(crate) annotations: Labels,
    /// The value of its last row.
    #[serde(default)]
    pub(crate) value: f64,
    /// When what its row tells of began, where the rule says.
    #[serde(default)]
    pub(crate) began_ms: Option<u64>,
    #[serde(default)]
    pending_ms: Option<u64>,
    #[serde(default)]
    firing: Option<Firing>,
    #[serde(default)]
    resolved: Option<Resolved>,
    /// When it fired lately.
    #[serde(default)]
    fired_ms: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Firing {
    fired_ms: u64,
    absent_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Resolved {
    fired_ms: u64,
    at_ms: u64,
}

/// An alert as receivers are told of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    /// The alert.
    pub(crate) alert: &'a Alert,
    /// When it fired, unix ms.
    pub(crate) fired_ms: u64,
    /// When it was resolved, if it was.
    pub(crate) resolved_ms: Option<u64>,
}

/// All alerts of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Machine {
    alerts: BTreeMap<Labels, Alert>,
    observed_ms: Option<u64>,
    left_out: usize,
}

impl Machine {
    /// As it was kept.
    pub(crate) fn restored(alerts: Vec<Alert>, observed_ms: Option<u64>) -> Self {
        let alerts = alerts.into_iter().map(|alert| (alert.labels.clone(), alert)).collect();
        Self { alerts, observed_ms, left_out: 0 }
    }

    /// What is kept.
    pub(crate) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    /// When something was observed last.
    pub(crate) fn observed_ms(&self) -> Option<u64> {
        self.observed_ms
    }

    /// Since when alerts that fire have not been seen: what waits to be resolved.
    pub(crate) fn absent(&self) -> Vec<Option<u64>> {
        let since = |alert: &Alert| alert.firing.and_then(|firing| firing.absent_ms);
        self.alerts.values().map(since).collect()
    }

    /// Alerts of the last observation that are past the bound.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }

    /// Alerts that are pending, and that fire.
    pub(crate) fn active(&self) -> (usize, usize) {
        let pending = self.alerts.values().filter(|alert| alert.pending_ms.is_some()).count();
        let firing = self.alerts.values().filter(|alert| alert.firing.is_some()).count();
        (pending, firing)
    }

    /// What receivers are told: all that fires, and what was resolved lately.
    pub(crate) fn told(&self, now_ms: u64) -> impl Iterator<Item = Told<'_>> {
        self.alerts.values().filter_map(move |alert| match (alert.firing, alert.resolved) {
            (Some(Firing { fired_ms, .. }), _) => Some(Told { alert, fired_ms, resolved_ms: None }),
            (None, Some(Resolved { fired_ms, at_ms }))
                if now_ms.saturating_sub(at_ms) < TOLD_RESOLVED_MS =>
            {
                Some(Told { alert, fired_ms, resolved_ms: Some(at_ms) })
            }
            _ => None,
        })
    }

    /// Takes an observation, and tells what it changed.
    pub(crate) fn step(
        &mut self,
        timing: &Timing,
        now_ms: u64,
        observed: Observed,
    ) -> Vec<Transition> {
        let Observed::Rows { samples, complete } = observed else { return Vec::new() };
        self.restart_timers_after_a_gap(timing, now_ms);
        self.observed_ms = Some(now_ms);
        let mut found: BTreeMap<Labels, Sample> =
            samples.into_iter().map(|sample| (sample.labels.clone(), sample)).collect();
        let mut changes = Vec::new();
        for alert in self.alerts.values_mut() {
            let sample = found.remove(&alert.labels);
            if sample.is_some() || complete {
                changes.extend(alert.step(timing, now_ms, sample));
            }
        }
        changes.extend(self.admit(timing, now_ms, found.into_values()));
        self.forget(timing, now_ms);
        changes
    }

    /// Ends all alerts: their rule is gone.
    pub(crate) fn retire(&mut self, now_ms: u64) -> Vec<Transition> {
        for alert in self.alerts.values_mut() {
            alert.fired_ms.clear();
        }
        let timing = Timing { for_ms: 0, keep_firing_ms: 0, gap_ms: u64::MAX, alerts_max: 0 };
        self.step(&timing, now_ms, Observed::Rows { samples: Vec::new(), complete: true })
    }

    /// Where nothing was observed for long, or the clock was set back, what is waited for begins anew.
    fn restart_timers_after_a_gap(&mut self, timing: &Timing, now_ms: u64) {
        let Some(last) = self.observed_ms else { return };
        let set_back = now_ms < last;
        if !set_back && now_ms - last <= timing.gap_ms {
            return;
        }
        for alert in self.alerts.values_mut() {
            if let Some(pending_ms) = &mut alert.pending_ms {
                *pending_ms = now_ms;
            }
            if set_back {
                alert.fired_ms.retain(|fired_ms| *fired_ms <= now_ms);
                if let Some(Firing { absent_ms: Some(absent_ms), .. }) = &mut alert.firing {
                    *absent_ms = now_ms;
                }
                if let Some(resolved) = &mut alert.resolved {
                    resolved.at_ms = resolved.at_ms.min(now_ms);
                }
            }
        }
    }

    /// Takes in alerts that are not known, as far as there is room.
    fn admit(
        &mut self,
        timing: &Timing,
        now_ms: u64,
        samples: impl Iterator<Item = Sample>,
    ) -> Vec<Transition> {
        let (pending, firing) = self.active();
        let mut room = timing.alerts_max.saturating_sub(pending + firing);
        let mut changes = Vec::new();
        self.left_out = 0;
        for sample in samples.filter(|sample| sample.level == Level::Over) {
            if room == 0 {
                self.left_out += 1;
                continue;
            }
            room -= 1;
            let mut alert = Alert::of(&sample);
            changes.extend(alert.step(timing, now_ms, Some(sample)));
            self.alerts.insert(alert.labels.clone(), alert);
        }
        changes
    }

    /// Lets go of what neither a receiver nor the count of firings needs.
    fn forget(&mut self, timing: &Timing, now_ms: u64) {
        self.alerts.retain(|_, alert| alert.is_of_use(now_ms));
        let bound = timing.alerts_max.max(1) * 2;
        while self.alerts.len() > bound {
            let over = self.alerts.values().filter(|alert| alert.is_over());
            let oldest = over.min_by_key(|alert| alert.resolved.map(|r| r.at_ms));
            let Some(labels) = oldest.map(|alert| alert.labels.clone()) else { return };
            self.alerts.remove(&labels);
        }
    }
}

impl Alert {
    fn of(sample: &Sample) -> Self {
        Self {
            labels: sample.labels.clone(),
            annotations: BTreeMap::new(),
            value: 0.0,
            began_ms: None,
            pending_ms: None,
            firing: None,
            resolved: None,
            fired_ms: Vec::new(),
        }
    }

    fn is_over(&self) -> bool {
        self.pending_ms.is_none() && self.firing.is_none()
    }

    fn is_of_use(&self, now_ms: u64) -> bool {
        let lately = |at_ms: u64| now_ms.saturating_sub(at_ms) < FLAP_WINDOW_MS;
        !self.is_over() || self.resolved.is_some_and(|resolved| lately(resolved.at_ms))
    }

    fn flaps(&self, now_ms: u64) -> bool {
        let lately = |at_ms: &&u64| now_ms.saturating_sub(**at_ms) < FLAP_WINDOW_MS;
        self.fired_ms.iter().filter(lately).count() >= FLAPS
    }

    fn step(&mut self, timing: &Timing, now_ms: u64, sample: Option<Sample>) -> Option<Transition> {
        let level = sample.as_ref().map(|sample| sample.level);
        if let Some(sample) = sample
            && (sample.level == Level::Over || self.firing.is_some())
        {
            self.value = sample.value;
            self.annotations = sample.annotations;
            self.began_ms = sample.began_ms;
        }
        let to = match (level, self.firing) {
            (Some(_), Some(firing)) => {
                self.firing = Some(Firing { absent_ms: None, ..firing });
                None
            }
            (None, Some(firing)) => self.absent(timing, now_ms, firing),
            (Some(Level::Over), None) => self.present(timing, now_ms),
            (Some(Level::Holding) | None, None) => {
                self.pending_ms.take().map(|_since| To::Inactive)
            }
        };
        let flaps = self.flaps(now_ms);
        to.map(|to| Transition { to, alert: self.clone(), at_ms: now_ms, flaps })
    }

    fn present(&mut self, timing: &Timing, now_ms: u64) -> Option<To> {
        let begins = self.pending_ms.is_none();
        let since = *self.pending_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since) < timing.for_ms {
            return begins.then_some(To::Pending);
        }
        self.pending_ms = None;
        self.resolved = None;
        self.firing = Some(Firing { fired_ms: now_ms, absent_ms: None });
        if self.fired_ms.len() >= FLAPS {
            self.fired_ms.remove(0);
        }
        self.fired_ms.push(now_ms);
        Some(To::Firing)
    }

    fn absent(&mut self, timing: &Timing, now_ms: u64, firing: Firing) -> Option<To> {
        let since = firing.absent_ms.unwrap_or(now_ms);
        let hold = if self.flaps(now_ms) { FLAP_HOLD_MS } else { 0 };
        if now_ms.saturating_sub(since) < timing.keep_firing_ms.max(hold) {
            self.firing = Some(Firing { absent_ms: Some(since), ..firing });
            return None;
        }
        self.firing = None;
        self.resolved = Some(Resolved { fired_ms: firing.fired_ms, at_ms: now_ms });
        Some(To::Resolved)
    }
}
