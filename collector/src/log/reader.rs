//! Reads entries in the order in which they were appended.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::record::{self, ENTRY_HEAD_BYTES, HEAD_BYTES, Head, Kind, long, word};
use super::segment::SEGMENT_HEAD_BYTES;
use super::shared::{Place, Shared};
use super::{Entry, recover};

/// Where an entry stands, before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its sequence number.
    pub(crate) sequence: u64,
    head: Head,
    at: u64,
}

/// A place in the log. What it calls blocks for as long as the disk takes.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    folder: std::path::PathBuf,
    next: u64,
    open: Option<Open>,
}

struct Open {
    number: u64,
    file: File,
    at: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, folder: std::path::PathBuf, from: u64) -> Self {
        Self { shared, folder, next: from, open: None }
    }

    /// The next entry that is on disk, `None` where there is none yet. The reader stands behind it
    /// then.
    pub(crate) fn find(&mut self) -> io::Result<Option<Found>> {
        loop {
            let Some(place) = self.shared.place(self.next) else { return Ok(None) };
            let Some(at) = self.seek(&place)? else {
                self.next = place.segment.end;
                self.open = None;
                continue;
            };
            let Some(open) = &mut self.open else { return Ok(None) };
            let mut head = [0; HEAD_BYTES];
            let read = open.file.read_exact_at(&mut head, at);
            let head = Head::read(&head, open.number).filter(|_| read.is_ok());
            let Some(head) = head else {
                self.damage(&place, at)?;
                continue;
            };
            open.at = at + count(head.record_bytes());
            let passed = head.sequence < self.next;
            self.next = self.next.max(head.sequence + 1);
            if head.kind == Kind::Entry && !passed {
                return Ok(Some(Found { sequence: head.sequence, head, at }));
            }
        }
    }

    /// The entry that was found last; `None` when it is not what was written.
    pub(crate) fn read(&mut self, found: &Found) -> io::Result<Option<Entry>> {
        let Some(open) = &self.open else { return Ok(None) };
        let mut payload = vec![0; found.head.length];
        open.file.read_exact_at(&mut payload, found.at + count(HEAD_BYTES))?;
        if !found.head.is_of(&payload) || payload.len() < ENTRY_HEAD_BYTES {
            let aside = (open.number, usize::try_from(found.at).unwrap_or(usize::MAX));
            recover::put_aside(&self.folder, aside.0, aside.1, &payload)?;
            self.shared.counters.damaged(1);
            return Ok(None);
        }
        let payload = Bytes::from(payload);
        let key = payload.first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
        Ok(Some(Entry {
            key,
            time_ns: long(&payload, 16),
            label: word(&payload, 24),
            bytes: payload.slice(ENTRY_HEAD_BYTES..),
        }))
    }

    /// Where the next record begins; `None` at the file's end.
    fn seek(&mut self, place: &Place) -> io::Result<Option<u64>> {
        if self.open.as_ref().is_none_or(|open| open.number != place.number) {
            let file = File::open(&place.segment.path)?;
            self.open = Some(Open { number: place.number, file, at: count(SEGMENT_HEAD_BYTES) });
        }
        let Some(open) = &mut self.open else { return Ok(None) };
        while let Some(damage) =
            place.segment.damaged.iter().find(|range| count(range.start) == open.at)
        {
            open.at = count(damage.end);
        }
        Ok((open.at < place.segment.bytes).then_some(open.at))
    }

    /// What stands here was whole when it was written.
    fn damage(&mut self, place: &Place, at: u64) -> io::Result<()> {
        let mut bytes = std::fs::read(&place.segment.path)?;
        bytes.truncate(usize::try_from(place.segment.bytes).unwrap_or(usize::MAX));
        let start = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let later = record::find(&bytes, start + 1, place.number);
        let end = later.map_or(bytes.len().max(start + 1), |(later, _)| later);
        let next = later.map_or(place.segment.end, |(_, head)| head.sequence);
        let seen = end.min(bytes.len());
        recover::put_aside(&self.folder, place.number, start, &bytes[start..seen])?;
        self.shared.damaged(place.number, start..end);
        self.shared.counters.damaged(next.saturating_sub(self.next).max(1));
        tracing::error!(
            "{} is damaged at byte {start}: up to {} requests are lost; a copy is in {}",
            place.segment.path.display(),
            next.saturating_sub(self.next).max(1),
            self.folder.join("damaged").display()
        );
        Ok(())
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
