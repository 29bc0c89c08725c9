//! Rules and silences as the page shows them: as they run, which after a reload that failed is not
//! what the files say.

use std::time::SystemTime;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Evaluator, Tracked};
use crate::notify::Window;

/// The most bytes of a rule's expression that are shown.
const EXPR_BYTES_MAX: usize = 8 << 10;

/// What whoever looks is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    rules: Vec<(String, Value)>,
    windows: Vec<Window>,
    receivers: Vec<String>,
    leads: bool,
}

/// How a rule's last evaluation went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ran {
    /// When it was, unix ms; none yet.
    pub(super) at_ms: Option<u64>,
    /// How long its query took.
    pub(super) took_ms: u64,
    /// It was not asked, because rows are late or were until lately.
    pub(super) waits: bool,
}

impl Shown {
    /// All rules, with their states.
    pub(crate) fn rules(&self) -> Value {
        let rules: Vec<&Value> = self.rules.iter().map(|(_, rule)| rule).collect();
        json!({"rules": rules, "receivers": self.receivers, "leads": self.leads})
    }

    /// All silences and maintenance windows, and whether each lasts.
    pub(crate) fn silences(&self, now: SystemTime) -> Value {
        let silences: Vec<Value> = self.windows.iter().map(|it| it.described(now)).collect();
        json!({"silences": silences})
    }
}

impl Evaluator {
    /// What the page shows, as it changes.
    pub(crate) fn shown(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// Shows a rule as it is after its evaluation.
    pub(super) fn show(&self, number: usize) {
        let Some(tracked) = self.rules.get(number) else { return };
        let leads = self.leadership.leads();
        self.shown.send_modify(|shown| {
            shown.leads = leads;
            let name = &tracked.rule.name;
            if let Some((_, rule)) = shown.rules.iter_mut().find(|(known, _)| known == name) {
                state(tracked, rule);
            }
        });
    }

    /// Shows all rules, those too that are off, and who is told when.
    pub(super) fn show_all(&self) {
        let rules = self.settings.rules.iter().map(|rule| {
            let mut described = rule.described(EXPR_BYTES_MAX);
            match self.rules.iter().find(|tracked| tracked.rule.name == rule.name) {
                Some(tracked) => state(tracked, &mut described),
                None => described["state"] = "off".into(),
            }
            (rule.name.clone(), described)
        });
        self.shown.send_replace(Shown {
            rules: rules.collect(),
            windows: self.receivers.windows.clone(),
            receivers: self.receivers.receivers.iter().map(|it| it.name.clone()).collect(),
            leads: self.leadership.leads(),
        });
    }
}

/// Adds how the rule is.
fn state(tracked: &Tracked, rule: &mut Value) {
    let (pending, firing) = tracked.machine.active();
    let state = match (firing, pending) {
        (0, 0) => "inactive",
        (0, _) => "pending",
        _ => "firing",
    };
    let (failing_since_ms, error) = tracked.failing.clone().unzip();
    let Ran { at_ms, took_ms, waits } = tracked.ran;
    for (key, value) in [
        ("state", state.into()),
        ("pending", pending.into()),
        ("firing", firing.into()),
        ("left_out", tracked.machine.left_out().into()),
        ("last_evaluation_ms", at_ms.into()),
        ("took_ms", took_ms.into()),
        ("waits", waits.into()),
        ("error", error.unwrap_or_default().into()),
        ("failing_since_ms", failing_since_ms.into()),
    ] {
        rule[key] = value;
    }
}
