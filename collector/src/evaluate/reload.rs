//! Rules and receivers that are read again while it runs: what is known of alerts stays.

use std::collections::BTreeMap;
use std::time::Duration;

use super::shown::Ran;
use super::{Evaluator, Tracked, now_ms};
use crate::notify::{self, Lead, Notifier};
use crate::rules::Rule;

/// How long messages under way may take when receivers change. What is cut off is sent again.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What is read again.
#[derive(Debug)]
pub(crate) struct Reload {
    /// All rules.
    pub(crate) rules: Vec<Rule>,
    /// Who is told, and when not.
    pub(crate) receivers: notify::Settings,
}

impl Evaluator {
    /// Goes on with others, or with those that it has where the others can't be used.
    pub(super) async fn reload(&mut self, Reload { rules, receivers }: Reload) {
        let changed = match Notifier::check(&receivers) {
            Ok(()) => self.take_receivers(receivers).await,
            Err(error) => Err(error),
        };
        if let Err(error) = changed {
            tracing::error!("{error}; rules and receivers are as before");
            return self.counters.reloaded(false);
        }
        self.take_rules(&rules);
        self.settings.rules = rules;
        self.show_all();
        self.keep(now_ms()).await;
        // Whoever tells knows of nothing yet.
        self.told_ms = 0;
        self.counters.reloaded(true);
        tracing::info!("{} rules and the receivers were read again", self.rules.len());
    }

    /// What of the rules is known by its name goes on; alerts of those that are gone are over.
    fn take_rules(&mut self, rules: &[Rule]) {
        let before = std::mem::take(&mut self.rules).into_iter();
        let mut before: BTreeMap<String, Tracked> =
            before.map(|tracked| (tracked.rule.name.clone(), tracked)).collect();
        for rule in rules.iter().filter(|rule| rule.enabled).cloned() {
            let known = before.remove(&rule.name);
            self.rules.push(match known {
                Some(it) if it.rule.question == rule.question => Tracked { rule, ..it },
                Some(it) => Tracked { rule, failing: None, ran: Ran::default(), ..it },
                None => {
                    let machine = self.retired.remove(&rule.name).unwrap_or_default();
                    Tracked { rule, machine, failing: None, ran: Ran::default() }
                }
            });
        }
        self.retired.extend(before.into_iter().map(|(name, it)| (name, it.machine)));
        self.retire(now_ms());
        self.counters.rules.set(i64::try_from(self.rules.len()).unwrap_or(i64::MAX));
    }

    /// Ends what tells, and begins anew with what it left on disk.
    async fn take_receivers(
        &mut self,
        receivers: notify::Settings,
    ) -> Result<(), notify::StartError> {
        if let Some(notifier) = self.notifier.take() {
            notifier.stop(STOP_WITHIN).await;
        }
        // What was told before this one took over is known to what it left on disk.
        self.lead.send_replace(Lead { leads: self.leadership.leads(), told: None });
        let before = std::mem::replace(&mut self.receivers, receivers);
        let started = self.start_notifier();
        if started.is_err() {
            self.receivers = before;
            self.start_notifier()?;
        }
        started
    }

    pub(super) fn start_notifier(&mut self) -> Result<(), notify::StartError> {
        let receivers = self.receivers.clone();
        if receivers.receivers.is_empty() {
            return Ok(());
        }
        let folder = self.settings.state_dir.clone();
        let (lead, noted) = (self.lead.subscribe(), self.noted.clone());
        let counters = self.metrics.notify();
        self.notifier = Some(Notifier::start(receivers, folder, lead, noted, counters)?);
        Ok(())
    }
}
