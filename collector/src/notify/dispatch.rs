//! What is sent to whom and when: a pure state machine of what fires, routes and times.
//!
//! As in Alertmanager, a route puts alerts that have some labels in common into a group. A group
//! waits a little for others to join, then tells its receiver; again when something changed, but not
//! sooner than an interval after the last time; and again when nothing did, after a longer one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::route::{Route, Times};
use super::window::Window;
use super::{Alert, Fingerprint, Status};

/// Alerts of all groups. What is past it is counted.
pub(super) const ALERTS_MAX: usize = 5_000;
/// Alerts of one notification; the rest is told as a number.
const TOLD_MAX: usize = 500;
/// For so long an alert may be missing before it is taken for resolved: a collector that starts
/// evaluates its rules one after the other.
const MISSING_MAX: Duration = Duration::from_secs(300);

/// Identity of a group at a receiver.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct GroupId {
    pub(super) receiver: String,
    pub(super) key: String,
}

/// What a receiver is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notification {
    pub(super) group: GroupId,
    /// What all of its alerts have in common by the route.
    pub(super) labels: BTreeMap<String, String>,
    /// Those that fire, then those that are resolved, each the oldest first.
    pub(super) alerts: Vec<Alert>,
    /// Alerts that there was no room for.
    pub(super) left_out: usize,
    /// When it was decided.
    pub(super) at: SystemTime,
    /// After so long its receiver is told the same again.
    #[serde(default)]
    pub(super) repeat: Duration,
}

impl Notification {
    /// Firing as long as one alert is.
    pub(super) fn status(&self) -> Status {
        let fires = self.alerts.iter().any(|alert| alert.status() == Status::Firing);
        if fires { Status::Firing } else { Status::Resolved }
    }

    /// It, in place of one of its group that its receiver was not told: with the ends of which that
    /// one told and this one does not.
    pub(super) fn after(mut self, older: Self) -> Self {
        let known: BTreeSet<Fingerprint> = self.alerts.iter().map(Alert::fingerprint).collect();
        let ends = older.alerts.into_iter().filter(|alert| {
            alert.status() == Status::Resolved && !known.contains(&alert.fingerprint())
        });
        self.alerts.extend(ends);
        self.left_out += self.alerts.len().saturating_sub(TOLD_MAX);
        self.alerts.truncate(TOLD_MAX);
        self
    }

    /// Those that fire.
    pub(super) fn firing(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().filter(|alert| alert.status() == Status::Firing)
    }
}

/// Alerts that are told of together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Group {
    id: GroupId,
    labels: BTreeMap<String, String>,
    times: Times,
    alerts: BTreeMap<Fingerprint, Member>,
    /// When it is looked at next.
    next: SystemTime,
    told: Option<Told>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    alert: Alert,
    /// Since when it is neither among what fires nor among what was resolved.
    #[serde(skip)]
    missing: Option<SystemTime>,
}

/// What the receiver knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Told {
    at: SystemTime,
    firing: BTreeSet<Fingerprint>,
}

/// Who is told, and when not: what the configuration says.
pub(super) struct Rules<'a> {
    pub(super) route: &'a Route,
    pub(super) windows: &'a [Window],
    /// Receivers that keep groups of their own, as Alertmanager does.
    pub(super) groups_itself: &'a BTreeSet<String>,
    /// Receivers that are not told when an alert is over.
    pub(super) wants_no_end: &'a BTreeSet<String>,
}

impl Rules<'_> {
    /// Whether the alert is sent to nobody.
    pub(super) fn mutes(&self, alert: &Alert, now: SystemTime) -> bool {
        self.windows.iter().any(|window| window.mutes(&alert.labels, now))
    }
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    groups: BTreeMap<GroupId, Group>,
    members: usize,
}

impl Dispatch {
    /// Goes on with groups of an earlier run; those of receivers that are gone are left behind.
    pub(super) fn with(groups: Vec<Group>, is_known: impl Fn(&str) -> bool) -> Self {
        let groups = groups.into_iter().filter(|group| is_known(&group.id.receiver));
        let groups: BTreeMap<_, _> = groups.map(|group| (group.id.clone(), group)).collect();
        let members = groups.values().map(|group| group.alerts.len()).sum();
        Self { groups, members }
    }

    /// All of it, to be kept.
    pub(super) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// Takes all that fires and what was resolved lately. Tells how many alerts there was no room
    /// for.
    pub(super) fn update(&mut self, rules: &Rules<'_>, alerts: &[Alert], now: SystemTime) -> u64 {
        let mut seen: BTreeMap<GroupId, BTreeSet<Fingerprint>> = BTreeMap::new();
        let mut left_out = 0;
        // What fires comes last: it counts if the same alert is also among what was resolved.
        let resolved = alerts.iter().filter(|alert| alert.status() == Status::Resolved);
        let firing = alerts.iter().filter(|alert| alert.status() == Status::Firing);
        for alert in resolved.chain(firing) {
            for route in rules.route.of(&alert.labels) {
                let is_for_machines = route.takes_everything() && alert.is_for_machines();
                if is_for_machines || rules.groups_itself.contains(&route.receiver) {
                    continue;
                }
                let labels = route.group_labels(&alert.labels);
                let id =
                    GroupId { receiver: route.receiver.clone(), key: route.group_key(&labels) };
                seen.entry(id.clone()).or_default().insert(alert.fingerprint());
                left_out += u64::from(!self.take(id, labels, route.times, alert, now));
            }
        }
        for group in self.groups.values_mut() {
            let of_group = seen.get(&group.id);
            for (fingerprint, member) in &mut group.alerts {
                member.look(of_group.is_some_and(|seen| seen.contains(fingerprint)), now);
            }
        }
        left_out
    }

    /// False when there is no room for it.
    fn take(
        &mut self,
        id: GroupId,
        labels: BTreeMap<String, String>,
        times: Times,
        alert: &Alert,
        now: SystemTime,
    ) -> bool {
        let fingerprint = alert.fingerprint();
        let group = self.groups.get_mut(&id);
        let is_member = group.as_ref().is_some_and(|it| it.alerts.contains_key(&fingerprint));
        if !is_member {
            if alert.status() == Status::Resolved {
                // Nobody was told that it fired.
                return true;
            }
            if self.members >= ALERTS_MAX {
                return false;
            }
            self.members += 1;
        }
        let member = Member { alert: alert.clone().bounded(), missing: None };
        let group = match group {
            Some(group) => group,
            None => self.groups.entry(id.clone()).or_insert(Group {
                id,
                labels,
                times,
                alerts: BTreeMap::new(),
                next: now + times.wait,
                told: None,
            }),
        };
        group.times = times;
        group.alerts.insert(fingerprint, member);
        true
    }

    /// When the next group is to be looked at.
    pub(super) fn due(&self) -> Option<SystemTime> {
        self.groups.values().map(|group| group.next).min()
    }

    /// What is to be sent at this time.
    pub(super) fn flush(&mut self, rules: &Rules<'_>, now: SystemTime) -> Vec<Notification> {
        let mut out = Vec::new();
        for group in self.groups.values_mut() {
            // A clock that was set back must not silence a group for as long.
            group.next = group.next.min(now + group.times.interval.max(group.times.wait));
            if group.next <= now {
                out.extend(group.flush(rules, now));
            }
        }
        self.groups.retain(|_, group| !group.alerts.is_empty());
        self.members = self.groups.values().map(|group| group.alerts.len()).sum();
        out
    }
}

impl Member {
    /// Whether it was seen: if not for long, it is over.
    fn look(&mut self, is_seen: bool, now: SystemTime) {
        if is_seen || self.alert.status() == Status::Resolved {
            self.missing = None;
            return;
        }
        let since = *self.missing.get_or_insert(now);
        if now.duration_since(since).is_ok_and(|missing| missing >= MISSING_MAX) {
            self.alert.ends_at = Some(now);
        }
    }
}

impl Group {
    fn flush(&mut self, rules: &Rules<'_>, now: SystemTime) -> Option<Notification> {
        self.next = now + self.times.interval;
        let nothing = BTreeSet::new();
        let known = self.told.as_ref().map_or(&nothing, |told| &told.firing);
        let mut firing = Vec::new();
        let mut over = Vec::new();
        let mut still_known = BTreeSet::new();
        for (fingerprint, member) in &self.alerts {
            let was_told = known.contains(fingerprint);
            match member.alert.status() {
                // Who was told that it fires is told that it is over, silenced or not.
                Status::Resolved if was_told => over.push(&member.alert),
                Status::Resolved => {}
                Status::Firing if rules.mutes(&member.alert, now) => {
                    still_known.extend(was_told.then_some(*fingerprint));
                }
                Status::Firing => {
                    firing.push((!was_told, &member.alert));
                    still_known.insert(*fingerprint);
                }
            }
        }
        let is_fresh = firing.iter().any(|(fresh, _)| *fresh);
        let is_repeat = !firing.is_empty()
            && self.told.as_ref().is_some_and(|told| {
                // Of a time to come nothing is known: the clock was set back.
                now.duration_since(told.at).map_or(true, |since| since >= self.times.repeat)
            });
        if rules.wants_no_end.contains(&self.id.receiver) {
            over.clear();
        }
        let mut notification = None;
        if is_fresh || is_repeat || !over.is_empty() {
            let firing: Vec<&Alert> = firing.into_iter().map(|(_, alert)| alert).collect();
            notification = Some(self.notification(firing, over, now));
            self.told = Some(Told { at: now, firing: still_known });
        } else if let Some(told) = &mut self.told {
            told.firing = still_known;
        }
        self.alerts.retain(|_, member| member.alert.status() == Status::Firing);
        notification
    }

    fn notification(
        &self,
        mut firing: Vec<&Alert>,
        mut over: Vec<&Alert>,
        now: SystemTime,
    ) -> Notification {
        firing.sort_by_key(|alert| alert.starts_at);
        over.sort_by_key(|alert| alert.starts_at);
        let all = firing.len() + over.len();
        let alerts: Vec<Alert> = firing.into_iter().chain(over).take(TOLD_MAX).cloned().collect();
        Notification {
            group: self.id.clone(),
            labels: self.labels.clone(),
            left_out: all - alerts.len(),
            alerts,
            at: now,
            repeat: self.times.repeat,
        }
    }
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
