//! What other collectors have stored of the episodes that this one folds.

use std::time::Duration;

use super::rows::{OthersEpisode, RecentPoll};
use super::{Store, StoreError, catalog};
use crate::fold::{Disputed, Written};
use crate::span::PollSpan;

/// So many writes of others are read at once, the latest first.
const WRITES_MAX: u32 = 100_000;

impl Store {
    /// Each write of episodes in the last `within`, by other runs of collectors than `writer`.
    pub(crate) async fn others_episodes(
        &self,
        writer: u64,
        within: Duration,
    ) -> Result<Vec<Written>, StoreError> {
        let sql = catalog::statement("others_episodes");
        let asked = self.client.query_raw(&sql).param("writer", writer);
        let asked = asked.param("seconds", seconds(within)).param("limit", WRITES_MAX);
        let rows = asked.fetch_all::<OthersEpisode>().await.map_err(|e| self.explain(&e))?;
        Ok(rows.into_iter().map(Written::from).collect())
    }

    /// The polls of what is disputed, at most so many.
    pub(crate) async fn polls_of(
        &self,
        disputed: &[Disputed],
        limit: usize,
    ) -> Result<Vec<PollSpan>, StoreError> {
        let since_ns = disputed.iter().map(|it| it.since_ns).min().unwrap_or(0);
        let list = |of: fn(&Disputed) -> &String| disputed.iter().map(of).collect::<Vec<_>>();
        let sql = catalog::statement("polls_of");
        let asked = self
            .client
            .query_raw(&sql)
            .param("since_ns", i64::try_from(since_ns).unwrap_or(i64::MAX))
            .param("services", list(|it| &it.origin.service))
            .param("functions", list(|it| &it.function))
            .param("environments", list(|it| &it.origin.environment))
            .param("versions", list(|it| &it.origin.version))
            .param("instances", list(|it| &it.origin.instance))
            .param("limit", limit);
        let rows = asked.fetch_all::<RecentPoll>().await.map_err(|e| self.explain(&e))?;
        Ok(rows.into_iter().map(PollSpan::from).collect())
    }

    /// Closes episodes that ended so long ago, and that nobody has written since.
    pub(crate) async fn close_left_open(
        &self,
        writer: u64,
        after: Duration,
    ) -> Result<(), StoreError> {
        let sql = catalog::statement("close_left_open");
        let asked = self.client.query_raw(&sql).param("writer", writer);
        let asked = asked.param("seconds", seconds(after));
        asked.execute().await.map_err(|e| self.explain(&e))
    }
}

fn seconds(of: Duration) -> u32 {
    u32::try_from(of.as_secs()).unwrap_or(u32::MAX)
}
