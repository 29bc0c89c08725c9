//! Notifications that wait for their receivers. Plain data: what is tried when.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::dispatch::{GroupId, Notification};
use super::told::AlreadyTold;
use super::{Alert, Status};

/// Between two tries: doubled from one to the next.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// A receiver that asks for a longer pause is tried again after this: a page may wait for it.
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(900);
/// For so long a notification is tried.
pub(super) const TRIED_MAX: Duration = Duration::from_secs(86_400);

/// A notification that waits.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Waiting {
    pub(super) notification: Notification,
    pub(super) tries: u32,
    next: SystemTime,
    #[serde(skip)]
    under_way: bool,
}

/// One notification a group at most: what is decided later says all that was to be said before it.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<GroupId, Waiting>,
    /// Receivers that asked for a pause, or do not answer.
    paused: BTreeMap<String, Paused>,
}

#[derive(Debug)]
struct Paused {
    until: SystemTime,
    failures: u32,
}

/// What a try came to, as far as it decides when there is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// It concerns this notification: the rest of the receiver's goes on.
    Notification,
    /// The receiver asked for a pause, or can't be reached: all of its wait.
    Receiver(Option<Duration>),
}

impl Queue {
    /// Goes on with what an earlier run left.
    pub(super) fn with(waiting: Vec<Waiting>, is_known: impl Fn(&str) -> bool) -> Self {
        let known = waiting.into_iter().filter(|it| is_known(&it.notification.group.receiver));
        let waiting = known.map(|it| (it.notification.group.clone(), it)).collect();
        Self { waiting, paused: BTreeMap::new() }
    }

    /// All of it, to be kept.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.values()
    }

    /// Adds a notification, in place of one of its group that was not sent.
    pub(super) fn put(&mut self, notification: Notification) {
        let id = notification.group.clone();
        let waiting = match self.waiting.remove(&id) {
            // The receiver is not tried more often because there is more to say.
            Some(older) => {
                Waiting { notification: notification.after(older.notification), ..older }
            }
            None => {
                let next = notification.at;
                Waiting { notification, tries: 0, next, under_way: false }
            }
        };
        self.waiting.insert(id, waiting);
    }

    /// Takes the place of one of its group that waits, if there is one.
    pub(super) fn refresh(&mut self, notification: &Notification) {
        if self.waiting.contains_key(&notification.group) {
            self.put(notification.clone());
        }
    }

    /// Leaves out what another collector told meanwhile.
    pub(super) fn forget(&mut self, told: &AlreadyTold) {
        let all = std::mem::take(&mut self.waiting);
        let rest = all.into_iter().filter_map(|(id, waiting)| {
            let notification = match waiting.under_way {
                true => waiting.notification,
                false => told.rest(waiting.notification)?,
            };
            Some((id, Waiting { notification, ..waiting }))
        });
        self.waiting = rest.collect();
    }

    /// The next of a receiver to send, if it is time; it is then under way.
    pub(super) fn take(&mut self, receiver: &str, now: SystemTime) -> Option<Notification> {
        if self.paused.get(receiver).is_some_and(|paused| paused.until > now) {
            return None;
        }
        let of_receiver = self.waiting.values_mut().filter(|it| {
            it.notification.group.receiver == receiver && !it.under_way && it.next <= now
        });
        let next = of_receiver.min_by_key(|it| (it.next, it.notification.at))?;
        next.under_way = true;
        next.tries += 1;
        Some(next.notification.clone())
    }

    /// It was taken or refused. Tells how often it was tried.
    pub(super) fn ended(&mut self, sent: &Notification) -> u32 {
        self.paused.remove(&sent.group.receiver);
        let Some(waiting) = self.waiting.get_mut(&sent.group) else { return 0 };
        let tries = waiting.tries;
        if waiting.notification.at == sent.at {
            self.waiting.remove(&sent.group);
        } else {
            // Another was decided meanwhile, which need not tell again what ended.
            let ended = |it: &&Alert| it.status() == Status::Resolved && sent.alerts.contains(it);
            waiting.notification.alerts.retain(|alert| !ended(&alert));
            (waiting.under_way, waiting.tries, waiting.next) = (false, 0, sent.at);
        }
        tries
    }

    /// It is to be tried again. `jitter` is between 0 and 1.
    pub(super) fn again(
        &mut self,
        sent: &Notification,
        retry: &Retry,
        now: SystemTime,
        jitter: f64,
    ) {
        let Some(waiting) = self.waiting.get_mut(&sent.group) else { return };
        waiting.under_way = false;
        waiting.next = now + pause(waiting.tries, jitter);
        match retry {
            Retry::Notification => {
                self.paused.remove(&sent.group.receiver);
            }
            Retry::Receiver(asked) => {
                let receiver = sent.group.receiver.clone();
                let paused =
                    self.paused.entry(receiver).or_insert(Paused { until: now, failures: 0 });
                paused.failures += 1;
                let wait = asked.map(|asked| asked.min(ASKED_PAUSE_MAX));
                paused.until = now + wait.unwrap_or_else(|| pause(paused.failures, jitter));
                waiting.next = paused.until;
            }
        }
    }

    /// Takes out what was tried for too long.
    pub(super) fn given_up(&mut self, now: SystemTime) -> Vec<Waiting> {
        let old = |it: &Waiting| {
            let age = now.duration_since(it.notification.at).unwrap_or_default();
            !it.under_way && age > TRIED_MAX
        };
        let ids: Vec<GroupId> =
            self.waiting.iter().filter(|(_, it)| old(it)).map(|(id, _)| id.clone()).collect();
        ids.iter().filter_map(|id| self.waiting.remove(id)).collect()
    }

    /// When something may be sent to the receiver, or given up.
    pub(super) fn due(&self, receiver: &str) -> Option<SystemTime> {
        let of_receiver = self.of(receiver).filter(|it| !it.under_way);
        let next = of_receiver.map(|it| it.next).min()?;
        Some(self.paused.get(receiver).map_or(next, |paused| next.max(paused.until)))
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait for a receiver, and since when.
    pub(super) fn length(&self, receiver: &str) -> (u64, Option<SystemTime>) {
        let count = self.of(receiver).count() as u64;
        (count, self.of(receiver).map(|it| it.notification.at).min())
    }

    fn of<'a>(&'a self, receiver: &'a str) -> impl Iterator<Item = &'a Waiting> {
        self.waiting.values().filter(move |it| it.notification.group.receiver == receiver)
    }
}

/// Doubled from try to try, and spread so that many that failed together do not come together.
fn pause(tries: u32, jitter: f64) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(16));
    doubled.min(PAUSE_MAX).mul_f64(0.75 + jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn notification(key: &str, seconds: u64) -> Notification {
        Notification {
            group: GroupId { receiver: "a".into(), key: key.into() },
            labels: BTreeMap::new(),
            alerts: Vec::new(),
            left_out: 0,
            at: at(seconds),
            repeat: Duration::ZERO,
        }
    }

    #[test]
    fn the_oldest_is_sent_first_and_once() {
        let mut queue = Queue::default();
        queue.put(notification("y", 1));
        queue.put(notification("x", 2));
        let first = queue.take("a", at(5)).unwrap();
        assert_eq!(first.group.key, "y");
        assert_eq!(queue.take("a", at(5)).unwrap().group.key, "x");
        assert_eq!(queue.take("a", at(5)), None);
        assert_eq!(queue.ended(&first), 1);
        assert_eq!(queue.length("a"), (1, Some(at(2))));
    }

    #[test]
    fn what_is_decided_later_takes_the_place_of_what_was_not_sent() {
        let mut queue = Queue::default();
        queue.put(notification("x", 1));
        let older = queue.take("a", at(1)).unwrap();
        queue.put(notification("x", 2));
        assert_eq!(queue.take("a", at(2)), None, "one of a group at a time");
        queue.ended(&older);
        assert_eq!(queue.take("a", at(2)).unwrap().at, at(2));
        // It failed, and what came meanwhile waits for as long.
        let newer = notification("x", 2);
        queue.again(&newer, &Retry::Notification, at(10), 0.5);
        queue.put(notification("x", 11));
        assert_eq!(queue.take("a", at(10)), None);
        assert_eq!(queue.take("a", at(11)).unwrap().at, at(11));
    }

    #[test]
    fn an_end_that_was_not_told_is_told_with_what_comes_after_it() {
        let alert = |name: &str, end: Option<u64>| Alert {
            labels: [("alertname".to_owned(), name.to_owned())].into(),
            annotations: BTreeMap::new(),
            starts_at: at(0),
            ends_at: end.map(at),
            generator_url: String::new(),
        };
        let of = |alerts: &[Alert], seconds| Notification {
            alerts: alerts.to_vec(),
            ..notification("x", seconds)
        };
        let mut queue = Queue::default();
        queue.put(of(&[alert("a", Some(1))], 1));
        let first = queue.take("a", at(1)).unwrap();
        queue.put(of(&[alert("b", None)], 2));
        queue.again(&first, &Retry::Notification, at(2), 0.5);
        let second = queue.take("a", at(9)).unwrap();
        assert_eq!(second.alerts, [alert("b", None), alert("a", Some(1))]);
        // This one is taken, while another waits.
        queue.put(of(&[alert("b", None), alert("c", None)], 10));
        queue.ended(&second);
        let third = queue.take("a", at(11)).unwrap();
        assert_eq!(third.alerts, [alert("b", None), alert("c", None)]);
        // What fires again is not over.
        queue.put(of(&[alert("c", Some(12))], 12));
        queue.put(of(&[alert("c", None)], 13));
        assert_eq!(queue.waiting().next().unwrap().notification.alerts, [alert("c", None)]);
    }

    #[test]
    fn pauses_grow_to_a_bound_and_a_receiver_is_obeyed_within_one() {
        let mut queue = Queue::default();
        queue.put(notification("x", 0));
        queue.put(notification("y", 0));
        let sent = queue.take("a", at(0)).unwrap();
        queue.again(&sent, &Retry::Receiver(Some(Duration::from_secs(60))), at(0), 0.0);
        assert_eq!(queue.due("a"), Some(at(60)));
        assert_eq!(queue.take("a", at(59)), None, "the other one waits too");
        assert!(queue.take("a", at(60)).is_some());
        let asked = Duration::from_secs(1 << 40);
        queue.again(&sent, &Retry::Receiver(Some(asked)), at(100), 0.0);
        assert_eq!(queue.due("a"), Some(at(1_000)));
        assert_eq!(pause(1, 0.5), Duration::from_secs(1));
        assert_eq!(pause(4, 0.5), Duration::from_secs(8));
        assert_eq!(pause(u32::MAX, 1.0), Duration::from_secs(375));
    }

    #[test]
    fn what_is_a_day_old_is_given_up() {
        let mut queue = Queue::default();
        queue.put(notification("x", 0));
        queue.put(notification("y", 90_000));
        assert!(queue.given_up(at(86_400)).is_empty());
        assert_eq!(queue.given_up(at(86_401)).len(), 1);
        assert_eq!(queue.length("a").0, 1);
    }
}
