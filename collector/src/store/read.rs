//! Asks the questions of `queries/`.

use std::time::Duration;

use bytes::Bytes;
use clickhouse::query::BytesCursor;

use super::rows::{RecentEpisode, RecentPoll};
use super::{Store, StoreError, catalog};
use crate::span::PollSpan;

/// The longest that a question may take, s.
const QUERY_SECONDS_MAX: &str = "30";
/// The most rows that an answer may have.
pub(crate) const ROWS_MAX: u32 = 10_000;
/// In about so many steps a trend is drawn.
const TREND_STEPS: u64 = 40;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// ClickHouse's `JSON`, with 64-bit integers as numbers.
    #[default]
    Json,
    /// `CSVWithNames`.
    Csv,
}

/// A region of a heatmap: times, and durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Picked {
    /// Its start, unix ms.
    pub(crate) from_ms: u64,
    /// Its end, unix ms.
    pub(crate) to_ms: u64,
    /// Durations over this.
    pub(crate) over_ns: u64,
    /// Durations up to this.
    pub(crate) up_to_ns: u64,
}

/// One question: a panel, and what it asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct PanelQuery {
    /// The panel's SQL.
    pub(crate) sql: String,
    /// Start of the range, unix ms.
    pub(crate) from_ms: u64,
    /// End of the range, unix ms.
    pub(crate) to_ms: u64,
    /// Services; none means all, as with the lists that follow.
    pub(crate) services: Vec<String>,
    /// Environments.
    pub(crate) environments: Vec<String>,
    /// Versions of services.
    pub(crate) versions: Vec<String>,
    /// Service instances.
    pub(crate) instances: Vec<String>,
    /// States of issues.
    pub(crate) states: Vec<String>,
    /// The function; empty means all.
    pub(crate) function: String,
    /// Words of names; empty means all.
    pub(crate) search: String,
    /// What is compared with the rest.
    pub(crate) picked: Picked,
    /// The most rows.
    pub(crate) limit: u32,
    /// How many rows before them are left out.
    pub(crate) offset: u32,
    /// How the answer is written.
    pub(crate) format: Format,
}

/// An answer as it comes in.
pub(crate) struct Answer {
    cursor: BytesCursor,
    store: Store,
}

impl Answer {
    /// The next part, or `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        self.cursor.next().await.map_err(|e| self.store.explain(&e))
    }

    /// All of it; `None` when it is longer than that.
    pub(crate) async fn read(mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let mut read = Vec::new();
        while let Some(part) = self.next().await? {
            if read.len() + part.len() > bytes_max {
                return Ok(None);
            }
            read.extend_from_slice(&part);
        }
        Ok(Some(read))
    }
}

impl Store {
    /// Runs a panel. Dropping the answer, or its client going away before, ends the statement.
    pub(crate) fn ask(&self, panel: &PanelQuery) -> Result<Answer, StoreError> {
        let rows = panel.limit.min(ROWS_MAX).saturating_add(panel.offset);
        let mut query = self
            .client
            .query_raw(&panel.sql)
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("max_execution_time", QUERY_SECONDS_MAX)
            .with_setting("max_result_rows", ROWS_MAX.to_string())
            .with_setting("readonly", "2")
            .with_setting("cancel_http_readonly_queries_on_client_close", "1");
        if panel.offset > 0 {
            query = query.with_setting("offset", panel.offset.to_string());
        }
        let picked = panel.picked;
        for (name, value) in [
            ("from", time(panel.from_ms)),
            ("to", time(panel.to_ms)),
            ("limit", rows.to_string()),
            ("step", step(panel.to_ms.saturating_sub(panel.from_ms)).to_string()),
            ("picked_from", time(picked.from_ms)),
            ("picked_to", time(picked.to_ms)),
            ("picked_over", picked.over_ns.to_string()),
            ("picked_up_to", picked.up_to_ns.to_string()),
        ] {
            // A parameter that the statement does not name is ignored.
            query = query.param(name, value);
        }
        for (name, chosen) in [
            ("service", &panel.services),
            ("environment", &panel.environments),
            ("version", &panel.versions),
            ("instance", &panel.instances),
            ("state", &panel.states),
        ] {
            query = query.param(name, chosen);
        }
        let query = query.param("function", &panel.function).param("search", &panel.search);
        let format = match panel.format {
            Format::Json => "JSON",
            Format::Csv => "CSVWithNames",
        };
        let cursor = query.fetch_bytes(format).map_err(|e| self.explain(&e))?;
        Ok(Answer { cursor, store: self.clone() })
    }

    /// The polls from which the fold starts, not before `horizon_ns` except for an episode that was
    /// under way then.
    pub(crate) async fn recent_polls(
        &self,
        horizon_ns: i64,
        limit: usize,
    ) -> Result<Vec<PollSpan>, StoreError> {
        let sql = catalog::statement("recent_polls");
        let asked =
            self.client.query_raw(&sql).param("horizon_ns", horizon_ns).param("limit", limit);
        let mut cursor = asked.fetch::<RecentPoll>().map_err(|e| self.explain(&e))?;
        let mut polls = Vec::new();
        while let Some(row) = cursor.next().await.map_err(|e| self.explain(&e))? {
            polls.push(PollSpan::from(row));
        }
        Ok(polls)
    }

    /// Services and the names of their functions and metrics that are in use, at most so many.
    pub(crate) async fn known_names(
        &self,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let sql = catalog::statement("known_names");
        let asked = self
            .client
            .query_raw(&sql)
            .param("limit", limit)
            // Some of them are better than a start that waits.
            .with_setting("max_execution_time", QUERY_SECONDS_MAX)
            .with_setting("timeout_overflow_mode", "break");
        asked.fetch_all::<(String, String)>().await.map_err(|e| self.explain(&e))
    }

    /// The episodes that ended after `horizon_ns`, as far as the store knows.
    pub(crate) async fn recent_episodes(
        &self,
        horizon_ns: i64,
    ) -> Result<Vec<RecentEpisode>, StoreError> {
        let sql = catalog::statement("recent_episodes");
        let asked = self.client.query_raw(&sql).param("horizon_ns", horizon_ns);
        asked.fetch_all::<RecentEpisode>().await.map_err(|e| self.explain(&e))
    }
}

/// A unix time in ms as `DateTime64(3)` reads it: seconds with three decimals.
pub(super) fn time(unix_ms: u64) -> String {
    format!("{}.{:03}", unix_ms / 1_000, unix_ms % 1_000)
}

/// Seconds of one step of a trend over a range: whole minutes or whole hours, as the rollups are.
fn step(range_ms: u64) -> u64 {
    let (minute, hour) = (Duration::from_secs(60).as_secs(), Duration::from_secs(3_600).as_secs());
    let wanted = range_ms / 1_000 / TREND_STEPS;
    let unit = if wanted > hour / 2 { hour } else { minute };
    wanted.div_ceil(unit).max(1) * unit
}

#[cfg(test)]
mod tests {
    use super::{step, time};

    #[test]
    fn times_keep_their_milliseconds() {
        assert_eq!(time(1_795_339_164_007), "1795339164.007");
    }

    #[test]
    fn steps_are_whole_minutes_or_hours() {
        assert_eq!(step(24 * 3_600_000), 3_600);
        assert_eq!(step(30 * 24 * 3_600_000), 18 * 3_600);
        assert_eq!(step(15 * 60_000), 60);
        assert_eq!(step(12 * 3_600_000), 18 * 60);
        assert_eq!(step(0), 60);
    }
}
