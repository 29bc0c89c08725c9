//! Opens a folder as an earlier run left it, at whatever byte that ended.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::keys::Keys;
use super::record::{ENTRY_HEAD_BYTES, HEAD_BYTES, Kind};
use super::segment::{self, Content, HeadRead, SEGMENT_HEAD_BYTES, Segment};
use super::{Mark, OpenError};

/// What an earlier run left.
pub(super) struct Found {
    pub(super) segments: BTreeMap<u64, Segment>,
    /// The sequence number of the next record.
    pub(super) next: u64,
    /// The number of the next file.
    pub(super) next_number: u64,
    pub(super) keys: Keys,
    pub(super) last_entry: u64,
    pub(super) marks: Vec<Mark>,
    pub(super) torn_bytes: u64,
    pub(super) lost: u64,
}

/// Keeps others out of the folder as long as it lives.
pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Folder { folder: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let lock = File::options().create(true).append(true).open(folder.join("lock"));
    let lock = lock.map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Reads all that is in a locked folder, cuts a torn tail off and puts damage aside.
pub(super) fn read(folder: &Path, keys_max: usize) -> Result<Found, OpenError> {
    let failed = |source| OpenError::Folder { folder: folder.to_owned(), source };
    let numbers = segment::numbers(folder).map_err(failed)?;
    let firsts = firsts(folder, &numbers)?;
    let mut found = Found {
        segments: BTreeMap::new(),
        next: 1,
        next_number: numbers.last().map_or(1, |last| last + 1),
        keys: Keys::new(keys_max),
        last_entry: 0,
        marks: Vec::new(),
        torn_bytes: 0,
        lost: 0,
    };
    for (index, number) in numbers.iter().enumerate() {
        // What a later file begins with was not on disk here, whatever it looks like.
        let void = firsts[index + 1..].iter().flatten().copied().next();
        found.file(folder, *number, firsts[index], void).map_err(failed)?;
    }
    Ok(found)
}

/// The first sequence number of each file, as far as its head is whole.
fn firsts(folder: &Path, numbers: &[u64]) -> Result<Vec<Option<u64>>, OpenError> {
    let mut firsts = Vec::new();
    for number in numbers {
        let path = segment::path(folder, *number);
        let failed = |source| OpenError::Folder { folder: folder.to_owned(), source };
        let mut head = Vec::new();
        let file = File::open(&path).map_err(failed)?;
        let limit = u64::try_from(SEGMENT_HEAD_BYTES).unwrap_or(u64::MAX);
        io::Read::read_to_end(&mut io::Read::take(file, limit), &mut head).map_err(failed)?;
        firsts.push(match segment::read_head(&head, *number) {
            HeadRead::First(first) => Some(first),
            HeadRead::Damaged => None,
            HeadRead::Version(version) => return Err(OpenError::Version { path, version }),
        });
    }
    Ok(firsts)
}

impl Found {
    fn file(
        &mut self,
        folder: &Path,
        number: u64,
        first: Option<u64>,
        void: Option<u64>,
    ) -> io::Result<()> {
        let path = segment::path(folder, number);
        let bytes = fs::read(&path)?;
        let expected = first.unwrap_or(self.next);
        let content = segment::content(&bytes, number, expected, void);
        self.lost += content.lost;
        for range in &content.damaged {
            put_aside(folder, number, range.start, &bytes[range.clone()])?;
        }
        if content.end < bytes.len() {
            self.torn_bytes += count(bytes.len() - content.end);
            let file = File::options().write(true).open(&path)?;
            file.set_len(count(content.end))?;
            file.sync_all()?;
        }
        self.take(&bytes, &content);
        let end = content.records.last().map_or(expected, |(_, head)| head.sequence + 1);
        self.next = self.next.max(end).max(void.unwrap_or(0));
        let first = content.records.first().map_or(expected, |(_, head)| head.sequence);
        let (bytes, damaged) = (count(content.end), content.damaged);
        self.segments.insert(number, Segment { path, first, end, bytes, damaged });
        Ok(())
    }

    /// Notes keys and marks.
    fn take(&mut self, bytes: &[u8], content: &Content) {
        for (at, head) in &content.records {
            let payload = &bytes[at + HEAD_BYTES..][..head.length];
            match head.kind {
                Kind::Entry if payload.len() >= ENTRY_HEAD_BYTES => {
                    self.keys.remember_all(&payload[..16]);
                    self.last_entry = head.sequence;
                }
                Kind::Entry => {}
                Kind::Keys => self.keys.remember_all(payload),
                Kind::Mark => {
                    self.marks.push(Mark { sequence: head.sequence, bytes: payload.to_vec() });
                }
            }
        }
    }
}

/// Keeps a copy of what can't be read, for whoever wants to look into it.
pub(super) fn put_aside(folder: &Path, number: u64, at: usize, bytes: &[u8]) -> io::Result<()> {
    let aside = folder.join("damaged");
    fs::create_dir_all(&aside)?;
    fs::write(aside.join(format!("{number:012}-{at}.bin")), bytes)
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
