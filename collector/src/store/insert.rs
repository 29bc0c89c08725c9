//! Sends batches of rows.

use std::time::Duration;

use clickhouse::RowWrite;

use super::insert_measured::{GaugeRow, HeartbeatRow, HistogramRow, TaskRow};
use super::rows::{EpisodeRow, RecentEpisode, Revision, StackRow, SuspectRow};
use super::{Store, StoreError, catalog, native};
use crate::decode::Decoded;
use crate::fold::Outline;
use crate::polls::Polls;

/// How long ClickHouse may take for one part of a request, and for its answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The tables that the rows of requests go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Table {
    /// `stacks`
    Stacks,
    /// `suspects`
    Suspects,
    /// `poll_histograms`
    Histograms,
    /// `runtime_gauges`
    Gauges,
    /// `heartbeats`
    Heartbeats,
    /// `tasks`
    Tasks,
    /// `poll_spans`, and all that views make of it.
    Polls,
}

impl Table {
    /// All, in the order in which a batch is sent.
    pub(crate) const ALL: [Self; 7] = [
        Self::Stacks,
        Self::Suspects,
        Self::Histograms,
        Self::Gauges,
        Self::Heartbeats,
        Self::Tasks,
        Self::Polls,
    ];

    /// Its name in ClickHouse.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stacks => "stacks",
            Self::Suspects => "suspects",
            Self::Histograms => "poll_histograms",
            Self::Gauges => "runtime_gauges",
            Self::Heartbeats => "heartbeats",
            Self::Tasks => "tasks",
            Self::Polls => "poll_spans",
        }
    }

    /// How many rows of a request go into it.
    pub(crate) fn rows(self, of: &Decoded) -> usize {
        match self {
            Self::Stacks => of.stacks.len(),
            Self::Suspects => of.suspects.len(),
            Self::Histograms => of.measured.histograms.len(),
            Self::Gauges => of.measured.gauges.len(),
            Self::Heartbeats => of.measured.heartbeats.len(),
            Self::Tasks => of.measured.tasks.len(),
            Self::Polls => of.polls.len(),
        }
    }
}

impl Store {
    /// Inserts those rows of requests that go into one table, stacks as seen at a unix time in
    /// seconds. The same rows sent again under the same token within the table's window add
    /// nothing, in the table and in its views; a token hides other rows sent under it.
    pub(crate) async fn insert_rows(
        &self,
        table: Table,
        of: &[&Decoded],
        seen: u32,
        token: &str,
    ) -> Result<(), StoreError> {
        let name = table.name();
        let of = of.iter();
        match table {
            Table::Stacks => {
                let stacks = of.flat_map(|of| &of.stacks);
                let rows = stacks.map(|stack| StackRow::new(stack, seen)).collect();
                // A stack that is there twice is one: what counts is when it was seen.
                self.insert::<StackRow<'_>>(name, "", rows).await
            }
            Table::Suspects => {
                let rows = of.flat_map(|of| &of.suspects).map(SuspectRow::from).collect();
                self.insert::<SuspectRow<'_>>(name, token, rows).await
            }
            Table::Histograms => {
                let rows = of.flat_map(|of| &of.measured.histograms);
                let rows = rows.map(HistogramRow::from).collect();
                self.insert::<HistogramRow<'_>>(name, token, rows).await
            }
            Table::Gauges => {
                let rows = of.flat_map(|of| &of.measured.gauges).map(GaugeRow::from).collect();
                self.insert::<GaugeRow<'_>>(name, token, rows).await
            }
            Table::Heartbeats => {
                let rows = of.flat_map(|of| &of.measured.heartbeats);
                let rows = rows.map(HeartbeatRow::from).collect();
                self.insert::<HeartbeatRow<'_>>(name, token, rows).await
            }
            Table::Tasks => {
                let rows = of.flat_map(|of| &of.measured.tasks).map(TaskRow::from).collect();
                self.insert::<TaskRow<'_>>(name, token, rows).await
            }
            Table::Polls => {
                let of: Vec<&Polls> = of.map(|of| &of.polls).collect();
                self.insert_polls(&of, token).await
            }
        }
    }

    /// Inserts poll spans, column by column.
    async fn insert_polls(&self, of: &[&Polls], token: &str) -> Result<(), StoreError> {
        if of.iter().all(|polls| polls.len() == 0) {
            return Ok(());
        }
        let insert = self.client.insert_formatted_with(catalog::insertion("insert_poll_spans"));
        let mut insert = insert.with_timeouts(Some(TIMEOUT), Some(TIMEOUT));
        for (name, value) in settings(token) {
            insert = insert.with_setting(name, value);
        }
        let sent = async {
            for part in native::block(of) {
                insert.send(part.into()).await?;
            }
            insert.end().await
        };
        self.explained(sent.await).await
    }

    /// What became of an insert, as whoever has to act on it is told.
    async fn explained(&self, sent: clickhouse::error::Result<()>) -> Result<(), StoreError> {
        match sent {
            Ok(()) => Ok(()),
            Err(error) => Err(self.explain_late(&error, TIMEOUT).await),
        }
    }

    /// Writes episodes over what was there under their ids.
    pub(crate) async fn upsert_episodes<'a>(
        &self,
        episodes: impl Iterator<Item = &'a (Outline, bool)>,
        revision: Revision,
    ) -> Result<(), StoreError> {
        let row = |(e, removed): &'a (Outline, bool)| EpisodeRow::new(e, revision, *removed);
        let rows = episodes.map(row).collect();
        self.insert::<EpisodeRow<'_>>("episodes", "", rows).await
    }

    /// Takes episodes away that an earlier run wrote.
    pub(crate) async fn remove_episodes(
        &self,
        episodes: &[RecentEpisode],
        revision: Revision,
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
        let mut insert = insert.with_timeouts(Some(TIMEOUT), Some(TIMEOUT));
        for (name, value) in settings(token) {
            insert = insert.with_setting(name, value);
        }
        let sent = async {
            for row in rows {
                insert.write(&row).await?;
            }
            insert.end().await
        };
        self.explained(sent.await).await
    }
}

/// Settings of every insert.
fn settings(token: &str) -> [(&'static str, &str); 4] {
    [
        ("async_insert", "0"),
        // Else an error that comes after the answer's head would come with status 200.
        ("wait_end_of_query", "1"),
        ("insert_deduplication_token", token),
        ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ]
}
