//! Sends batches of rows.

use std::time::Duration;

use clickhouse::RowWrite;

use super::rows::{EpisodeRow, PollSpanRow, RecentEpisode, StackRow, SuspectRow};
use super::{Store, StoreError};
use crate::fold::Outline;
use crate::span::{PollSpan, Stack, Suspect};

/// How long ClickHouse may take for one part of a request, and for its answer.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Store {
    /// Inserts poll spans. A batch sent again under the same token within the table's window adds
    /// nothing, in the table and in its views.
    pub(super) async fn insert_polls(
        &self,
        spans: &[PollSpan],
        token: &str,
    ) -> Result<(), StoreError> {
        let rows = spans.iter().map(PollSpanRow::from).collect();
        self.insert::<PollSpanRow<'_>>("poll_spans", token, rows).await
    }

    /// Inserts stacks, as seen at a unix time in seconds.
    pub(super) async fn insert_stacks(
        &self,
        stacks: &[Stack],
        seen: u32,
        token: &str,
    ) -> Result<(), StoreError> {
        let rows = stacks.iter().map(|stack| StackRow::new(stack, seen)).collect();
        self.insert::<StackRow<'_>>("stacks", token, rows).await
    }

    /// Inserts suspects.
    pub(super) async fn insert_suspects(
        &self,
        suspects: &[Suspect],
        token: &str,
    ) -> Result<(), StoreError> {
        let rows = suspects.iter().map(SuspectRow::from).collect();
        self.insert::<SuspectRow<'_>>("suspects", token, rows).await
    }

    /// Writes episodes over what was there under their ids.
    pub(super) async fn upsert_episodes<'a>(
        &self,
        episodes: impl Iterator<Item = &'a (Outline, bool)>,
        revision: u64,
    ) -> Result<(), StoreError> {
        let row = |(e, removed): &'a (Outline, bool)| EpisodeRow::new(e, revision, *removed);
        let rows = episodes.map(row).collect();
        self.insert::<EpisodeRow<'_>>("episodes", "", rows).await
    }

    /// Takes episodes away that an earlier run wrote.
    pub(super) async fn remove_episodes(
        &self,
        episodes: &[RecentEpisode],
        revision: u64,
    ) -> Result<(), StoreError> {
        let rows = episodes.iter().map(|episode| episode.removal(revision)).collect();
        self.insert::<EpisodeRow<'_>>("episodes", "", rows).await
    }

    /// One insert. It succeeds when the table and all its views have the rows.
    pub(super) async fn insert<'r, T>(
        &self,
        table: &str,
        token: &str,
        rows: Vec<T::Value<'r>>,
    ) -> Result<(), StoreError>
    where
        T: RowWrite,
    {
        if rows.is_empty() {
            return Ok(());
        }
        let insert = self.client.insert::<T>(table).await.map_err(|e| self.explain(&e))?;
        let mut insert = insert
            .with_timeouts(Some(TIMEOUT), Some(TIMEOUT))
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplication_token", token)
            .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1");
        for row in rows {
            insert.write(&row).await.map_err(|e| self.explain(&e))?;
        }
        insert.end().await.map_err(|e| self.explain(&e))
    }
}
