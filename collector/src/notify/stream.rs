//! What Alertmanager is told, as Prometheus does it: each alert when it changes and once a minute as
//! long as it fires, and for a quarter of an hour after. Groups, times and silences are its own
//! affair. Plain data.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::{Alert, Fingerprint, Status};

/// For so long it is told that an alert is resolved.
const RESOLVED_TOLD: Duration = Duration::from_secs(900);
/// Alerts of one request.
const BATCH_MAX: usize = 64;
/// After a failure, doubled up to the time after which all is sent again anyway.
const PAUSE_MIN: Duration = Duration::from_secs(2);

/// What one receiver of this kind is told.
#[derive(Debug, Default)]
pub(super) struct Stream {
    alerts: BTreeMap<Fingerprint, Alert>,
    told: BTreeMap<Fingerprint, Told>,
    not_before: Option<SystemTime>,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: SystemTime,
    status: Status,
    since: SystemTime,
}

impl Stream {
    /// Takes all that this receiver is to know.
    pub(super) fn update(&mut self, alerts: impl Iterator<Item = Alert>, now: SystemTime) {
        let mut resolved = BTreeMap::new();
        self.alerts.clear();
        for alert in alerts {
            match alert.ends_at {
                None => {
                    self.alerts.insert(alert.fingerprint(), alert);
                }
                Some(end) if now.duration_since(end).unwrap_or_default() <= RESOLVED_TOLD => {
                    resolved.insert(alert.fingerprint(), alert);
                }
                Some(_) => {}
            }
        }
        for (fingerprint, alert) in resolved {
            self.alerts.entry(fingerprint).or_insert(alert);
        }
        self.told.retain(|fingerprint, _| self.alerts.contains_key(fingerprint));
    }

    /// The next batch to send.
    pub(super) fn take(&self, now: SystemTime, resend: Duration) -> Vec<Alert> {
        if self.not_before.is_some_and(|time| time > now) {
            return Vec::new();
        }
        let due =
            self.alerts.iter().filter(|(id, alert)| self.next(id, alert, resend) <= Some(now));
        due.take(BATCH_MAX).map(|(_, alert)| alert.clone()).collect()
    }

    /// When it is to be told of an alert; at once when it knows another state.
    fn next(&self, id: &Fingerprint, alert: &Alert, resend: Duration) -> Option<SystemTime> {
        let told = self.told.get(id)?;
        let is_known = told.status == alert.status() && told.since == alert.starts_at;
        is_known.then(|| told.at + resend)
    }

    /// When something is to be sent.
    pub(super) fn due(&self, resend: Duration) -> Option<SystemTime> {
        let next = self.alerts.iter().map(|(id, alert)| self.next(id, alert, resend)).min()?;
        Some(
            next.unwrap_or(SystemTime::UNIX_EPOCH)
                .max(self.not_before.unwrap_or(SystemTime::UNIX_EPOCH)),
        )
    }

    /// A batch was taken, or will not be. Returns what the receiver did not know before.
    pub(super) fn told(&mut self, batch: &[Alert], now: SystemTime) -> Vec<(Fingerprint, Status)> {
        (self.not_before, self.failures) = (None, 0);
        let mut changed = Vec::new();
        for alert in batch {
            let (id, status) = (alert.fingerprint(), alert.status());
            let told = Told { at: now, status, since: alert.starts_at };
            let before = self.told.insert(id, told);
            if before.is_none_or(|before| before.status != status) {
                changed.push((id, status));
            }
        }
        changed
    }

    /// A batch was not taken: it comes again, with what changed meanwhile.
    pub(super) fn failed(&mut self, asked: Option<Duration>, now: SystemTime, resend: Duration) {
        self.failures += 1;
        let pause = PAUSE_MIN.saturating_mul(1 << (self.failures - 1).min(16));
        self.not_before = Some(now + asked.unwrap_or(pause).min(resend));
    }

    /// How many alerts it is not told of that it should be.
    pub(super) fn waiting(&self) -> u64 {
        let unknown = self.alerts.iter().filter(|(id, alert)| {
            self.told.get(id).is_none_or(|told| told.status != alert.status())
        });
        unknown.count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    const RESEND: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn alert(name: &str, end: Option<u64>) -> Alert {
        Alert {
            labels: [("alertname".to_owned(), name.to_owned())].into(),
            annotations: BTreeMap::new(),
            starts_at: at(1),
            ends_at: end.map(at),
            generator_url: String::new(),
        }
    }

    #[test]
    fn what_fires_is_told_at_once_and_every_minute_and_its_end_for_a_quarter_of_an_hour() {
        let mut stream = Stream::default();
        let mut told = Vec::new();
        for second in 0..2_000 {
            let end = (second >= 100).then_some(100);
            stream.update([alert("a", end)].into_iter(), at(second));
            let batch = stream.take(at(second), RESEND);
            if !batch.is_empty() {
                told.push((second, stream.told(&batch, at(second)).len(), batch[0].status()));
            }
        }
        assert_eq!(
            told[..3],
            [(0, 1, Status::Firing), (60, 0, Status::Firing), (100, 1, Status::Resolved)]
        );
        assert_eq!(told.last().map(|it| it.0), Some(1_000));
        assert_eq!(told.len(), 3 + 15);
    }

    #[test]
    fn batches_are_bounded_and_a_failure_comes_again_soon() {
        let mut stream = Stream::default();
        stream.update((0..100).map(|n| alert(&n.to_string(), None)), at(0));
        assert_eq!((stream.due(RESEND), stream.waiting()), (Some(UNIX_EPOCH), 100));
        stream.failed(None, at(0), RESEND);
        assert_eq!(stream.take(at(1), RESEND), []);
        assert_eq!(stream.due(RESEND), Some(at(2)));
        let first = stream.take(at(2), RESEND);
        assert_eq!(first.len(), BATCH_MAX);
        assert_eq!(stream.told(&first, at(2)).len(), BATCH_MAX);
        assert_eq!(stream.take(at(2), RESEND).len(), 36);
        stream.failed(Some(Duration::from_secs(9_999)), at(2), RESEND);
        assert_eq!(stream.due(RESEND), Some(at(62)), "no longer than all is sent again");
    }
}
