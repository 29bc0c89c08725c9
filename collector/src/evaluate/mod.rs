//! Evaluates alert rules, again and again, one query at a time: `docs/alerting.md`.
//!
//! An evaluation asks (`ask`), has the rule's machine take the answer (`crate::alerts`), keeps the
//! state in a file (`kept`) before anybody is told of it (`tell`), and notes what changed
//! (`history`). Which collector tells, when there are several, is `leader`'s.

mod ask;
mod counters;
mod history;
mod kept;
mod leader;
mod own;
mod reload;
mod schedule;
mod shown;
mod silences;
mod tell;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use self::counters::Evaluated;
use self::history::History;
use self::kept::Kept;
use self::leader::Leadership;
use self::own::Own;
use self::schedule::Schedule;
use self::shown::Ran;
use self::silences::Silences;
use crate::alerts::{Machine, Observed, Sample, To, Transition};
use crate::batch::Intake;
use crate::clock::now_ns;
use crate::metrics::Metrics;
use crate::notify::{self, AlreadyTold, Lead, Notifier, Outcome, Sent, Status};
use crate::rules::{Measure, Measured, Question, Rule, measured_samples};
use crate::store::{Store, StoreError};

pub(crate) use ask::{ask, timing};
pub(crate) use counters::Counters;
pub(crate) use reload::Reload;
pub(crate) use shown::Shown;

use ask::{AskError, ms};

/// Receivers are told of all that fires at least so often, though nothing changed.
const TOLD_EVERY_MS: u64 = 10_000;
/// So often the state is kept, though nothing changed.
const KEPT_EVERY_MS: u64 = 60_000;
/// Answers of receivers that wait to be noted.
const SENT_MAX: usize = 1_000;
/// Alerts whose first notification is waited for, to measure how long it took.
const UNTOLD_MAX: usize = 1_000;

/// What is evaluated, and where its state is.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The rules.
    pub(crate) rules: Vec<Rule>,
    /// Folder of its state.
    pub(crate) state_dir: PathBuf,
    /// Bytes that the log may have.
    pub(crate) log_bytes_max: u64,
}

/// Why rules are not evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The state's folder.
    #[error("cannot keep the state of alerts in {path}: {source}")]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The receivers.
    #[error(transparent)]
    Notify(#[from] notify::StartError),
}

/// A rule, and the state of its alerts.
struct Tracked {
    rule: Rule,
    machine: Machine,
    /// Since when its query has failed, and why at last.
    failing: Option<(u64, String)>,
    ran: Ran,
}

/// All rules, and what they need.
pub(crate) struct Evaluator {
    settings: Settings,
    receivers: notify::Settings,
    store: Store,
    intake: Intake,
    metrics: Arc<Metrics>,
    counters: Counters,
    rules: Vec<Tracked>,
    /// Alerts of rules that are gone, until receivers were told that they are over.
    retired: BTreeMap<String, Machine>,
    leadership: Leadership,
    lead: watch::Sender<Lead>,
    /// When ClickHouse was asked last what receivers were told.
    asked_told_ms: u64,
    silences: Silences,
    own: Own,
    history: History,
    notifier: Option<Notifier>,
    sent: mpsc::Receiver<Sent>,
    noted: mpsc::Sender<Sent>,
    /// When what fires began, by fingerprint, until a receiver was told.
    untold: BTreeMap<String, u64>,
    told_ms: u64,
    kept_ms: u64,
    shown: watch::Sender<Shown>,
}

impl Evaluator {
    /// Takes up what an earlier run left. Receivers are told only where there are any.
    pub(crate) fn new(
        settings: Settings,
        receivers: notify::Settings,
        store: Store,
        intake: Intake,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let path = &settings.state_dir;
        let mut kept =
            Kept::read(path).map_err(|source| StartError::State { path: path.clone(), source })?;
        let enabled = settings.rules.iter().filter(|rule| rule.enabled);
        let mut tracked = |rule: &Rule| Tracked {
            machine: kept.rules.remove(&rule.name).unwrap_or_default().machine(),
            rule: rule.clone(),
            failing: None,
            ran: Ran::default(),
        };
        let rules: Vec<Tracked> = enabled.map(&mut tracked).collect();
        let retired = kept.rules.into_iter().map(|(name, rule)| (name, rule.machine())).collect();
        let counters = metrics.evaluate();
        counters.rules.set(i64::try_from(rules.len()).unwrap_or(i64::MAX));
        let lead = watch::Sender::new(Lead::default());
        let (noted, sent) = mpsc::channel(SENT_MAX);
        let mut evaluator = Self {
            history: History::start(store.clone(), counters.clone(), kept.unnoted),
            leadership: Leadership::new(kept.evaluator),
            settings,
            receivers,
            store,
            intake,
            metrics,
            counters,
            rules,
            retired,
            lead,
            asked_told_ms: 0,
            silences: Silences::with(kept.silenced),
            own: Own::default(),
            notifier: None,
            sent,
            noted,
            untold: BTreeMap::new(),
            told_ms: 0,
            kept_ms: 0,
            shown: watch::Sender::default(),
        };
        evaluator.start_notifier()?;
        evaluator.show_all();
        Ok(evaluator)
    }

    /// Evaluates until it is stopped, and then ends what it began, within a time.
    pub(crate) async fn run(
        mut self,
        mut reloads: mpsc::Receiver<Reload>,
        mut stop: watch::Receiver<bool>,
        within: Duration,
    ) {
        let began = Instant::now();
        let clock = || ms(began.elapsed());
        let mut schedule = self.schedule(clock());
        self.agree_on_leader().await;
        self.retire(now_ms());
        loop {
            let due = Duration::from_millis(schedule.next_ms().unwrap_or(0));
            tokio::select! {
                biased;
                _ = stop.changed() => break,
                Some(sent) = self.sent.recv() => self.note(&sent),
                Some(reload) = reloads.recv() => {
                    self.reload(reload).await;
                    schedule = self.schedule(clock());
                }
                () = tokio::time::sleep_until((began + due).into()) => {
                    let Some(number) = schedule.pick(clock()) else { continue };
                    match number.checked_sub(1) {
                        None => self.agree_on_leader().await,
                        Some(rule) => {
                            self.evaluate(rule).await;
                            self.show(rule);
                        }
                    }
                    self.counters.missed.inc_by(schedule.done(number, clock()));
                }
            }
        }
        self.end(within).await;
    }

    /// The first turn is the one in which collectors agree on who leads.
    fn schedule(&self, now_ms: u64) -> Schedule {
        let intervals = self.rules.iter().map(|tracked| ms(tracked.rule.interval));
        Schedule::new([leader::INTERVAL_MS].into_iter().chain(intervals), now_ms)
    }

    async fn end(mut self, within: Duration) {
        self.keep(now_ms()).await;
        if let Some(notifier) = self.notifier.take() {
            notifier.stop(within / 2).await;
        }
        while let Ok(sent) = self.sent.try_recv() {
            self.note(&sent);
        }
        self.history.stop(within / 2).await;
    }

    /// Ends the alerts of rules that are gone.
    fn retire(&mut self, now_ms: u64) {
        let retired = self.retired.values_mut();
        let changes: Vec<Transition> = retired.flat_map(|machine| machine.retire(now_ms)).collect();
        self.hold(&changes);
        self.record(&changes);
    }

    async fn agree_on_leader(&mut self) {
        let asked = self.store.leading_evaluator(self.leadership.id(), leader::LEASE_SECONDS).await;
        let now_ms = now_ms();
        self.own.clickhouse(asked.as_ref().err().and_then(away), now_ms);
        let led = self.leadership.leads();
        let leads = self.leadership.hear(asked.as_deref().ok(), now_ms);
        if leads != led {
            let what = if leads { "tells" } else { "leaves it to another collector to tell" };
            tracing::info!("this collector {what} receivers of alerts");
        }
        self.counters.leads.set(i64::from(leads));
        // One that takes over tells what was not told; one that follows lets go of what was.
        let asks = leads && !led
            || !leads && now_ms.abs_diff(self.asked_told_ms) >= leader::TOLD_INTERVAL_MS;
        if self.notifier.is_some() && (asks || leads != led) {
            self.asked_told_ms = now_ms;
            let told = self.told().await;
            self.lead.send_replace(Lead { leads, told });
        }
    }

    /// What receivers were told by any collector, as far as ClickHouse knows.
    async fn told(&self) -> Option<Arc<AlreadyTold>> {
        let rows = match self.store.last_told(leader::TOLD_SECONDS).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!("what receivers were told is not known: {error}");
                return None;
            }
        };
        let mut told = AlreadyTold::default();
        rows.into_iter().for_each(|row| tell::add(&mut told, row));
        Some(Arc::new(told))
    }

    async fn evaluate(&mut self, number: usize) {
        let began = Instant::now();
        let now_ms = now_ms();
        let oldest_age_ms = self.intake.progress().oldest_age_ns(now_ns()) / 1_000_000;
        let complete = self.own.rows(oldest_age_ms, now_ms);
        let measured = self.measure(number, oldest_age_ms, now_ms);
        let Some(Tracked { rule, machine, ran, .. }) = self.rules.get_mut(number) else { return };
        *ran = Ran { at_ms: Some(now_ms), took_ms: 0, waits: false };
        if rule.needs_all_rows && !self.own.was_complete_for(ms(rule.window), now_ms) {
            ran.waits = true;
            self.counters.evaluated(Evaluated::Waited);
            return self.tell(now_ms, false);
        }
        let of_collector = measured.is_some();
        let asked = match measured {
            Some(rows) => Ok(measured_samples(rule, &rows)),
            None => ask(&self.store, rule, now_ms, machine.active().1 > 0).await,
        };
        self.counters.seconds.observe(began.elapsed().as_secs_f64());
        let observed = self.observed(number, asked, complete || of_collector, now_ms);
        let Some(Tracked { rule, machine, ran, .. }) = self.rules.get_mut(number) else { return };
        ran.took_ms = ms(began.elapsed());
        let absent = machine.absent();
        let changes = machine.step(&timing(rule), now_ms, observed);
        let waits = machine.absent() != absent;
        self.hold(&changes);
        if waits || !changes.is_empty() || now_ms.abs_diff(self.kept_ms) >= KEPT_EVERY_MS {
            // Before anybody is told, or a restart would tell it again.
            self.keep(now_ms).await;
        }
        self.record(&changes);
        self.tell(now_ms, !changes.is_empty());
    }

    /// What an answer, or none, means for the rule's alerts.
    fn observed(
        &mut self,
        number: usize,
        asked: Result<Vec<Sample>, AskError>,
        complete: bool,
        now_ms: u64,
    ) -> Observed {
        let Some(tracked) = self.rules.get_mut(number) else { return Observed::Failed };
        if matches!(tracked.rule.question, Question::Sql(_)) {
            let error = match &asked {
                Err(AskError::Store(error)) => away(error),
                _ => None,
            };
            self.own.clickhouse(error, now_ms);
        }
        let observed = match asked {
            Ok(samples) => {
                tracked.failing = None;
                let outcome = if complete { Evaluated::Ok } else { Evaluated::Incomplete };
                self.counters.evaluated(outcome);
                Observed::Rows { samples, complete }
            }
            Err(error) => {
                let reason = error.to_string();
                if tracked.failing.is_none() {
                    tracing::warn!("rule {} can't be evaluated: {reason}", tracked.rule.name);
                }
                let since = tracked.failing.as_ref().map_or(now_ms, |(since, _)| *since);
                tracked.failing = Some((since, reason));
                self.counters.evaluated(Evaluated::Failed);
                Observed::Failed
            }
        };
        let failing = self.rules.iter().filter(|tracked| tracked.failing.is_some()).count();
        self.counters.failing.set(i64::try_from(failing).unwrap_or(i64::MAX));
        observed
    }

    /// What a rule asks of the collector itself; none when it asks ClickHouse.
    fn measure(&mut self, number: usize, oldest_age_ms: u64, now_ms: u64) -> Option<Vec<Measured>> {
        let Question::Measure(measure) = self.rules.get(number)?.rule.question else { return None };
        let one = |value: f64| Measured { value, ..Measured::default() };
        let of_rule = |tracked: &Tracked, value: f64, reason: &str| Measured {
            labels: BTreeMap::from([("rule".to_owned(), tracked.rule.name.clone())]),
            value,
            info: BTreeMap::from([("reason".to_owned(), reason.to_owned())]),
        };
        Some(match measure {
            Measure::Always => vec![one(1.0)],
            Measure::ClickHouseAway => vec![self.own.away(now_ms)],
            Measure::LogUsed if self.intake.refusing().is_some() => vec![one(1.0)],
            Measure::LogUsed => {
                let bytes = self.metrics.log().bytes() as f64;
                vec![one(bytes / self.settings.log_bytes_max.max(1) as f64)]
            }
            Measure::PutAside => {
                vec![self.own.put_aside(self.metrics.put_aside_total(), now_ms)]
            }
            Measure::RowsLate => vec![one(own::seconds(oldest_age_ms))],
            // While ClickHouse is away all fail, and that is told once, by itself.
            Measure::RuleFailing if self.own.is_away() => Vec::new(),
            Measure::RuleFailing => {
                let failing = self.rules.iter().filter_map(|tracked| {
                    let (since, reason) = tracked.failing.as_ref()?;
                    let lasts = own::seconds(now_ms.saturating_sub(*since));
                    Some(of_rule(tracked, lasts, reason))
                });
                failing.collect()
            }
            Measure::AlertsLeftOut => {
                let left_out = |tracked: &Tracked| tracked.machine.left_out() as f64;
                self.rules.iter().map(|it| of_rule(it, left_out(it), "")).collect()
            }
        })
    }

    /// Writes the state of all alerts.
    async fn keep(&mut self, now_ms: u64) {
        self.kept_ms = now_ms;
        let rules = self.rules.iter().map(|it| (it.rule.name.as_str(), &it.machine));
        let retired = self.retired.iter().map(|(name, machine)| (name.as_str(), machine));
        let silenced = self.silences.kept().clone();
        let kept =
            Kept::of(self.leadership.id(), rules.chain(retired), silenced, self.history.unnoted());
        let folder = self.settings.state_dir.clone();
        let written = tokio::task::spawn_blocking(move || kept.write(&folder)).await;
        let written = written.map_err(io::Error::other).and_then(|written| written);
        if let Err(error) = written {
            self.counters.state_failed.inc();
            tracing::warn!("the state of alerts is not kept, a restart tells them again: {error}");
        }
    }

    /// Has changes noted in the history when this collector leads, once they are recorded.
    fn hold(&mut self, changes: &[Transition]) {
        if self.leadership.leads() {
            let (id, url) = (self.leadership.id(), &self.receivers.external_url);
            self.history.hold(changes.iter().map(|it| tell::transition(it, id, url)).collect());
        }
    }

    /// Counts changes, and notes those in the history that were held.
    fn record(&mut self, changes: &[Transition]) {
        for change in changes {
            self.counters.entered(change.to);
            let row = tell::transition(change, self.leadership.id(), &self.receivers.external_url);
            tracing::info!(alert = row.alert, state = row.state, "{}", summary(change));
            match (change.to, change.alert.began_ms) {
                (To::Firing, Some(began_ms)) => {
                    let delay = change.at_ms.saturating_sub(began_ms);
                    self.counters.began_to_firing.observe(own::seconds(delay));
                    if self.untold.len() < UNTOLD_MAX {
                        self.untold.insert(row.fingerprint.clone(), began_ms);
                    }
                }
                _ => drop(self.untold.remove(&row.fingerprint)),
            }
        }
        self.history.release();
    }

    /// Tells the notifier of all that fires, at once when something changed.
    fn tell(&mut self, now_ms: u64, changed: bool) {
        if !changed && now_ms.abs_diff(self.told_ms) < TOLD_EVERY_MS {
            return;
        }
        self.told_ms = now_ms;
        let (mut pending, mut firing, mut left_out) = (0, 0, 0);
        for tracked in &self.rules {
            let (more_pending, more_firing) = tracked.machine.active();
            (pending, firing) = (pending + more_pending, firing + more_firing);
            left_out += tracked.machine.left_out();
        }
        self.counters.alerts(pending, firing);
        self.counters.left_out.set(u64::try_from(left_out).unwrap_or(u64::MAX));
        self.retired.retain(|_, machine| machine.told(now_ms).next().is_some());
        self.record_silences(now_ms);
        if let Some(notifier) = &self.notifier {
            let machines = self.rules.iter().map(|tracked| &tracked.machine);
            let told = machines.chain(self.retired.values()).flat_map(|it| it.told(now_ms));
            let alerts =
                told.map(|told| tell::alert(&told, &self.receivers.external_url)).collect();
            notifier.update(alerts, tell::time(now_ms));
        }
    }

    /// Notes in the history which of the alerts that fire are told to nobody.
    fn record_silences(&mut self, now_ms: u64) {
        let Self { rules, silences, receivers, .. } = self;
        let told = rules.iter().flat_map(|tracked| tracked.machine.told(now_ms));
        let firing = told.filter(|told| told.resolved_ms.is_none()).map(|told| told.alert);
        let now = tell::time(now_ms);
        for change in silences.look(firing, |labels| receivers.silence(labels, now)) {
            // It is on disk with the next evaluation.
            self.kept_ms = 0;
            if self.leadership.leads() {
                let row = tell::silence(&change, now_ms, self.leadership.id());
                self.history.hold(vec![row]);
            }
        }
        self.history.release();
    }

    /// A receiver took a notification, or did not.
    fn note(&mut self, sent: &Sent) {
        if sent.outcome == Outcome::Sent {
            for (fingerprint, status) in &sent.alerts {
                if *status == Status::Firing
                    && let Some(began_ms) = self.untold.remove(&fingerprint.to_string())
                {
                    let delay = tell::unix_ms(sent.at).saturating_sub(began_ms);
                    self.counters.began_to_page.observe(own::seconds(delay));
                }
            }
        }
        self.history.put(tell::notification(sent, self.leadership.id()));
    }
}

fn now_ms() -> u64 {
    now_ns() / 1_000_000
}

/// Why ClickHouse is away, when it is that.
fn away(error: &StoreError) -> Option<String> {
    error.is_of_server().then(|| error.to_string())
}

fn summary(change: &Transition) -> &str {
    change.alert.annotations.get("summary").map_or("", String::as_str)
}
