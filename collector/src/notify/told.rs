//! What receivers were told already, by whichever collector: the history knows. One that takes over
//! tells the rest. Plain data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::dispatch::{GroupId, Notification};
use super::{Alert, Fingerprint, Status};

/// Whether this collector sends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lead {
    /// Whether it does.
    pub(crate) leads: bool,
    /// What was told before; none where that can't be known.
    pub(crate) told: Option<Arc<AlreadyTold>>,
}

/// The last that receivers were told of each alert of each group.
#[derive(Clone, Debug, Default)]
pub(crate) struct AlreadyTold(BTreeMap<GroupId, BTreeMap<Fingerprint, Last>>);

/// The last that a receiver was told of an alert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    /// That it fires, or that it is over.
    pub(crate) status: Status,
    /// When.
    pub(crate) at: SystemTime,
    /// When the alert was over last, told or not.
    pub(crate) ended: Option<SystemTime>,
}

impl Last {
    fn tells(&self, alert: &Alert) -> bool {
        let is_over_since = self.ended.is_some_and(|ended| ended > self.at);
        match alert.status() {
            Status::Firing => self.status == Status::Firing && !is_over_since,
            Status::Resolved => self.status == Status::Resolved,
        }
    }
}

impl AlreadyTold {
    /// A receiver was told of an alert in a notification of a group.
    pub(crate) fn add(&mut self, (receiver, key): (String, String), of: Fingerprint, last: Last) {
        self.0.entry(GroupId { receiver, key }).or_default().insert(of, last);
    }

    /// The alert is over: what was told before says nothing of the next time.
    pub(super) fn forget(&mut self, alert: &Alert) {
        if !self.0.is_empty() {
            let fingerprint = alert.fingerprint();
            for of_group in self.0.values_mut() {
                of_group.remove(&fingerprint);
            }
        }
    }

    /// As `rest`, once a group: after that it is known here what was told.
    pub(super) fn take_rest(&mut self, notification: Notification) -> Option<Notification> {
        let group = notification.group.clone();
        let rest = self.rest(notification);
        self.0.remove(&group);
        rest
    }

    /// What of a notification its receiver was not told; none when it was told all.
    pub(super) fn rest(&self, mut notification: Notification) -> Option<Notification> {
        let Some(of_group) = self.0.get(&notification.group) else { return Some(notification) };
        // One that tells the same again, after an interval, is not told by the one before it.
        let since = notification.at.checked_sub(notification.repeat / 2);
        let is_told = |alert: &Alert| {
            let last = of_group.get(&alert.fingerprint());
            last.is_some_and(|last| last.tells(alert) && Some(last.at) >= since)
        };
        if notification.alerts.iter().all(is_told) {
            return None;
        }
        // A message tells of all that fires; what ended, it tells once.
        notification.alerts.retain(|it| it.status() == Status::Firing || !is_told(it));
        Some(notification)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn alert(name: &str, since: u64, end: Option<u64>) -> Alert {
        Alert {
            labels: [("alertname".to_owned(), name.to_owned())].into(),
            annotations: BTreeMap::new(),
            starts_at: at(since),
            ends_at: end.map(at),
            generator_url: String::new(),
        }
    }

    fn notification(alerts: &[Alert], seconds: u64) -> Notification {
        Notification {
            group: GroupId { receiver: "a".into(), key: "k".into() },
            labels: BTreeMap::new(),
            alerts: alerts.to_vec(),
            left_out: 0,
            at: at(seconds),
            repeat: Duration::from_secs(14_400),
        }
    }

    /// What is left of a notification at a time, when the receiver was told so then.
    fn rest(told: &[(&str, Status, u64)], alerts: &[Alert], seconds: u64) -> Option<usize> {
        known(told, None).rest(notification(alerts, seconds)).map(|rest| rest.alerts.len())
    }

    fn known(told: &[(&str, Status, u64)], ended: Option<u64>) -> AlreadyTold {
        let mut known = AlreadyTold::default();
        for (name, status, then) in told {
            let group = ("a".to_owned(), "k".to_owned());
            let last = Last { status: *status, at: at(*then), ended: ended.map(at) };
            known.add(group, alert(name, 0, None).fingerprint(), last);
        }
        known
    }

    #[test]
    fn what_was_told_is_not_told_again_and_the_rest_is() {
        let (a, b) = (alert("a", 100_000, None), alert("b", 100_010, None));
        let told = [("a", Status::Firing, 100_002)];
        assert_eq!(rest(&told, std::slice::from_ref(&a), 100_290), None, "at another's pace");
        assert_eq!(rest(&[], std::slice::from_ref(&a), 100_290), Some(1));
        assert_eq!(rest(&told, &[a.clone(), b.clone()], 100_300), Some(2), "all that fires");
        let over = alert("a", 100_000, Some(100_200));
        assert_eq!(rest(&told, std::slice::from_ref(&over), 100_300), Some(1));
        let told = [("a", Status::Resolved, 100_202)];
        assert_eq!(rest(&told, &[b, over.clone()], 100_300), Some(1), "its end once");
        assert_eq!(rest(&told, &[over], 100_300), None);
    }

    #[test]
    fn what_was_told_of_another_time_that_it_fired_does_not_count() {
        let a = alert("a", 100_000, None);
        let told = [("a", Status::Firing, 100_002)];
        let due = || notification(std::slice::from_ref(&a), 100_602);
        assert!(known(&told, Some(99_000)).rest(due()).is_none());
        assert!(known(&told, Some(100_300)).rest(due()).is_some(), "it was over in between");
        let mut seen = known(&told, None);
        seen.forget(&alert("a", 100_000, Some(100_300)));
        assert!(seen.rest(due()).is_some(), "as seen here");
        assert_eq!(rest(&told, &[a], 114_500), Some(1), "it is due to be told again");
    }

    #[test]
    fn of_each_group_it_is_asked_once() {
        let a = alert("a", 100_000, None);
        let mut known = known(&[("a", Status::Firing, 100_002)], None);
        assert!(known.take_rest(notification(std::slice::from_ref(&a), 100_010)).is_none());
        assert!(known.take_rest(notification(&[a], 100_020)).is_some());
    }
}
