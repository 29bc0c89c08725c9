//! What rules may ask of the collector itself, where ClickHouse can't tell or may be what is away.

use std::collections::BTreeMap;

/// One number, or one a rule, that the collector knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    /// 1, always.
    Always,
    /// Seconds since ClickHouse answered last; 0 while it does.
    ClickHouseAway,
    /// 0 to 1 of the log's bytes that are in use; 1 while it takes nothing.
    LogUsed,
    /// Requests that ClickHouse refused, in the last five minutes.
    PutAside,
    /// Age of the oldest request that ClickHouse does not have, s.
    RowsLate,
    /// By rule: seconds that its query has failed, or came too late.
    RuleFailing,
    /// By rule: alerts past the bound.
    AlertsLeftOut,
}

const NAMES: [(&str, Measure); 7] = [
    ("always", Measure::Always),
    ("clickhouse_away_seconds", Measure::ClickHouseAway),
    ("log_used_share", Measure::LogUsed),
    ("requests_put_aside", Measure::PutAside),
    ("rows_late_seconds", Measure::RowsLate),
    ("rule_failing_seconds", Measure::RuleFailing),
    ("alerts_left_out", Measure::AlertsLeftOut),
];

impl Measure {
    /// By its name in a rule.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, measure)| *measure).ok_or_else(|| {
            let names = NAMES.map(|(known, _)| known);
            let nearest = super::nearest(name, names);
            format!("unknown measure `{name}`: there are {}{nearest}", names.join(", "))
        })
    }

    /// Its name in a rule.
    pub(crate) fn name(self) -> &'static str {
        NAMES.iter().find(|(_, measure)| *measure == self).map_or("", |(name, _)| name)
    }

    /// The labels of its rows.
    pub(crate) fn labels(self) -> &'static [&'static str] {
        match self {
            Self::RuleFailing | Self::AlertsLeftOut => &["rule"],
            _ => &[],
        }
    }

    /// The other columns of its rows.
    pub(crate) fn info(self) -> &'static [&'static str] {
        match self {
            Self::RuleFailing | Self::ClickHouseAway => &["reason"],
            _ => &[],
        }
    }
}

/// One row of a measure.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Measured {
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its value.
    pub(crate) value: f64,
    /// What else is known.
    pub(crate) info: BTreeMap<String, String>,
}
