//! Sends one batch until ClickHouse has it.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::aside::{Aside, AsideFile, AsideHead};
use super::mark::BatchMark;
use super::source::Taken;
use crate::clock::now_ns;
use crate::log::{Entry, Log};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError, Table};

/// Between two tries, at least and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How often a ClickHouse that was away is asked whether it is there.
const LOOK: Duration = Duration::from_secs(1);
/// After so many times ClickHouse will not find it later, nor take it under the same token.
const MISSING_MAX: u32 = 5;

/// A batch that the log knows.
pub(super) struct Batch {
    /// What the log says of it.
    pub(super) mark: BatchMark,
    /// Its entries, without repeats.
    pub(super) entries: Vec<Taken>,
}

impl Batch {
    /// How many rows it has.
    pub(super) fn rows(&self) -> usize {
        self.entries.iter().map(|entry| entry.rows.rows()).sum()
    }
}

/// What became of a batch.
pub(super) struct Sent {
    /// The batch.
    pub(super) batch: Batch,
    /// Rows that ClickHouse refused: their table, and their entry.
    pub(super) refused: HashSet<(Table, u64)>,
}

/// It was told to stop before ClickHouse had the batch. The log has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stopped;

/// What sends.
pub(super) struct Sender {
    pub(super) store: Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) log: Log,
    pub(super) aside: Aside,
}

impl Sender {
    /// Returns when ClickHouse has the batch, except for what it refuses, or takes again and again
    /// and does not have: that is put aside.
    pub(super) async fn send(
        &self,
        batch: Batch,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Sent, Stopped> {
        let mut refused = HashSet::new();
        let (mut pause, mut missing) = (PAUSE_MIN, 0);
        loop {
            for table in Table::ALL {
                let of_table = self.send_table(table, &batch, stop).await?;
                refused.extend(of_table.into_iter().map(|sequence| (table, sequence)));
            }
            let Err(error) = self.find(&batch, &refused, stop).await? else {
                return Ok(Sent { batch, refused });
            };
            self.metrics.not_found();
            missing += u32::from(matches!(error, StoreError::Missing { .. }));
            if missing > MISSING_MAX {
                self.put_aside_missing(&batch, &mut refused, stop).await?;
                return Ok(Sent { batch, refused });
            }
            let id = &batch.mark.id;
            tracing::error!("batch {id} was taken and can't be found; it is sent again: {error}");
            wait(pause, stop).await?;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Looks a batch up as soon as ClickHouse answers.
    async fn find(
        &self,
        batch: &Batch,
        refused: &HashSet<(Table, u64)>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Result<(), StoreError>, Stopped> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.look_up(batch, refused).await {
                Err(error) if error.is_of_the_way() => {
                    let id = &batch.mark.id;
                    tracing::warn!(
                        "batch {id} was taken, and is looked up when that works: {error}"
                    );
                    self.wait_until_there(pause, stop).await?;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                found => return Ok(found),
            }
        }
    }

    /// Asks for the last row of each table that a batch has rows of, or, where it has none, whether
    /// ClickHouse is there at all. Whatever answers in its place is found out before the log gives
    /// up what it was sent.
    async fn look_up(
        &self,
        batch: &Batch,
        refused: &HashSet<(Table, u64)>,
    ) -> Result<(), StoreError> {
        let mut found = false;
        for table in Table::ALL {
            let of = batch.entries.iter().filter(|it| !refused.contains(&(table, it.sequence)));
            let of: Vec<_> = of.map(|entry| &entry.rows).collect();
            found |= self.store.look_up(table, &of).await?;
        }
        if found { Ok(()) } else { self.store.server_version().await.map(drop) }
    }

    /// Puts requests aside whose rows ClickHouse takes under their token and does not have.
    async fn put_aside_missing(
        &self,
        batch: &Batch,
        refused: &mut HashSet<(Table, u64)>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        for table in Table::ALL {
            let of = |it: &&Taken| !refused.contains(&(table, it.sequence));
            let of: Vec<_> = batch.entries.iter().filter(of).collect();
            let rows: Vec<_> = of.iter().map(|taken| &taken.rows).collect();
            let Err(error @ StoreError::Missing { .. }) = self.store.look_up(table, &rows).await
            else {
                continue;
            };
            for taken in of.into_iter().filter(|taken| table.rows(&taken.rows) > 0) {
                self.put_aside(taken, table, &error, stop).await?;
                refused.insert((table, taken.sequence));
            }
        }
        Ok(())
    }

    /// Sends a table's rows, in halves where ClickHouse refuses some of them. The halves follow
    /// from the batch, and so do their tokens: after a restart they are the same.
    async fn send_table(
        &self,
        table: Table,
        batch: &Batch,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Vec<u64>, Stopped> {
        let all = 0..batch.entries.len();
        let (mut due, mut refused) = (vec![all.clone()], Vec::new());
        while let Some(part) = due.pop() {
            let token = if part == all {
                batch.mark.id.clone()
            } else {
                format!("{}-{}-{}", batch.mark.id, part.start, part.end)
            };
            let Err(error) = self.send_part(table, batch, part.clone(), &token, stop).await? else {
                continue;
            };
            if part.len() > 1 {
                let middle = part.start.midpoint(part.end);
                due.extend([middle..part.end, part.start..middle]);
                continue;
            }
            let taken = &batch.entries[part.start];
            self.put_aside(taken, table, &error, stop).await?;
            refused.push(taken.sequence);
        }
        Ok(refused)
    }

    /// Tries until ClickHouse takes the rows or says that it never will.
    async fn send_part(
        &self,
        table: Table,
        batch: &Batch,
        part: Range<usize>,
        token: &str,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Result<(), StoreError>, Stopped> {
        let of: Vec<_> = batch.entries[part].iter().map(|entry| &entry.rows).collect();
        let rows: usize = of.iter().map(|of| table.rows(of)).sum();
        if rows == 0 {
            return Ok(Ok(()));
        }
        let seen = u32::try_from(now_ns() / 1_000_000_000).unwrap_or(u32::MAX);
        let mut pause = PAUSE_MIN;
        let mut failed = false;
        loop {
            let began = Instant::now();
            let outcome = self.store.insert_rows(table, &of, seen, token).await;
            self.metrics.insert(rows, began.elapsed(), outcome.is_ok());
            match outcome {
                Ok(()) => {
                    if failed {
                        tracing::info!("ClickHouse takes {} again", table.name());
                    }
                    return Ok(Ok(()));
                }
                Err(error) if error.is_of_rows() => return Ok(Err(error)),
                Err(error) => {
                    if !failed {
                        let table = table.name();
                        tracing::warn!(%error, "{rows} rows of {table} wait; trying until it works");
                    }
                    failed = true;
                    if error.is_of_the_way() {
                        self.wait_until_there(pause, stop).await?;
                    } else {
                        wait(pause, stop).await?;
                    }
                    self.metrics.sent_again();
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Waits, or until ClickHouse answers: one that restarts often is there for moments only.
    async fn wait_until_there(
        &self,
        pause: Duration,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        let until = Instant::now() + pause;
        loop {
            wait(LOOK.min(until.saturating_duration_since(Instant::now())), stop).await?;
            if Instant::now() >= until || self.store.server_version().await.is_ok() {
                return Ok(());
            }
        }
    }

    async fn put_aside(
        &self,
        taken: &Taken,
        table: Table,
        error: &StoreError,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        let mut reader = self.log.reader(taken.sequence);
        loop {
            let entry = tokio::task::block_in_place(|| match reader.find() {
                Ok(Some(found)) => reader.read(&found),
                Ok(None) => Ok(None),
                Err(error) => Err(error),
            });
            match entry {
                Ok(Some(entry)) => {
                    let (name, rows) = (table.name(), table.rows(&taken.rows));
                    let reason = error.to_string();
                    return self.keep(taken.sequence, &entry, (name, rows), &reason, stop).await;
                }
                Ok(None) => {
                    tracing::error!(%error, "a request is refused, and the log has lost it");
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the log");
                    wait(PAUSE_MAX, stop).await?;
                }
            }
        }
    }

    /// Puts an entry aside: `refused` is the table that does not take it, and how many rows.
    pub(super) async fn keep(
        &self,
        sequence: u64,
        entry: &Entry,
        refused: (&str, usize),
        reason: &str,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        let (table, rows) = refused;
        let what = if table.is_empty() { "unreadable" } else { table };
        let id = format!("{:x}-{sequence}-{what}", entry.time_ns);
        tracing::error!("request {id} is put aside, see `holdup spool`: {reason}");
        let head = AsideHead {
            id,
            table: table.to_owned(),
            reason: reason.to_owned(),
            rows,
            received_ns: entry.time_ns,
            label: entry.label,
        };
        let file = AsideFile { head, body: entry.bytes.clone() };
        while let Err(error) = tokio::task::block_in_place(|| self.aside.put(&file)) {
            tracing::error!(%error, "cannot put a request aside");
            wait(PAUSE_MAX, stop).await?;
        }
        self.metrics.put_aside();
        Ok(())
    }
}

/// Waits, unless it is time to stop.
pub(super) async fn wait(pause: Duration, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
    tokio::select! {
        () = sleep(pause) => Ok(()),
        () = told(stop) => Err(Stopped),
    }
}

/// Returns when it is told to stop, or nobody is left to tell it.
pub(super) async fn told(stop: &mut watch::Receiver<bool>) {
    let _told = stop.wait_for(|stop| *stop).await.is_ok();
}
