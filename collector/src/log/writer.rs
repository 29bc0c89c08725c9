//! The one thread that writes: what came meanwhile is one group, and one sync makes it durable.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::direct::Direct;
use super::disk::Disk;
use super::keys::Keys;
use super::record::{self, Kind};
use super::segment::{self, SEGMENT_HEAD_BYTES, Segment};
use super::shared::Shared;
use super::{AppendError, Appended, Entry, Settings};

/// A group is closed when it has so many bytes.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// Memory that is kept for the next group.
const BUFFER_BYTES_KEPT: usize = 2 << 20;
/// An entry of so many bytes is written from where it is; a smaller one is gathered with others.
const LARGE_BYTES: usize = 64 << 10;
/// How often it is tried whether the disk takes writes again.
const PROBE: Duration = Duration::from_secs(1);

/// What the thread is asked for.
pub(super) struct Job {
    pub(super) what: What,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

pub(super) enum What {
    Entry(Entry),
    Mark(Bytes),
}

impl What {
    fn bytes(&self) -> usize {
        record::HEAD_BYTES
            + match self {
                Self::Entry(entry) => record::ENTRY_HEAD_BYTES + entry.bytes.len(),
                Self::Mark(bytes) => bytes.len(),
            }
    }
}

/// The file that is written to.
struct Active {
    file: File,
    /// The same, to be written to past the page cache.
    direct: Option<File>,
    number: u64,
    /// Bytes that are on disk.
    bytes: u64,
}

pub(super) struct Writer {
    pub(super) folder: PathBuf,
    pub(super) settings: Settings,
    pub(super) disk: Box<dyn Disk>,
    pub(super) shared: Arc<Shared>,
    pub(super) keys: Keys,
    pub(super) next: u64,
    pub(super) next_number: u64,
    pub(super) jobs: Receiver<Job>,
    active: Option<Active>,
    /// What is written next,
    buffer: Vec<u8>,
    /// and what stands in between: behind how many bytes of it.
    large: Vec<(usize, Bytes)>,
    direct: Direct,
    /// Why what was tried last failed.
    failing: Option<String>,
}

/// Those whose answer hangs on one sync.
#[derive(Default)]
struct Group {
    answers: Vec<(oneshot::Sender<Result<Appended, AppendError>>, Appended)>,
    keys: Vec<u128>,
    entries: u64,
    known: u64,
    newest_ns: u64,
}

impl Writer {
    pub(super) fn new(
        settings: Settings,
        disk: Box<dyn Disk>,
        shared: Arc<Shared>,
        found: (Keys, u64, u64),
        jobs: Receiver<Job>,
    ) -> Self {
        let (keys, next, next_number) = found;
        let folder = settings.folder.clone();
        let (active, buffer, large, failing) = (None, Vec::new(), Vec::new(), None);
        let direct = Direct::new();
        Self {
            folder,
            settings,
            disk,
            shared,
            keys,
            next,
            next_number,
            jobs,
            active,
            buffer,
            large,
            direct,
            failing,
        }
    }

    /// Runs until nobody is left who could append.
    pub(super) fn run(mut self) {
        loop {
            match self.jobs.recv_timeout(PROBE) {
                Ok(first) => {
                    let jobs = self.gather(first);
                    self.commit(jobs);
                }
                Err(RecvTimeoutError::Timeout) => self.probe(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// What waits, up to a bound.
    fn gather(&self, first: Job) -> Vec<Job> {
        let mut bytes = first.what.bytes();
        let mut jobs = vec![first];
        while bytes < GROUP_BYTES_MAX
            && let Ok(next) = self.jobs.try_recv()
        {
            bytes += next.what.bytes();
            jobs.push(next);
        }
        jobs
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let entry_bytes = |job: &Job| match &job.what {
            What::Entry(_) => job.what.bytes(),
            What::Mark(_) => 0,
        };
        let all_bytes: usize = jobs.iter().map(|job| job.what.bytes()).sum();
        // Marks are written on a full disk as well: they are what makes room.
        let refusal = self.refusal(jobs.iter().map(entry_bytes).sum());
        let (taken, refused): (Vec<Job>, Vec<Job>) = jobs
            .into_iter()
            .partition(|job| refusal.is_none() || matches!(job.what, What::Mark(_)));
        if let Some(error) = refusal {
            self.shared.counters.refused(refused.len());
            for job in refused {
                let _gone = job.answer.send(Err(error.clone()));
            }
        }
        if taken.is_empty() {
            return;
        }
        let mut group = Group::default();
        let written = self.ready(all_bytes).and_then(|()| {
            self.encode(taken, &mut group);
            self.write(&group)
        });
        self.answer(group, written);
        self.large.clear();
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
    }

    /// Why nothing more is taken in, if that is so.
    fn refusal(&self, more: usize) -> Option<AppendError> {
        if more == 0 {
            return None;
        }
        let (more, held) = (u64::try_from(more).unwrap_or(u64::MAX), self.shared.bytes());
        let refusal = if held.saturating_add(more) > self.settings.bytes_max {
            Some(AppendError::Full { bytes_max: self.settings.bytes_max })
        } else {
            self.disk_refusal(more)
        };
        self.shared.set_refusing(refusal.as_ref().map(ToString::to_string), self.failing.as_ref());
        refusal
    }

    fn disk_refusal(&self, more: u64) -> Option<AppendError> {
        match self.disk.free_bytes(&self.folder) {
            Ok(free) if free < self.settings.free_min.saturating_add(more) => {
                Some(AppendError::DiskFull { free, free_min: self.settings.free_min })
            }
            Ok(_) => None,
            Err(error) => Some(AppendError::Failed(format!("cannot ask for free space: {error}"))),
        }
    }

    /// Sees to a file that has room for so many bytes.
    fn ready(&mut self, more: usize) -> io::Result<()> {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let empty = u64::try_from(SEGMENT_HEAD_BYTES).unwrap_or(u64::MAX);
        let fits = self.active.as_ref().is_some_and(|active| {
            active.bytes == empty || active.bytes + more <= self.settings.segment_bytes
        });
        if fits {
            return Ok(());
        }
        self.active = None;
        let number = self.next_number;
        self.next_number += 1;
        let file = segment::create(&*self.disk, &self.folder, number, self.next)?;
        let path = segment::path(&self.folder, number);
        let direct = self.disk.open_direct(&path);
        let (first, end) = (self.next, self.next);
        let segment = Segment { path, first, end, bytes: empty, damaged: Vec::new() };
        self.shared.add(number, segment);
        self.active = Some(Active { file, direct, number, bytes: empty });
        Ok(())
    }

    fn encode(&mut self, jobs: Vec<Job>, group: &mut Group) {
        let Some(active) = &self.active else { return };
        let (number, durable) = (active.number, self.next);
        let mut sequence = self.next;
        let is_first = active.bytes == u64::try_from(SEGMENT_HEAD_BYTES).unwrap_or(0);
        if is_first {
            // So that the files before this one can go and what was in them is still recognised.
            let keys = self.keys.bytes();
            record::write(&mut self.buffer, number, (sequence, durable), Kind::Keys, &[&keys]);
            sequence += 1;
        }
        for Job { what, answer } in jobs {
            if let What::Entry(entry) = &what
                && (self.keys.contains(entry.key) || group.keys.contains(&entry.key))
            {
                group.known += 1;
                group.answers.push((answer, Appended::Known));
                continue;
            }
            let at = (sequence, durable);
            match what {
                What::Entry(entry) => {
                    let (key, time) = (entry.key.to_le_bytes(), entry.time_ns.to_le_bytes());
                    let label = entry.label.to_le_bytes();
                    let parts: [&[u8]; 4] = [&key, &time, &label, &entry.bytes];
                    if entry.bytes.len() < LARGE_BYTES {
                        record::write(&mut self.buffer, number, at, Kind::Entry, &parts);
                    } else {
                        record::begin(&mut self.buffer, number, at, Kind::Entry, &parts);
                        parts[..3].iter().for_each(|part| self.buffer.extend_from_slice(part));
                        self.large.push((self.buffer.len(), entry.bytes));
                    }
                    group.keys.push(entry.key);
                    group.entries += 1;
                    group.newest_ns = group.newest_ns.max(entry.time_ns);
                }
                What::Mark(bytes) => {
                    record::write(&mut self.buffer, number, at, Kind::Mark, &[&bytes]);
                }
            }
            group.answers.push((answer, Appended::At(sequence)));
            sequence += 1;
        }
    }

    /// Makes the group durable. Where that fails nothing more goes into this file: the system may
    /// hold pages for clean that never reached the disk. What was acknowledged stands before them.
    fn write(&mut self, group: &Group) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let parts = (self.buffer.as_slice(), self.large.as_slice());
        let written = write_all(&*self.disk, active, parts, &mut self.direct)
            .and_then(|end| self.disk.sync(&active.file).map(|()| end));
        self.shared.counters.sync_seconds.observe(began.elapsed().as_secs_f64());
        match written {
            Ok(end) => active.bytes = end,
            Err(error) => {
                // What can't be cut off is void: the next file begins with the same number.
                let _uncut = active.file.set_len(active.bytes);
                self.active = None;
                return Err(error);
            }
        }
        let is_first = self.next == self.shared.first_of(active.number);
        let records = group.answers.iter().filter(|(_, at)| *at != Appended::Known).count();
        self.next += u64::try_from(records).unwrap_or(u64::MAX) + u64::from(is_first);
        self.shared.durable(active.number, self.next, active.bytes);
        Ok(())
    }

    fn answer(&mut self, group: Group, written: io::Result<()>) {
        let failure = written.err().map(|error| {
            let text = format!("cannot write to {}: {error}", self.folder.display());
            if self.failing.is_none() {
                tracing::error!("{text}; nothing is acknowledged until that works again");
            }
            self.shared.counters.failed.inc();
            text
        });
        match &failure {
            None => {
                if self.failing.is_some() {
                    tracing::info!("the log is written to again");
                }
                group.keys.iter().for_each(|key| self.keys.remember(*key));
                self.shared.counters.appended(group.entries, group.known);
            }
            Some(_) => self.shared.counters.refused(group.answers.len()),
        }
        self.failing.clone_from(&failure);
        self.shared.set_failing(failure.clone());
        for (sender, appended) in group.answers {
            let answer = match &failure {
                None => Ok(appended),
                Some(text) => Err(AppendError::Failed(text.clone())),
            };
            let _gone = sender.send(answer);
        }
    }

    /// Looks whether what was refused would be taken again.
    fn probe(&mut self) {
        if self.failing.is_some() {
            let ready = self.ready(0);
            self.answer(Group::default(), ready);
        }
        let _seen = self.refusal(1);
    }
}

/// Writes what was gathered, each large entry in its place, and returns where the file ends then.
fn write_all(
    disk: &dyn Disk,
    active: &mut Active,
    (buffer, large): (&[u8], &[(usize, Bytes)]),
    direct: &mut Direct,
) -> io::Result<u64> {
    let mut end = active.bytes;
    let count = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut from = 0;
    for (until, entry) in large {
        let before = &buffer[from..*until];
        disk.write(&active.file, before, end)?;
        end += count(before);
        direct.write(disk, (&active.file, &mut active.direct), entry, end)?;
        end += count(entry);
        from = *until;
    }
    let rest = &buffer[from..];
    if !rest.is_empty() {
        disk.write(&active.file, rest, end)?;
    }
    Ok(end + count(rest))
}
