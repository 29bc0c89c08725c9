//! Takes entries out of the log, sends them in batches, and folds what is stored into episodes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout};

use super::ahead::Ahead;
use super::aside::Aside;
use super::gather::FOLD_TICK;
use super::intake::Intake;
use super::lane::Lane;
use super::mark::{BatchMark, Mark, Resume};
use super::names::{NameLimits, Names};
use super::progress::Progress;
use super::repeats::{Repeats, count, identities, leave_out, leave_out_repeats};
use super::send::{Batch, Sender, Sent, Stopped, wait};
use super::shared::Shared;
use super::source::{Reread, Source, Taken};
use super::spans::Spans;
use super::stacks::KnownStacks;
use super::tail::Tail;
use crate::clock::now_ns;
use crate::fold::{Change, Fold, Outline, Settings as FoldSettings};
use crate::log::{Log, Recovered};
use crate::metrics::Metrics;
use crate::polls::Identity;
use crate::store::{RecentEpisode, Revision, Store, StoreError, Table};

/// Bounds of batches, and of what waits in memory.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// A batch is sent when it has so many rows, or four times as many where more come,
    pub(crate) rows_max: usize,
    /// or so many bytes,
    pub(crate) bytes_max: usize,
    /// or so many, of those that have more rows,
    pub(crate) grown_bytes_max: usize,
    /// or its first entry waits for so long and the last batch was sent so long ago.
    pub(crate) interval: Duration,
    /// Bytes of requests under way, and about as many of rows that wait.
    pub(crate) waiting_bytes_max: usize,
    /// Poll spans that are remembered to recognise repeats.
    pub(crate) repeats_max: usize,
    /// How many names are told apart.
    pub(crate) names: NameLimits,
    /// How polls become episodes.
    pub(crate) fold: FoldSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rows_max: 50_000,
            bytes_max: 32 << 20,
            grown_bytes_max: 64 << 20,
            interval: Duration::from_secs(2),
            waiting_bytes_max: 256 << 20,
            repeats_max: 250_000,
            names: NameLimits::default(),
            fold: FoldSettings::default(),
        }
    }
}

/// How long reading back may take at the start.
const RECOVER_TIME_MAX: Duration = Duration::from_secs(60);
/// How long writing episodes may take.
const EPISODES_TIME_MAX: Duration = Duration::from_secs(10);
/// A batch that was first sent longer ago may have left the tables' window of tokens, where there are
/// more than twenty collectors: docs/guarantees.md has the sum.
const SENT_AGE_MAX: Duration = Duration::from_secs(3_600);
/// Between two tries of what keeps all else waiting.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// Sends batches, folds them into episodes, and writes those.
pub(crate) struct Batcher {
    pub(super) sender: Arc<Sender>,
    /// The way of all entries, or of a backlog,
    pub(super) lane: Lane,
    /// and that of what came since.
    pub(super) ahead: Option<Ahead>,
    tail: Arc<Tail>,
    reread: Reread,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) settings: Settings,
    pub(super) metrics: Arc<Metrics>,
    pub(super) progress: Arc<Progress>,
    resume: Resume,
    pub(super) repeats: Repeats,
    pub(super) names: Names,
    pub(super) fold: Fold,
    /// Up to this time all that came is folded, ns since 1970.
    pub(super) folded_ns: u64,
    /// Whether what was stored last came so long ago that there is a backlog.
    late: bool,
    /// Episodes that ClickHouse has not taken yet, by id, and whether they are to be taken away.
    episodes_due: HashMap<u64, (Outline, bool)>,
    /// When episodes were written last.
    written: Instant,
    stacks: KnownStacks,
    /// Begins the names of this run's batches.
    pub(super) run: u64,
    pub(super) revision: u64,
    /// What other collectors write of the same episodes.
    pub(super) shared: Shared,
}

impl Batcher {
    /// A batcher that goes on where an earlier run was, and the intake that feeds it.
    pub(crate) fn new(
        store: Store,
        (log, recovered): (Log, &Recovered),
        reread: Reread,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> (Intake, Self) {
        let marks = recovered.marks.iter().map(|mark| mark.bytes.as_slice());
        let resume = Resume::of(recovered.first, marks);
        let tail = Arc::new(Tail::new(settings.waiting_bytes_max));
        let progress = Arc::new(Progress::default());
        if recovered.last_entry >= resume.stored {
            progress.acknowledged(recovered.last_entry);
        }
        let stacks = KnownStacks::new();
        let intake = Intake::new(
            log.clone(),
            Arc::clone(&tail),
            Arc::clone(&progress),
            settings.waiting_bytes_max,
            Arc::clone(stacks.stored()),
        );
        let sender = Arc::new(Sender {
            store: store.clone(),
            metrics: Arc::clone(&metrics),
            log: log.clone(),
            aside: Aside::bounded(log.folder(), log.bytes_max()),
        });
        let batcher = Self {
            sender,
            lane: Lane::new(source(&log, &tail, &reread, resume.stored), resume.stored),
            ahead: None,
            tail,
            reread,
            repeats: Repeats::new(settings.repeats_max),
            names: Names::new(settings.names),
            fold: Fold::new(settings.fold.clone()),
            store,
            log,
            settings,
            metrics,
            progress,
            resume,
            folded_ns: 0,
            late: false,
            episodes_due: HashMap::new(),
            written: Instant::now(),
            stacks,
            run: RandomState::new().hash_one(now_ns()),
            revision: 0,
            shared: Shared::new(),
        };
        batcher.progress.stored(batcher.lane.next);
        (intake, batcher)
    }

    /// Runs until it is told to stop and all that was taken is stored, or can't be.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        if self.run_until_stopped(&mut stop).await == Err(Stopped) {
            tracing::warn!("what ClickHouse has not taken is in the log for the next start");
        }
        if !self.episodes_due.is_empty() {
            let count = self.episodes_due.len();
            tracing::warn!("{count} episodes were not written; the next start makes them again");
        }
    }

    async fn run_until_stopped(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        self.prepare(stop).await?;
        self.resume(stop).await?;
        loop {
            let stopping = *stop.borrow();
            let entries = self.gather(stop).await?;
            let ends = stopping && entries.is_empty() && self.ahead.is_none();
            if !entries.is_empty() {
                self.write(entries, stop).await?;
                self.look_ahead(stop).await?;
            } else if self.ahead.is_some() {
                self.join(stop).await?;
            }
            while ends && !self.lane.flight.is_empty() {
                self.settle(stop).await?;
            }
            self.replay(stop).await?;
            self.share().await;
            self.collect_changes();
            // One batch after the other does not wait for them.
            if ends || !self.lane.pace.was_full() || self.written.elapsed() >= FOLD_TICK {
                self.write_episodes().await;
            }
            self.metrics.fold(self.fold.remembered(), self.fold.counts());
            if ends {
                return Ok(());
            }
        }
    }

    /// Brings the schema up to date and folds again what an earlier run stored, as soon as
    /// ClickHouse can be asked.
    async fn prepare(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        loop {
            let prepared = match self.store.migrate().await {
                Ok(_steps) => self.recover().await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let Err(error) = prepared else { return Ok(()) };
            tracing::warn!("{error}; the log takes requests meanwhile");
            self.metrics.clickhouse(false);
            wait(PAUSE, stop).await?;
        }
    }

    /// Folds again what an earlier run stored, so that episodes go on where they were, and what
    /// that run had no time to write is written.
    async fn recover(&mut self) -> Result<(), StoreError> {
        match timeout(RECOVER_TIME_MAX, self.read_back()).await {
            Ok(done) => done,
            Err(_late) => Err(self.store.late(RECOVER_TIME_MAX).await),
        }
    }

    async fn read_back(&mut self) -> Result<(), StoreError> {
        // The fold is to be as it was when the first entry came that is left in the log.
        let since = block_in_place(|| self.log.time_after(self.lane.next)).unwrap_or_else(now_ns);
        let memory = u64::try_from(self.settings.fold.memory.as_nanos()).unwrap_or(u64::MAX);
        let horizon = since.min(now_ns()).saturating_sub(memory);
        for (service, name) in self.store.known_names(self.settings.names.all()).await? {
            self.names.know(&service, &name);
        }
        let horizon = i64::try_from(horizon).unwrap_or(i64::MAX);
        let limit = self.settings.fold.polls_max;
        // Episodes first: one that another collector writes meanwhile must not look stale.
        let mut stale = self.store.recent_episodes(horizon).await?;
        // The clock may have been set back since they were written.
        let written = stale.iter().map(RecentEpisode::revision).max();
        self.revision = self.revision.max(written.unwrap_or(0));
        let polls = self.store.recent_polls(horizon, limit).await?;
        self.folded_ns = since;
        block_in_place(|| {
            for poll in &polls {
                self.fold.push(poll);
            }
            self.repeats.remember(Spans::of(polls.len(), polls.iter().map(Identity::from)));
        });
        self.collect_changes();
        if polls.len() >= limit {
            tracing::warn!(
                "more than {limit} polls are under way in episodes: those that began before them \
                 are left as they were written"
            );
            return Ok(());
        }
        stale.retain(|episode| !self.episodes_due.contains_key(&episode.id()));
        let revision = self.next_revision();
        self.store.remove_episodes(&stale, revision).await?;
        self.write_episodes().await;
        Ok(())
    }

    /// Goes on where an earlier run was: what it may have sent is sent again.
    async fn resume(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        for mark in std::mem::take(&mut self.resume.in_flight) {
            let batch = read_again(&mut self.lane, mark, &self.sender, stop).await?;
            self.send_again(batch, false, stop).await?;
        }
        let Some(resume) = self.resume.ahead.take() else { return Ok(()) };
        self.lane.end_at(resume.from);
        let mut lane = Lane::new(self.source(resume.stored), resume.stored);
        let mut again = Vec::new();
        for mark in resume.in_flight {
            again.push(read_again(&mut lane, mark, &self.sender, stop).await?);
        }
        self.ahead = Some(Ahead::new(lane, resume.from));
        self.progress.live(0);
        for batch in again {
            self.send_again(batch, true, stop).await?;
        }
        Ok(())
    }

    /// Sends a batch that an earlier run may have sent: the same entries less the same repeats,
    /// under the same token.
    async fn send_again(
        &mut self,
        Batch { mark, mut entries }: Batch,
        is_ahead: bool,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        let age = Duration::from_nanos(now_ns().saturating_sub(mark.formed_ns));
        if age > SENT_AGE_MAX {
            tracing::warn!(
                "batch {} was first sent {} s ago: where other collectors have inserted more than \
                 the tables' window of tokens since, its rows count twice",
                mark.id,
                age.as_secs()
            );
            self.metrics.sent_late();
        }
        self.metrics.sent_again();
        self.names.again(&mark.renamed, &mut entries);
        leave_out(&mark.repeats.iter().copied().collect(), &mut entries);
        while self.lane.flight.is_full() {
            self.settle(stop).await?;
        }
        let lane = match &mut self.ahead {
            Some(ahead) if is_ahead => &mut ahead.lane,
            _ => &mut self.lane,
        };
        block_in_place(|| {
            let polls = Spans::of(count(&entries), identities(&entries));
            lane.flight.send((Batch { mark, entries }, polls), &self.sender, stop);
        });
        Ok(())
    }

    /// Begins to send a batch, and a lane for what is live where that would wait for a backlog.
    async fn write(
        &mut self,
        entries: Vec<Taken>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Stopped> {
        while self.lane.flight.is_full() || block_in_place(|| self.is_under_way(&entries)) {
            self.settle(stop).await?;
            self.tell_oldest(&entries);
        }
        if self.late && self.lane.pace.was_full() && self.ahead.is_none() {
            self.go_ahead().await;
        }
        self.lane.pace.sent(Instant::now());
        let batch = self.form(entries, self.lane.next, stop).await?;
        block_in_place(|| self.lane.flight.send(batch, &self.sender, stop));
        Ok(())
    }

    /// A batch of these entries, all there are of a lane before `to`. The log notes what it is.
    pub(super) async fn form(
        &mut self,
        mut entries: Vec<Taken>,
        to: u64,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(Batch, Spans), Stopped> {
        let from = entries.first().map_or(to, |first| first.sequence);
        let ((renamed, overflowed), (repeats, polls)) = block_in_place(|| {
            self.metrics.stacks_left_out(self.stacks.leave_out(&mut entries));
            // From here on they are sent until they are stored, by this run or the next.
            let stacks = entries.iter().flat_map(|entry| &entry.rows.stacks);
            self.stacks.know(stacks.map(|stack| stack.id));
            let renamed = self.names.bound(&mut entries);
            (renamed, leave_out_repeats(&self.repeats, &mut entries))
        });
        self.metrics.overflowed(overflowed);
        self.metrics.repeated(repeats.len());
        let id = format!("{:016x}-{from}", self.run);
        let mark = BatchMark { id, from, to, formed_ns: now_ns(), repeats, renamed };
        let note = Mark::Batch(mark.clone()).bytes();
        while let Err(error) = self.log.mark(note.clone()).await {
            tracing::error!("{error}; nothing is sent before its batch is in the log");
            wait(PAUSE, stop).await?;
        }
        Ok((Batch { mark, entries }, polls))
    }

    /// Notes that ClickHouse has a batch, and with it all that stands before. A large one takes
    /// milliseconds of work.
    pub(super) fn take_in(&mut self, (sent, polls): (Sent, Spans)) {
        let batch = &sent.batch;
        self.metrics.batch(batch.rows());
        self.log.note(Mark::Stored(batch.mark.to).bytes());
        let last_ns = batch.entries.last().map_or(0, |entry| entry.time_ns);
        self.late = self.is_late(last_ns);
        block_in_place(|| {
            self.log.release(batch.mark.to);
            let times = batch.entries.iter().map(|entry| entry.time_ns);
            self.folded_ns = times.fold(self.folded_ns, u64::max);
            self.take_in_stored(&sent, polls);
        });
        self.progress.stored(batch.mark.to);
    }

    /// Folds the polls of a batch, as far as they are stored.
    pub(super) fn take_in_stored(&mut self, Sent { batch, refused }: &Sent, polls: Spans) {
        let is_stored = |entry: &&Taken| !refused.contains(&(Table::Polls, entry.sequence));
        let stored = || batch.entries.iter().filter(is_stored);
        self.repeats.remember(if refused.is_empty() {
            polls
        } else {
            Spans::of(0, stored().flat_map(|entry| entry.rows.polls.identities()))
        });
        stored().for_each(|entry| self.fold.push_all(&entry.rows.polls));
    }

    /// Tells when the first entry came that is not stored, these being the last to know of.
    pub(super) fn tell_oldest(&self, gathered: &[Taken]) {
        let first = gathered.first().map(|entry| entry.time_ns);
        if let Some(oldest_ns) = self.lane.flight.oldest_ns().or(first) {
            self.progress.oldest(oldest_ns);
        }
    }

    /// Folds polls that are stored.
    pub(super) fn take_in_polls(&mut self, rows: &crate::decode::Decoded) {
        self.repeats.remember(Spans::of(rows.polls.len(), rows.polls.identities()));
        self.fold.push_all(&rows.polls);
    }

    /// Entries from a sequence number on.
    pub(super) fn source(&self, from: u64) -> Source {
        source(&self.log, &self.tail, &self.reread, from)
    }

    fn collect_changes(&mut self) {
        // Behind the log, time is when the entries came: what is read late is not folded late.
        let unread = *self.log.end().borrow() > self.lane.next && !self.progress.rows_stored();
        if !unread && self.ahead.is_none() && self.lane.flight.is_empty() {
            self.folded_ns = now_ns();
        }
        for change in self.fold.changes(self.folded_ns) {
            let (episode, removed) = match change {
                Change::Upsert(episode) => (episode, false),
                Change::Remove(episode) => (episode, true),
            };
            // Of what ClickHouse has not taken yet, only the last form matters.
            self.episodes_due.insert(episode.id, (episode, removed));
        }
    }

    async fn write_episodes(&mut self) {
        self.written = Instant::now();
        if !self.episodes_due.is_empty() {
            let revision = self.next_revision();
            let written = self.store.upsert_episodes(self.episodes_due.values(), revision);
            match timeout(EPISODES_TIME_MAX, written).await {
                Ok(Ok(())) => self.episodes_due.clear(),
                Ok(Err(error)) => tracing::warn!(%error, "episodes wait for ClickHouse"),
                Err(_late) => tracing::warn!("episodes wait for ClickHouse, which is slow"),
            }
        }
        if self.episodes_due.is_empty() {
            self.progress.episodes_stored();
        }
    }

    /// A number that grows with every write, also when the clock is set back.
    fn next_revision(&mut self) -> Revision {
        self.revision = now_ns().max(self.revision + 1);
        self.shared.wrote = self.revision;
        Revision { number: self.revision, writer: self.run }
    }
}

fn source(log: &Log, tail: &Arc<Tail>, reread: &Reread, from: u64) -> Source {
    Source::new(log.reader(from), Arc::clone(tail), Arc::clone(reread))
}

/// The entries of a batch as the log has them.
async fn read_again(
    lane: &mut Lane,
    mark: BatchMark,
    sender: &Sender,
    stop: &mut watch::Receiver<bool>,
) -> Result<Batch, Stopped> {
    let mut entries = Vec::new();
    while lane.next < mark.to
        && let Some(next) = lane.next_entry(sender, stop).await?
    {
        entries.extend(next);
    }
    Ok(Batch { mark, entries })
}
