//! What the writing thread, readers and askers know of the log's files.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Counters;
use super::segment::Segment;

pub(super) struct Shared {
    files: Mutex<Files>,
    /// The sequence number after the last record that is on disk.
    end: watch::Sender<u64>,
    pub(super) counters: Counters,
}

#[derive(Default)]
struct Files {
    segments: BTreeMap<u64, Segment>,
    /// All before this is no longer needed by who released it,
    released: u64,
    /// and all from this on by who keeps it.
    kept_from: Option<u64>,
    /// Why nothing is taken in.
    refusing: Option<String>,
    failing: Option<String>,
}

/// Where a reader finds the next record.
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) segment: Segment,
}

impl Shared {
    pub(super) fn new(segments: BTreeMap<u64, Segment>, end: u64, counters: Counters) -> Self {
        let files = Files { segments, ..Files::default() };
        let shared = Self { files: Mutex::new(files), end: watch::Sender::new(end), counters };
        shared.count(&shared.files());
        shared
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, files: &Files) {
        let bytes = files.segments.values().map(|segment| segment.bytes).sum();
        self.counters.bytes.set(bytes);
        let count = u64::try_from(files.segments.len()).unwrap_or(u64::MAX);
        self.counters.segments.set(count);
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files().segments.values().map(|segment| segment.bytes).sum()
    }

    pub(super) fn end(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub(super) fn add(&self, number: u64, segment: Segment) {
        let mut files = self.files();
        files.segments.insert(number, segment);
        self.count(&files);
    }

    /// A file's records up to `end` are on disk; it has so many bytes.
    pub(super) fn durable(&self, number: u64, end: u64, bytes: u64) {
        let mut files = self.files();
        if let Some(segment) = files.segments.get_mut(&number) {
            segment.end = end;
            segment.bytes = bytes;
        }
        self.count(&files);
        drop(files);
        self.end.send_replace(end);
    }

    /// The sequence number that a file begins with.
    pub(super) fn first_of(&self, number: u64) -> u64 {
        self.files().segments.get(&number).map_or(0, |segment| segment.first)
    }

    /// The file that holds a sequence number, or the first after it.
    pub(super) fn place(&self, sequence: u64) -> Option<Place> {
        let files = self.files();
        let mut holding = files.segments.iter().filter(|(_, segment)| segment.end > sequence);
        let (number, segment) = holding.next()?;
        Some(Place { number: *number, segment: segment.clone() })
    }

    /// Notes what a reader could not read.
    pub(super) fn damaged(&self, number: u64, range: std::ops::Range<usize>) {
        if let Some(segment) = self.files().segments.get_mut(&number) {
            segment.damaged.push(range);
        }
    }

    /// What comes before `sequence` is no longer needed.
    pub(super) fn release(&self, sequence: u64) {
        let mut files = self.files();
        files.released = files.released.max(sequence);
        self.remove(&mut files);
    }

    /// What comes at or after `sequence` stays; `None` for nobody needing it.
    pub(super) fn keep_from(&self, sequence: Option<u64>) {
        let mut files = self.files();
        files.kept_from = sequence;
        self.remove(&mut files);
    }

    /// Removes the files that nobody needs. The last stays: it is written to.
    fn remove(&self, files: &mut Files) {
        let sequence = files.released.min(files.kept_from.unwrap_or(u64::MAX));
        let last = files.segments.keys().next_back().copied();
        let done: Vec<u64> = files
            .segments
            .iter()
            .filter(|(number, segment)| segment.end <= sequence && Some(**number) != last)
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            let Some(segment) = files.segments.get(&number) else { continue };
            match fs::remove_file(&segment.path) {
                Ok(()) => {
                    files.segments.remove(&number);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    files.segments.remove(&number);
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot remove {}", segment.path.display());
                }
            }
        }
        self.count(files);
    }

    pub(super) fn set_refusing(&self, refusing: Option<String>, failing: Option<&String>) {
        let mut files = self.files();
        if let Some(text) = refusing.as_ref().filter(|_| files.refusing.is_none()) {
            tracing::warn!("{text}");
        }
        files.refusing = refusing;
        files.failing = failing.cloned();
        self.counters.taking.set(i64::from(files.refusing.is_none() && files.failing.is_none()));
    }

    pub(super) fn set_failing(&self, failing: Option<String>) {
        let mut files = self.files();
        files.failing = failing;
        self.counters.taking.set(i64::from(files.refusing.is_none() && files.failing.is_none()));
    }

    /// Why nothing is taken in, if that is so.
    pub(super) fn refusing(&self) -> Option<String> {
        let files = self.files();
        files.failing.clone().or_else(|| files.refusing.clone())
    }
}
