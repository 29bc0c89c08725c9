//! What was left to the collector that leads, as far as it is not known that it was told. Plain data.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::dispatch::{ALERTS_MAX, GroupId, Notification};
use super::queue::TRIED_MAX;
use super::told::AlreadyTold;

/// When it is not known what was told, what became due in this time is told by the one that takes
/// over: the one before it may have ended in between.
const TAKEN_OVER: Duration = Duration::from_secs(120);

/// One notification a group.
#[derive(Debug, Default)]
pub(super) struct Followed(BTreeMap<GroupId, Notification>);

impl Followed {
    /// As it was kept.
    pub(super) fn with(kept: impl Iterator<Item = Notification>) -> Self {
        let mut followed = Self::default();
        kept.for_each(|notification| followed.put(notification));
        followed
    }

    /// All of it, to be kept.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Notification> {
        self.0.values()
    }

    /// Leaves one to the collector that leads.
    pub(super) fn put(&mut self, notification: Notification) {
        let id = notification.group.clone();
        let notification = match self.0.remove(&id) {
            Some(older) => notification.after(older),
            None => notification,
        };
        self.0.insert(id, notification);
    }

    /// Lets go of what is told, of what is too old to be of use, and of the oldest past a bound.
    pub(super) fn forget(&mut self, told: Option<&AlreadyTold>, now: SystemTime) {
        let is_old = |at: SystemTime| now.duration_since(at).unwrap_or_default() > TRIED_MAX;
        let left = std::mem::take(&mut self.0).into_values().filter(|it| !is_old(it.at));
        let left = left.filter_map(|it| match told {
            Some(told) => told.rest(it),
            None => Some(it),
        });
        self.0 = left.map(|it| (it.group.clone(), it)).collect();
        let mut alerts: usize = self.0.values().map(|it| it.alerts.len()).sum();
        while alerts > ALERTS_MAX {
            let oldest = self.0.values().min_by_key(|it| it.at).map(|it| it.group.clone());
            let Some(removed) = oldest.and_then(|id| self.0.remove(&id)) else { return };
            alerts -= removed.alerts.len();
        }
    }

    /// What is to be told by one that takes over.
    pub(super) fn take_over(
        &mut self,
        told: Option<&AlreadyTold>,
        now: SystemTime,
    ) -> Vec<Notification> {
        self.forget(told, now);
        let all = std::mem::take(&mut self.0).into_values();
        let age = |at: SystemTime| now.duration_since(at).unwrap_or_default();
        all.filter(|it| told.is_some() || age(it.at) <= TAKEN_OVER).collect()
    }
}
