//! Entries in order, with their rows: from memory where they are kept, else from the log.

use std::io;
use std::sync::Arc;

use super::tail::Tail;
use crate::decode::Decoded;
use crate::log::{Entry, Found, Reader};

/// Makes the rows of an entry again; the text says why it can't.
pub(crate) type Reread = Arc<dyn Fn(&Entry) -> Result<Decoded, String> + Send + Sync>;

/// One entry's rows.
pub(super) struct Taken {
    /// Its sequence number.
    pub(super) sequence: u64,
    /// When it came, ns since 1970.
    pub(super) time_ns: u64,
    /// Its rows.
    pub(super) rows: Decoded,
}

/// What the next entry is.
pub(super) enum Next {
    /// One with rows.
    Rows(Box<Taken>),
    /// One of which no rows can be made.
    Unreadable(u64, Entry, String),
}

pub(super) struct Source {
    reader: Reader,
    tail: Arc<Tail>,
    reread: Reread,
    /// Found, and could not be read: the disk may yet give it.
    unread: Option<Found>,
    /// Entries from this sequence number on are not given out.
    until: u64,
}

impl Source {
    pub(super) fn new(reader: Reader, tail: Arc<Tail>, reread: Reread) -> Self {
        Self { reader, tail, reread, unread: None, until: u64::MAX }
    }

    /// Gives out nothing from a sequence number on.
    pub(super) fn end_at(&mut self, until: u64) {
        self.until = until;
    }

    /// The next entry, `None` where there is none yet, and whether it was read from disk.
    pub(super) fn next(&mut self) -> io::Result<Option<(Next, bool)>> {
        loop {
            let found = match self.unread.take() {
                Some(found) => Some(found),
                None => self.reader.find()?,
            };
            let before = |found: &Found| found.sequence < self.until;
            let Some(found) = found.filter(before) else { return Ok(None) };
            let sequence = found.sequence;
            if let Some((time_ns, rows)) = self.tail.take(sequence) {
                let taken = Taken { sequence, time_ns, rows };
                return Ok(Some((Next::Rows(Box::new(taken)), false)));
            }
            // What the disk changed is counted, and passed over.
            let entry = self.reader.read(&found).inspect_err(|_| self.unread = Some(found))?;
            let Some(entry) = entry else { continue };
            let next = match self.rows(&entry) {
                Ok(rows) => Next::Rows(Box::new(Taken { sequence, time_ns: entry.time_ns, rows })),
                Err(reason) => Next::Unreadable(sequence, entry, reason),
            };
            return Ok(Some((next, true)));
        }
    }

    /// Makes an entry's rows.
    pub(super) fn rows(&self, entry: &Entry) -> Result<Decoded, String> {
        (self.reread)(entry)
    }
}
