//! What Grafana and its ClickHouse data source make of a statement before they send it.

use std::collections::BTreeMap;

/// What a reader has chosen.
#[derive(Clone, Debug)]
pub(super) enum Chosen {
    /// `All`, of a variable whose `allValue` this is: it goes in as it is.
    All(&'static str),
    These(Vec<String>),
}

/// What a statement is expanded for.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    pub(super) chosen: BTreeMap<String, Chosen>,
}

impl View {
    /// The statement as ClickHouse gets it.
    pub(super) fn expand(&self, raw: &str, interval_s: u64) -> String {
        let mut sql = raw.to_owned();
        for (name, chosen) in &self.chosen {
            sql = sql.replace(&format!("${{{name}:singlequote}}"), &single_quoted(chosen));
        }
        let time = |ms: u64| format!("fromUnixTimestamp64Milli({ms})");
        sql = sql.replace("$__fromTime_ms", &time(self.from_ms));
        sql = sql.replace("$__toTime_ms", &time(self.to_ms));
        sql.replace("$__interval_s", &interval_s.max(1).to_string())
    }

    /// Seconds of `$__interval` for a panel of so many points: Grafana rounds to lengths that one
    /// can name.
    pub(super) fn interval_s(&self, points_max: u64) -> u64 {
        const LENGTHS: [u64; 13] =
            [60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400];
        let wanted = (self.to_ms - self.from_ms) / 1_000 / points_max;
        LENGTHS.into_iter().find(|length| *length >= wanted).unwrap_or(604_800)
    }
}

/// Grafana's format `singlequote`.
fn single_quoted(chosen: &Chosen) -> String {
    match chosen {
        Chosen::All(as_it_is) => (*as_it_is).to_owned(),
        Chosen::These(values) => {
            let quoted = values.iter().map(|value| format!("'{}'", value.replace('\'', "\\'")));
            quoted.collect::<Vec<_>>().join(",")
        }
    }
}

#[test]
fn quotes_are_escaped() {
    let chosen = Chosen::These(vec!["a".into(), "it's".into()]);
    let view = View { from_ms: 1, to_ms: 86_400_001, chosen: [("service".into(), chosen)].into() };
    let raw = "[${service:singlequote}] $__fromTime_ms $__toTime_ms $__interval_s";
    assert_eq!(
        view.expand(raw, 0),
        "['a','it\\'s'] fromUnixTimestamp64Milli(1) fromUnixTimestamp64Milli(86400001) 1"
    );
    assert_eq!((view.interval_s(24), view.interval_s(100)), (3_600, 900));
}
