//! What the collector knows of itself, for rules that ask for it. Pure: it is told, with times.

use std::collections::{BTreeMap, VecDeque};

use crate::rules::Measured;

/// Rows that are later than this are late: what is not there may be on its way.
pub(super) const LATE_MS: u64 = 15_000;
/// How far back requests that were put aside count.
const PUT_ASIDE_MS: u64 = 5 * 60_000;
/// Counts within that time.
const COUNTS_MAX: usize = 64;

/// What was told lately.
#[derive(Debug, Default)]
pub(super) struct Own {
    away: Option<(u64, String)>,
    complete_since_ms: Option<u64>,
    put_aside: VecDeque<(u64, u64)>,
}

impl Own {
    /// ClickHouse answered, or it did not, for a reason.
    pub(super) fn clickhouse(&mut self, away: Option<String>, now_ms: u64) {
        self.away = match (away, self.away.take()) {
            (None, _) => None,
            (Some(reason), Some((since, _))) => Some((since, reason)),
            (Some(reason), None) => Some((now_ms, reason)),
        };
    }

    /// Whether ClickHouse was away when it was asked last.
    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// The oldest request that ClickHouse does not have is so old. Tells whether no row is late.
    pub(super) fn rows(&mut self, oldest_age_ms: u64, now_ms: u64) -> bool {
        let complete = oldest_age_ms <= LATE_MS && self.away.is_none();
        match complete {
            true => _ = self.complete_since_ms.get_or_insert(now_ms),
            false => self.complete_since_ms = None,
        }
        complete
    }

    /// Whether no row was late for as long: before that, silence may be ours.
    pub(super) fn was_complete_for(&self, window_ms: u64, now_ms: u64) -> bool {
        self.complete_since_ms.is_some_and(|since| now_ms.saturating_sub(since) >= window_ms)
    }

    /// For how long ClickHouse has been away, and why.
    pub(super) fn away(&self, now_ms: u64) -> Measured {
        let Some((since, reason)) = &self.away else { return Measured::default() };
        let info = BTreeMap::from([("reason".to_owned(), reason.clone())]);
        Measured { value: seconds(now_ms.saturating_sub(*since)), info, ..Measured::default() }
    }

    /// Requests put aside lately, given how many there were since the start.
    pub(super) fn put_aside(&mut self, total: u64, now_ms: u64) -> Measured {
        let old = |at: u64| now_ms.saturating_sub(at) > PUT_ASIDE_MS;
        while self.put_aside.len() > 1
            && (old(self.put_aside[1].0) || self.put_aside.len() >= COUNTS_MAX)
        {
            self.put_aside.pop_front();
        }
        self.put_aside.push_back((now_ms, total));
        let before = self.put_aside.front().map_or(total, |(_, total)| *total);
        Measured { value: total.saturating_sub(before) as f64, ..Measured::default() }
    }
}

/// Seconds of so many ms.
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::{LATE_MS, Own};

    #[test]
    fn clickhouse_is_away_since_the_first_failure() {
        let mut own = Own::default();
        own.clickhouse(Some("refused".into()), 1_000);
        own.clickhouse(Some("reset".into()), 5_000);
        let away = own.away(61_000);
        assert_eq!((away.value, away.info["reason"].as_str()), (60.0, "reset"));
        own.clickhouse(None, 62_000);
        assert_eq!(own.away(99_000).value, 0.0);
    }

    #[test]
    fn silence_counts_once_rows_were_complete_for_long_enough() {
        let mut own = Own::default();
        assert!(own.rows(0, 1_000));
        assert!(!own.was_complete_for(5_000, 5_999));
        assert!(own.was_complete_for(5_000, 6_000));
        assert!(!own.rows(LATE_MS + 1, 7_000));
        assert!(own.rows(0, 8_000));
        assert!(!own.was_complete_for(5_000, 12_000), "it begins anew");
        own.clickhouse(Some("away".into()), 13_000);
        assert!(!own.rows(0, 13_000), "what is stored is not known");
    }

    #[test]
    fn requests_put_aside_count_for_five_minutes() {
        let mut own = Own::default();
        assert_eq!(own.put_aside(7, 0).value, 0.0, "those of before are told already");
        assert_eq!(own.put_aside(9, 10_000).value, 2.0);
        let counts: Vec<f64> = (2..60).map(|n| own.put_aside(9, n * 10_000).value).collect();
        assert_eq!(counts[27], 2.0, "at 290 s");
        assert_eq!(counts[30], 0.0, "at 320 s");
    }
}
