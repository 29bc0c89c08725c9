//! One evaluation of one rule: its question, and what the answer means.

use std::time::Duration;

use crate::alerts::{Sample, Timing};
use crate::rules::{ALERTS_MAX, Question, Rule, Sql, samples};
use crate::store::{Store, StoreError, Times};

/// After so long without an answer, what waits to fire waits anew.
const GAP_MIN: Duration = Duration::from_secs(60);

/// Why a rule's question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// ClickHouse refused it, or is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer can't be used.
    #[error("{0}")]
    Answer(String),
}

/// How a rule's alerts move on.
pub(crate) fn timing(rule: &Rule) -> Timing {
    Timing {
        for_ms: ms(rule.for_),
        keep_firing_ms: ms(rule.keep_firing_for),
        gap_ms: ms(GAP_MIN.max(rule.interval * 4)),
        alerts_max: ALERTS_MAX,
    }
}

/// A duration in ms.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Asks ClickHouse what the rule asks at a time, and with `resolves` also what keeps alerts firing. A
/// rule that asks the collector has nothing here.
pub(crate) async fn ask(
    store: &Store,
    rule: &Rule,
    now_ms: u64,
    resolves: bool,
) -> Result<Vec<Sample>, AskError> {
    let Question::Sql(Sql { text, .. }) = &rule.question else { return Ok(Vec::new()) };
    let to_ms = now_ms.saturating_sub(ms(rule.lag));
    let times = Times { now_ms, from_ms: to_ms.saturating_sub(ms(rule.window)), to_ms };
    let answer = store.ask_rule(text, times, rule.timeout).await?;
    let holding = match &rule.resolve_expr {
        Some(Sql { text, .. }) if resolves => {
            Some(store.ask_rule(text, times, rule.timeout).await?)
        }
        _ => None,
    };
    samples(rule, &answer, holding.as_ref()).map_err(AskError::Answer)
}
