//! Which alerts that fire are silenced: nobody is told of them, and the history says why.

use std::collections::BTreeMap;

use super::tell;
use crate::alerts::{Alert, Labels};

/// What is said of each silence, by the fingerprint of its alert.
#[derive(Debug, Default)]
pub(super) struct Silences(BTreeMap<String, String>);

/// An alert that is silenced for a reason, or not any more.
#[derive(Debug)]
pub(super) struct Change {
    /// Which, as it is.
    pub(super) alert: Alert,
    /// Until when, by whom and why; none where its silence is over.
    pub(super) why: Option<String>,
}

impl Silences {
    /// As they were kept.
    pub(super) fn with(kept: BTreeMap<String, String>) -> Self {
        Self(kept)
    }

    /// What is kept.
    pub(super) fn kept(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Looks at all that fires, and tells what changed.
    pub(super) fn look<'a>(
        &mut self,
        firing: impl Iterator<Item = &'a Alert>,
        silence: impl Fn(&Labels) -> Option<String>,
    ) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.0);
        let mut changes = Vec::new();
        for alert in firing {
            let why = silence(&alert.labels);
            if why.is_none() && before.is_empty() {
                continue;
            }
            let fingerprint = tell::fingerprint(&alert.labels);
            if before.remove(&fingerprint) != why {
                changes.push(Change { alert: alert.clone(), why: why.clone() });
            }
            self.0.extend(why.map(|why| (fingerprint, why)));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Silences;
    use crate::alerts::{Alert, Level, Machine, Observed, Sample, Timing};

    fn firing() -> Vec<Alert> {
        let timing = Timing { for_ms: 0, keep_firing_ms: 0, gap_ms: 1_000, alerts_max: 9 };
        let sample = |service: &str| Sample {
            labels: BTreeMap::from([("service".to_owned(), service.to_owned())]),
            annotations: BTreeMap::new(),
            value: 1.0,
            level: Level::Over,
            began_ms: None,
        };
        let samples = vec![sample("a"), sample("b")];
        let mut machine = Machine::default();
        machine.step(&timing, 1, Observed::Rows { samples, complete: true });
        machine.alerts().cloned().collect()
    }

    #[test]
    fn a_silence_is_told_at_its_beginning_at_its_end_and_when_it_becomes_another() {
        let alerts = firing();
        let mut silences = Silences::default();
        let mut look = |alerts: &[Alert], says: Option<&str>| -> Vec<(String, Option<String>)> {
            let of_a = |labels: &crate::alerts::Labels| {
                says.filter(|_| labels["service"] == "a").map(str::to_owned)
            };
            let changes = silences.look(alerts.iter(), of_a);
            // As after a restart.
            silences = Silences::with(silences.kept().clone());
            changes.into_iter().map(|it| (it.alert.labels["service"].clone(), it.why)).collect()
        };
        let change = |why: Option<&str>| vec![("a".to_owned(), why.map(str::to_owned))];
        assert_eq!(look(&alerts, None), []);
        assert_eq!(look(&alerts, Some("x")), change(Some("x")));
        assert_eq!(look(&alerts, Some("x")), []);
        assert_eq!(look(&alerts, Some("y")), change(Some("y")));
        assert_eq!(look(&alerts, None), change(None));
        assert_eq!(look(&alerts, Some("x")), change(Some("x")));
        assert_eq!(look(&[], None), [], "what fires no more is resolved, which is told itself");
        assert_eq!(look(&alerts, Some("x")), change(Some("x")));
    }
}
