//! The task that has time and a network: it asks `dispatch` what is to be sent, keeps that on disk,
//! and has it sent, each receiver apart from all others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use super::dispatch::{Dispatch, Notification, Rules};
use super::followed::Followed;
use super::queue::{Queue, Retry};
use super::send::{Delivery, Sender, alertmanager};
use super::settings::{Settings, Way};
use super::state::{self, StateFile};
use super::stream::Stream;
use super::told::{AlreadyTold, Lead};
use super::{Alert, Counters, Outcome, Sent, Status, Update};

/// At least so often it looks whether something is due: clocks are set.
const LOOK: Duration = Duration::from_secs(30);
/// Between two looks at what waits.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);
/// That a notification was sent is on disk at most so much later.
const WRITE_INTERVAL: Duration = Duration::from_millis(500);

/// What a try came to.
enum Tried {
    /// Of a notification.
    Notification { notification: Box<Notification>, delivery: Delivery },
    /// Of a batch for Alertmanager.
    Batch { receiver: usize, alerts: Vec<Alert>, delivery: Delivery },
}

pub(super) struct Courier {
    settings: Settings,
    senders: Vec<Arc<Sender>>,
    groups_itself: BTreeSet<String>,
    wants_no_end: BTreeSet<String>,
    dispatch: Dispatch,
    queue: Queue,
    streams: BTreeMap<usize, Stream>,
    /// What was left to the one that leads.
    followed: Followed,
    /// What was told before this one took over.
    told: AlreadyTold,
    leads: bool,
    file: StateFile,
    unwritten: Option<SystemTime>,
    sent: mpsc::Sender<Sent>,
    counters: Counters,
    counted: SystemTime,
    under_way: BTreeMap<usize, usize>,
    not_before: BTreeMap<usize, SystemTime>,
    tries: JoinSet<Tried>,
}

impl Courier {
    pub(super) fn new(
        settings: Settings,
        senders: Vec<Sender>,
        (file, kept): (StateFile, state::Kept),
        sent: mpsc::Sender<Sent>,
        counters: Counters,
    ) -> Self {
        let names = |is: fn(&Sender) -> bool| -> BTreeSet<String> {
            let some = senders.iter().filter(|sender| is(sender));
            some.map(|sender| sender.receiver.name.clone()).collect()
        };
        let groups_itself = names(|it| matches!(it.receiver.way, Way::Alertmanager(_)));
        let wants_no_end = names(|it| !it.receiver.send_resolved);
        let is_known = |name: &str| {
            !groups_itself.contains(name) && senders.iter().any(|it| it.receiver.name == name)
        };
        let dispatch = Dispatch::with(kept.groups, is_known);
        let queue = Queue::with(kept.waiting, is_known);
        // Who leads is not known yet: it may have been this one that did not come to send them.
        let followed = kept.followed.into_iter().filter(|it| is_known(&it.group.receiver));
        let followed = Followed::with(followed);
        let indices = senders.iter().enumerate();
        let streams = indices
            .filter(|(_, it)| groups_itself.contains(&it.receiver.name))
            .map(|(index, _)| (index, Stream::default()))
            .collect();
        Self {
            settings,
            groups_itself,
            wants_no_end,
            dispatch,
            queue,
            streams,
            senders: senders.into_iter().map(Arc::new).collect(),
            followed,
            told: AlreadyTold::default(),
            leads: false,
            file,
            unwritten: None,
            sent,
            counters,
            counted: SystemTime::UNIX_EPOCH,
            under_way: BTreeMap::new(),
            not_before: BTreeMap::new(),
            tries: JoinSet::new(),
        }
    }

    /// Runs until nobody is left to tell it what fires.
    pub(super) async fn run(
        mut self,
        mut updates: watch::Receiver<Option<Update>>,
        mut lead: watch::Receiver<Lead>,
    ) {
        let mut is_settled = false;
        loop {
            let now = SystemTime::now();
            let Lead { leads, told } = lead.borrow_and_update().clone();
            self.lead(leads, told.as_deref(), now);
            self.decide(now);
            self.write(now).await;
            if self.leads {
                self.start(now);
            }
            let pause = self.pause(now);
            tokio::select! {
                changed = updates.changed() => match changed {
                    Ok(()) => {
                        let update = updates.borrow_and_update().clone();
                        if let Some((alerts, now)) = update {
                            self.update(&alerts, now);
                        }
                    }
                    Err(_nobody) => break,
                },
                Some(tried) = self.tries.join_next() => self.settle_joined(tried),
                // Whoever says who leads may end before the rest.
                changed = lead.changed(), if !is_settled => is_settled = changed.is_err(),
                () = sleep(pause) => {}
            }
        }
        // What is sent meanwhile is noted one by one: this may be cut off.
        loop {
            self.unwritten = Some(SystemTime::UNIX_EPOCH);
            self.write(SystemTime::now()).await;
            let Some(tried) = self.tries.join_next().await else { break };
            self.settle_joined(tried);
        }
    }

    /// Takes over, or leaves it to another.
    fn lead(&mut self, leads: bool, told: Option<&AlreadyTold>, now: SystemTime) {
        match (leads, self.leads) {
            (true, false) => {
                // What it could not send while it led before may be told meanwhile.
                told.into_iter().for_each(|told| self.queue.forget(told));
                for notification in self.followed.take_over(told, now) {
                    self.queue.put(notification);
                }
                self.told = told.cloned().unwrap_or_default();
                self.unwritten = Some(SystemTime::UNIX_EPOCH);
            }
            (true, true) => {}
            (false, _) => self.followed.forget(told, now),
        }
        self.leads = leads;
    }

    fn update(&mut self, alerts: &[Alert], now: SystemTime) {
        let Self { settings, groups_itself, wants_no_end, dispatch, .. } = self;
        let Some(route) = &settings.route else { return };
        let windows = &settings.windows;
        let rules = Rules { route, windows, groups_itself, wants_no_end };
        let over = alerts.iter().filter(|alert| alert.status() == Status::Resolved);
        over.for_each(|alert| self.told.forget(alert));
        let left_out = dispatch.update(&rules, alerts, now);
        self.counters.left_out(left_out);
        let firing = alerts.iter().filter(|alert| alert.status() == Status::Firing);
        let silenced = firing.clone().filter(|alert| rules.mutes(alert, now)).count();
        self.counters.alerts(firing.count() as u64, silenced as u64);
        for (index, stream) in &mut self.streams {
            let name = &self.senders[*index].receiver.name;
            let told = alerts.iter().filter(|alert| {
                let is_over = alert.status() == Status::Resolved;
                (is_over || !rules.mutes(alert, now))
                    && rules.route.of(&alert.labels).iter().any(|route| route.receiver == *name)
            });
            stream.update(told.cloned(), now);
        }
    }

    /// What is to be sent by groups and times.
    fn decide(&mut self, now: SystemTime) {
        let Self { settings, groups_itself, wants_no_end, dispatch, .. } = self;
        let Some(route) = &settings.route else { return };
        let rules = Rules { route, windows: &settings.windows, groups_itself, wants_no_end };
        for notification in dispatch.flush(&rules, now) {
            // It is on disk before it is sent.
            self.unwritten = Some(SystemTime::UNIX_EPOCH);
            if self.leads {
                // One that begins beside others knows nothing of what they told.
                let rest = self.told.take_rest(notification);
                rest.into_iter().for_each(|notification| self.queue.put(notification));
            } else {
                // What it could not send while it led must not be out of date if it leads again.
                self.queue.refresh(&notification);
                self.followed.put(notification);
            }
        }
        for waiting in self.queue.given_up(now) {
            let (notification, tries) = (waiting.notification, waiting.tries);
            let reason = "no try of a day succeeded".to_owned();
            self.end(&notification, Outcome::Dropped, reason, tries, now);
        }
        self.count(now);
    }

    /// Sets what is on `/metrics`, once a second at most.
    fn count(&mut self, now: SystemTime) {
        let since = now.duration_since(self.counted).unwrap_or(COUNT_INTERVAL);
        if since < COUNT_INTERVAL {
            return;
        }
        self.counted = now;
        for (index, sender) in self.senders.iter().enumerate() {
            let name = &sender.receiver.name;
            let (count, oldest) = match self.streams.get(&index) {
                Some(stream) => (stream.waiting(), None),
                None => self.queue.length(name),
            };
            let age = oldest.and_then(|oldest| now.duration_since(oldest).ok()).unwrap_or_default();
            self.counters.waiting(name, &sender.receiver.way, count, age.as_secs_f64());
        }
    }

    /// Starts what is due.
    fn start(&mut self, now: SystemTime) {
        for (index, sender) in self.senders.iter().enumerate() {
            let under_way = self.under_way.entry(index).or_default();
            while *under_way < sender.side_by_side() {
                if self.not_before.get(&index).is_some_and(|time| *time > now) {
                    break;
                }
                let sender = Arc::clone(sender);
                if let Some(stream) = self.streams.get(&index) {
                    let alerts = stream.take(now, self.settings.resend);
                    if alerts.is_empty() {
                        break;
                    }
                    let (resend, longest) =
                        (self.settings.resend, self.settings.update_interval_max);
                    let end = alertmanager::assumed_end(now, resend, longest);
                    self.tries.spawn(tell(index, sender, alerts, end));
                } else {
                    let name = &sender.receiver.name;
                    let Some(notification) = self.queue.take(name, now) else { break };
                    if !sender.pause().is_zero() {
                        self.not_before.insert(index, now + sender.pause());
                    }
                    self.tries.spawn(async move {
                        let delivery = sender.send(&notification).await;
                        Tried::Notification { notification: Box::new(notification), delivery }
                    });
                }
                *under_way += 1;
            }
        }
    }

    fn settle_joined(&mut self, tried: Result<Tried, tokio::task::JoinError>) {
        match tried {
            Ok(tried) => self.settle(tried, SystemTime::now()),
            // Its notification stays under way and on disk: a restart sends it.
            Err(error) => tracing::error!("a notification failed, a bug in holdup: {error}"),
        }
    }

    fn settle(&mut self, tried: Tried, now: SystemTime) {
        match tried {
            Tried::Batch { receiver, alerts, delivery } => {
                self.one_less_under_way(receiver);
                self.settle_batch(receiver, &alerts, delivery, now);
            }
            Tried::Notification { notification, delivery } => {
                let name = &notification.group.receiver;
                let Some(index) = self.senders.iter().position(|it| it.receiver.name == *name)
                else {
                    return;
                };
                self.one_less_under_way(index);
                self.unwritten.get_or_insert(now + WRITE_INTERVAL);
                let (outcome, detail) = match delivery {
                    Delivery::Taken(text) => (Outcome::Sent, text),
                    Delivery::Refused(text) => (Outcome::Refused, text),
                    Delivery::Again(text, retry) => {
                        let way = &self.senders[index].receiver.way;
                        tracing::warn!("receiver {name} is not told, and tried again: {text}");
                        self.counters.failed(name, way);
                        self.queue.again(&notification, &retry, now, fastrand::f64());
                        return;
                    }
                };
                let tries = self.queue.ended(&notification);
                self.end(&notification, outcome, detail, tries, now);
            }
        }
    }

    fn settle_batch(
        &mut self,
        index: usize,
        alerts: &[Alert],
        delivery: Delivery,
        now: SystemTime,
    ) {
        let receiver = &self.senders[index].receiver;
        let Some(stream) = self.streams.get_mut(&index) else { return };
        let (outcome, detail) = match delivery {
            Delivery::Taken(text) => (Outcome::Sent, text),
            Delivery::Refused(text) => (Outcome::Refused, text),
            Delivery::Again(text, retry) => {
                tracing::warn!("receiver {} is not told, and tried again: {text}", receiver.name);
                self.counters.failed(&receiver.name, &receiver.way);
                let asked = match retry {
                    Retry::Receiver(asked) => asked,
                    Retry::Notification => None,
                };
                return stream.failed(asked, now, self.settings.resend);
            }
        };
        if outcome == Outcome::Refused {
            tracing::warn!("receiver {} refuses: {detail}", receiver.name);
        }
        let changed = stream.told(alerts, now);
        self.counters.ended(&receiver.name, &receiver.way, outcome);
        if changed.is_empty() {
            // That it still fires is no news.
            return;
        }
        let sent = Sent {
            at: now,
            receiver: receiver.name.clone(),
            way: receiver.way.kind(),
            group_key: String::new(),
            alerts: changed,
            outcome,
            detail,
            tries: 1,
            took: Duration::ZERO,
        };
        self.record(sent);
    }

    fn one_less_under_way(&mut self, index: usize) {
        let under_way = self.under_way.entry(index).or_default();
        *under_way = under_way.saturating_sub(1);
    }

    /// A notification is over, one way or another.
    fn end(
        &mut self,
        notification: &Notification,
        outcome: Outcome,
        detail: String,
        tries: u32,
        now: SystemTime,
    ) {
        let name = &notification.group.receiver;
        let Some(sender) = self.senders.iter().find(|it| it.receiver.name == *name) else { return };
        let way = &sender.receiver.way;
        self.counters.ended(name, way, outcome);
        match outcome {
            Outcome::Sent => tracing::info!("told {name} of {}: {detail}", notification.group.key),
            Outcome::Refused | Outcome::Dropped => {
                tracing::error!("{name} is not told of {}: {detail}", notification.group.key);
            }
        }
        let alerts = notification.alerts.iter();
        self.record(Sent {
            at: now,
            receiver: name.clone(),
            way: way.kind(),
            group_key: notification.group.key.clone(),
            alerts: alerts.map(|alert| (alert.fingerprint(), alert.status())).collect(),
            outcome,
            detail,
            tries,
            took: now.duration_since(notification.at).unwrap_or_default(),
        });
    }

    /// History never holds up what is urgent.
    fn record(&self, sent: Sent) {
        if self.sent.try_send(sent).is_err() {
            self.counters.unrecorded();
        }
    }

    /// Writes what changed, when it is time.
    async fn write(&mut self, now: SystemTime) {
        if self.unwritten.is_none_or(|time| time > now) {
            return;
        }
        self.unwritten = None;
        let bytes = match state::bytes(
            self.dispatch.groups(),
            self.queue.waiting(),
            self.followed.iter(),
        ) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(%error, "cannot keep what was sent");
                return;
            }
        };
        let file = self.file.clone();
        let written = spawn_blocking(move || file.write(&bytes)).await;
        if let Ok(Err(error)) = written {
            // To page twice after a restart is better than not to page.
            tracing::error!(
                "cannot write {}: {error}; after a restart receivers may be told twice",
                self.file.path().display()
            );
            self.unwritten = Some(now + LOOK);
        }
    }

    /// How long nothing is to be done.
    fn pause(&self, now: SystemTime) -> Duration {
        let mut due = now + if self.queue.is_empty() { LOOK } else { COUNT_INTERVAL };
        let mut earlier = |time: Option<SystemTime>| due = time.map_or(due, |time| due.min(time));
        earlier(self.dispatch.due());
        earlier(self.unwritten);
        for (index, sender) in self.senders.iter().enumerate().filter(|_| self.leads) {
            let busy = self.under_way.get(&index).is_some_and(|n| *n >= sender.side_by_side());
            let next = match self.streams.get(&index) {
                Some(stream) => stream.due(self.settings.resend),
                None => self.queue.due(&sender.receiver.name),
            };
            let not_before = self.not_before.get(&index).copied();
            if !busy {
                earlier(next.map(|next| not_before.map_or(next, |time| next.max(time))));
            }
        }
        due.duration_since(now).unwrap_or_default()
    }
}

/// Tells Alertmanager of a batch.
async fn tell(index: usize, sender: Arc<Sender>, alerts: Vec<Alert>, end: SystemTime) -> Tried {
    let delivery = match (&sender.receiver.way, &sender.client) {
        (Way::Alertmanager(it), Some(client)) => {
            alertmanager::send_until(it, client, &alerts, end, &sender.external_url).await
        }
        _ => Delivery::Refused("it is no Alertmanager, which is a bug in holdup".into()),
    };
    Tried::Batch { receiver: index, alerts, delivery }
}
