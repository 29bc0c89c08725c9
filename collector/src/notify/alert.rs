//! Alerts as receivers are told of them, and what became of telling.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Bytes of an annotation, and of all of an alert's.
const ANNOTATION_BYTES_MAX: usize = 4 << 10;
const ANNOTATIONS_BYTES_MAX: usize = 12 << 10;

/// One alert as receivers are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alert {
    /// Identity: `alertname`, the rule's labels, the label columns of the row. Never a duration or
    /// an id, or each evaluation would have alerts of its own.
    pub(crate) labels: BTreeMap<String, String>,
    /// What there is to say: the names that receivers know are in the module's documentation.
    pub(crate) annotations: BTreeMap<String, String>,
    /// Since when it fires.
    pub(crate) starts_at: SystemTime,
    /// When it was resolved; none while it fires.
    pub(crate) ends_at: Option<SystemTime>,
    /// Where its rule is shown.
    pub(crate) generator_url: String,
}

/// Identity of an alert: a hash of its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fingerprint(pub(crate) u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Whether an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// It does.
    Firing,
    /// It did.
    Resolved,
}

impl Status {
    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl Alert {
    /// Its identity.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut hash = Xxh3::new();
        for (name, value) in &self.labels {
            // Neither has a byte 0xff: both are UTF-8.
            hash.update(name.as_bytes());
            hash.update(&[0xff]);
            hash.update(value.as_bytes());
            hash.update(&[0xff]);
        }
        Fingerprint(hash.digest())
    }

    /// Without what there is no room for: receivers take little more, and thousands may wait.
    pub(super) fn bounded(mut self) -> Self {
        let mut left = ANNOTATIONS_BYTES_MAX;
        for text in self.annotations.values_mut() {
            let room = left.min(ANNOTATION_BYTES_MAX);
            if text.len() > room {
                let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
                text.truncate(end);
            }
            left -= text.len();
        }
        self.annotations.retain(|_, text| !text.is_empty());
        self
    }

    /// Whether nobody is to be told who did not ask for it: a watchdog fires always.
    pub(super) fn is_for_machines(&self) -> bool {
        self.labels.get("severity").is_some_and(|severity| severity == "none")
    }

    /// Whether it fires.
    pub(crate) fn status(&self) -> Status {
        if self.ends_at.is_some() { Status::Resolved } else { Status::Firing }
    }
}

/// A notification that was sent or given up: a row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// When that was known.
    pub(crate) at: SystemTime,
    /// Name of the receiver.
    pub(crate) receiver: String,
    /// Its way: `pagerduty`, `slack` and so on.
    pub(crate) way: &'static str,
    /// Identity of the group; empty for Alertmanager, which makes groups of its own.
    pub(crate) group_key: String,
    /// What it told.
    pub(crate) alerts: Vec<(Fingerprint, Status)>,
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// The receiver's answer or the reason, in one line and without secrets.
    pub(crate) detail: String,
    /// How often it was tried.
    pub(crate) tries: u32,
    /// From the decision to send it.
    pub(crate) took: Duration,
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The receiver took it.
    Sent,
    /// The receiver refused it, and would again.
    Refused,
    /// It was not taken in time, or there was no room for it.
    Dropped,
}

impl Outcome {
    /// Its name on `/metrics` and in the history.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_cut_between_characters() {
        let text = |name: usize| (name.to_string(), "ä".repeat(3_000));
        let alert = Alert {
            labels: BTreeMap::new(),
            annotations: (0..9).map(text).collect(),
            starts_at: SystemTime::UNIX_EPOCH,
            ends_at: None,
            generator_url: String::new(),
        };
        let lengths: Vec<usize> = alert.bounded().annotations.values().map(String::len).collect();
        assert_eq!(lengths, [4_096, 4_096, 4_096]);
    }
}
