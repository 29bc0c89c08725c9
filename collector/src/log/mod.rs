//! A write-ahead log in files: what was appended is on disk before that is said, and comes back
//! after whatever end.
//!
//! It knows nothing of what the bytes mean. Whoever appends gives each entry a key; the same key
//! again, within a bound, is no second entry. Whoever empties the log writes marks into it, to find
//! at the next start how far it was.
//!
//! Blocking: [`Log::open`] and [`Reader`]. All else waits without holding a thread.

mod counters;
mod direct;
mod disk;
#[cfg(test)]
mod fuzz;
mod keys;
#[cfg(test)]
mod properties;
mod reader;
mod record;
mod recover;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

pub(crate) use counters::Counters;
use disk::Disk;
pub(crate) use disk::RealDisk;
pub(crate) use reader::{Found, Reader};
use shared::Shared;
use writer::{Job, What, Writer};

/// Appends that may wait for the writing thread.
const JOBS_MAX: usize = 4_096;
/// The most keys that are remembered.
const KEYS_MAX: usize = 65_536;

/// Where a log is, and how large it may be.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The folder of its files, of its own.
    pub(crate) folder: PathBuf,
    /// Bytes that all files may have.
    pub(crate) bytes_max: u64,
    /// Bytes that stay free on the disk.
    pub(crate) free_min: u64,
    /// Bytes of one file.
    pub(crate) segment_bytes: u64,
}

impl Settings {
    /// Keys that are remembered: each file begins with them, which is at most an eighth of it.
    fn keys_max(&self) -> usize {
        usize::try_from(self.segment_bytes / 128).unwrap_or(usize::MAX).min(KEYS_MAX)
    }
}

/// Something to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Names it: the same key again is the same entry.
    pub(crate) key: u128,
    /// When it came, ns since 1970.
    pub(crate) time_ns: u64,
    /// What it is, in the terms of whoever appends.
    pub(crate) label: u32,
    /// The entry itself.
    pub(crate) bytes: Bytes,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    /// It is on disk, under this sequence number.
    At(u64),
    /// An entry of this key was on disk already.
    Known,
}

/// A note of whoever empties the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Its place in the log.
    pub(crate) sequence: u64,
    /// What it says.
    pub(crate) bytes: Vec<u8>,
}

/// Why nothing was appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AppendError {
    /// The files have as many bytes as they may have.
    #[error(
        "the log is full ({bytes_max} bytes): ClickHouse takes too little; see that it runs, or \
         raise --log-bytes-max"
    )]
    Full {
        /// How many those are.
        bytes_max: u64,
    },
    /// Too little is free on its disk.
    #[error(
        "the log's disk has {free} bytes free, and {free_min} are kept free: make room, or lower \
         --log-free-min"
    )]
    DiskFull {
        /// How much.
        free: u64,
        /// How much there should be.
        free_min: u64,
    },
    /// The disk failed.
    #[error("the log failed: {0}")]
    Failed(String),
    /// Too much waits for the disk.
    #[error("the log's disk is slow: too much waits for it")]
    Busy,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Another process has it.
    #[error(
        "another holdup uses the log in {folder}: stop it, or give this one a folder of its own \
         with --log-dir"
    )]
    InUse {
        /// Which folder.
        folder: PathBuf,
    },
    /// A later holdup wrote it.
    #[error(
        "{path} is of version {version}, and this holdup reads version {} only: let the one that \
         wrote it empty it",
        segment::VERSION
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The disk failed, or the folder is not ours.
    #[error("cannot use the log's folder {folder}: {source}. See --log-dir")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What an earlier run left.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The sequence number of the first record that is still there.
    pub(crate) first: u64,
    /// The sequence number of the last entry; 0 when there is none.
    pub(crate) last_entry: u64,
    /// The marks, in order.
    pub(crate) marks: Vec<Mark>,
}

impl Recovered {
    /// Whether nothing was ever written to it.
    pub(crate) fn is_empty(&self) -> bool {
        self.first == 1 && self.last_entry == 0 && self.marks.is_empty()
    }
}

/// An open log. Copies are the same log.
#[derive(Clone)]
pub(crate) struct Log {
    jobs: SyncSender<Job>,
    shared: Arc<Shared>,
    folder: PathBuf,
    bytes_max: u64,
    _lock: Arc<File>,
}

impl Log {
    /// Opens a folder, which is made where there is none, and says what was in it.
    ///
    /// # Errors
    ///
    /// Where another process has it, a newer version wrote it, or the disk fails.
    pub(crate) fn open(
        settings: Settings,
        disk: Box<dyn Disk>,
        counters: Counters,
    ) -> Result<(Self, Recovered), OpenError> {
        let (folder, bytes_max) = (settings.folder.clone(), settings.bytes_max);
        let failed = |source| OpenError::Folder { folder: folder.clone(), source };
        let lock = recover::lock(&folder)?;
        let found = recover::read(&folder, settings.keys_max())?;
        counters.torn(found.torn_bytes);
        counters.damaged(found.lost);
        if found.torn_bytes > 0 {
            tracing::info!(
                "cut {} bytes off the log that were never acknowledged",
                found.torn_bytes
            );
        }
        if found.lost > 0 {
            let aside = folder.join("damaged");
            let lost = found.lost;
            tracing::error!("the log is damaged: {lost} records are lost; see {}", aside.display());
        }
        let first = found.segments.values().next().map_or(found.next, |segment| segment.first);
        let (last_entry, marks) = (found.last_entry, found.marks);
        let recovered = Recovered { first, last_entry, marks };
        let shared = Arc::new(Shared::new(found.segments, found.next, counters));
        let (jobs, waiting) = sync_channel(JOBS_MAX);
        let state = (found.keys, found.next, found.next_number);
        let writer = Writer::new(settings, disk, Arc::clone(&shared), state, waiting);
        let thread = std::thread::Builder::new().name("log".into());
        thread.spawn(move || writer.run()).map_err(failed)?;
        Ok((Self { jobs, shared, folder, bytes_max, _lock: Arc::new(lock) }, recovered))
    }

    /// Returns when the entry is on disk, or can't be.
    ///
    /// # Errors
    ///
    /// Where the log is full, too slow, or its disk fails: the entry is not in it then.
    pub(crate) async fn append(&self, entry: Entry) -> Result<Appended, AppendError> {
        self.ask(What::Entry(entry)).await
    }

    /// Returns when a mark is on disk. Marks are taken by a full log, too.
    ///
    /// # Errors
    ///
    /// Where the disk fails.
    pub(crate) async fn mark(&self, bytes: Vec<u8>) -> Result<Appended, AppendError> {
        self.ask(What::Mark(bytes.into())).await
    }

    /// Writes a mark without waiting for it: whether it stays is not known.
    pub(crate) fn note(&self, bytes: Vec<u8>) {
        let (answer, _nobody_waits) = oneshot::channel();
        let _full = self.jobs.try_send(Job { what: What::Mark(bytes.into()), answer });
    }

    async fn ask(&self, what: What) -> Result<Appended, AppendError> {
        let (answer, answered) = oneshot::channel();
        match self.jobs.try_send(Job { what, answer }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(AppendError::Busy),
            Err(TrySendError::Disconnected(_)) => return Err(ended()),
        }
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Reads entries from a sequence number on.
    pub(crate) fn reader(&self, from: u64) -> Reader {
        Reader::new(Arc::clone(&self.shared), self.folder.clone(), from)
    }

    /// When the first entry at or after a sequence number came, ns since 1970. Blocks.
    pub(crate) fn time_after(&self, sequence: u64) -> Option<u64> {
        let mut reader = self.reader(sequence);
        let found = reader.find().ok()??;
        reader.read(&found).ok()?.map(|entry| entry.time_ns)
    }

    /// The folder that its files are in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many bytes its files may have.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// The sequence number after the last record that is on disk, as it moves on.
    pub(crate) fn end(&self) -> watch::Receiver<u64> {
        self.shared.end()
    }

    /// What stands before a sequence number is no longer needed.
    pub(crate) fn release(&self, before: u64) {
        self.shared.release(before);
    }

    /// Keeps what stands at or after a sequence number, whatever is released.
    pub(crate) fn keep_from(&self, sequence: u64) -> Kept {
        self.shared.keep_from(Some(sequence));
        Kept { shared: Arc::clone(&self.shared), from: sequence }
    }

    /// Why nothing is taken in, if that is so.
    pub(crate) fn refusing(&self) -> Option<String> {
        self.shared.refusing()
    }
}

/// A second reader's claim to what it has not read. There is one at a time.
pub(crate) struct Kept {
    shared: Arc<Shared>,
    from: u64,
}

impl Kept {
    /// The first sequence number that is kept.
    pub(crate) fn from(&self) -> u64 {
        self.from
    }

    /// What stands before this is no longer needed.
    pub(crate) fn move_to(&mut self, sequence: u64) {
        self.from = sequence;
        self.shared.keep_from(Some(sequence));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.shared.keep_from(None);
    }
}

fn ended() -> AppendError {
    AppendError::Failed("its thread has ended, which is a bug in holdup".into())
}
