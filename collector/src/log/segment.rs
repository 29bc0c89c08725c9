//! Files of the log: their names, their heads, and what is in them.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::record::{self, HEAD_BYTES, Head, long, word};

/// Bytes at a file's begin: `HOLDUPLG`, version, number, first sequence number, CRC32C.
pub(super) const SEGMENT_HEAD_BYTES: usize = 32;
/// The version of the format that is written here.
pub(super) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"HOLDUPLG";

/// One file, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// The sequence number of its first record.
    pub(super) first: u64,
    /// The sequence number after its last record.
    pub(super) end: u64,
    /// Bytes that are on disk and whole.
    pub(super) bytes: u64,
    /// What in it can't be read.
    pub(super) damaged: Vec<Range<usize>>,
}

pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.log"))
}

/// The numbers of all files in a folder, in order.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The head of a file whose first record has this sequence number.
pub(super) fn head(number: u64, first: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(SEGMENT_HEAD_BYTES);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&number.to_le_bytes());
    head.extend_from_slice(&first.to_le_bytes());
    head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
    head
}

/// Makes a file with its head, on disk under its name. One of that name held nothing that counts.
pub(super) fn create(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
    first: u64,
) -> io::Result<fs::File> {
    let path = path(folder, number);
    let file = disk.create(&path)?;
    let made = disk
        .write(&file, &head(number, first), 0)
        .and_then(|()| disk.sync(&file))
        .and_then(|()| disk.sync_folder(folder));
    if made.is_err() {
        // It holds nothing; where it can't be removed it is recognised by its missing records.
        let _left = fs::remove_file(&path);
    }
    made.map(|()| file)
}

/// What a file's head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadRead {
    /// The sequence number of its first record.
    First(u64),
    /// Too short, or not what was written.
    Damaged,
    /// Of another version.
    Version(u32),
}

pub(super) fn read_head(bytes: &[u8], number: u64) -> HeadRead {
    let Some(head) = bytes.get(..SEGMENT_HEAD_BYTES) else { return HeadRead::Damaged };
    let whole = head[..8] == MAGIC
        && word(head, 28) == crc32c::crc32c(&head[..28])
        && long(head, 12) == number
        && long(head, 20) <= record::SEQUENCE_MAX;
    match word(head, 8) {
        VERSION if whole => HeadRead::First(long(head, 20)),
        other if whole => HeadRead::Version(other),
        _ => HeadRead::Damaged,
    }
}

/// What stands in a file.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Its records, with where they begin.
    pub(super) records: Vec<(usize, Head)>,
    /// What between them can't be read.
    pub(super) damaged: Vec<Range<usize>>,
    /// How many records that were on disk are missing.
    pub(super) lost: u64,
    /// Where what was never said to be on disk begins; the file's length where there is no such.
    pub(super) end: usize,
}

/// Reads a file's records, those below `void` only: from there on they were written again into
/// the next file. `expected` is the sequence number of the first.
///
/// What can't be read is a **torn tail** when no later record shows that it was on disk: its sender
/// had no answer. Else it is **damage**: it was acknowledged.
pub(super) fn content(bytes: &[u8], number: u64, expected: u64, void: Option<u64>) -> Content {
    let mut content = Content { end: bytes.len(), ..Content::default() };
    let is_void = |head: &Head| void.is_some_and(|void| head.sequence >= void);
    let mut at = SEGMENT_HEAD_BYTES.min(bytes.len());
    let mut next = expected;
    while at < bytes.len() {
        if let Some(head) = whole(bytes, at, number) {
            if is_void(&head) {
                content.end = at;
                break;
            }
            content.records.push((at, head));
            content.lost += head.sequence.saturating_sub(next);
            next = head.sequence + 1;
            at += head.record_bytes();
            continue;
        }
        let was_on_disk = match void {
            Some(void) => next < void,
            None => shown_durable(bytes, at, number, next),
        };
        if !was_on_disk {
            content.end = at;
            break;
        }
        let later = record::find(bytes, at + 1, number).filter(|(_, head)| !is_void(head));
        let end = later.map_or(bytes.len(), |(later, _)| later);
        content.damaged.push(at..end);
        at = end;
    }
    content.lost += void.map_or(0, |void| void.saturating_sub(next));
    content
}

/// The record that begins here, if it is as it was written.
fn whole(bytes: &[u8], at: usize, number: u64) -> Option<Head> {
    let head = Head::read(&bytes[at..], number)?;
    let payload = bytes[at + HEAD_BYTES..].get(..head.length)?;
    head.is_of(payload).then_some(head)
}

/// Whether a record behind `at` tells that the one of this sequence number was on disk.
fn shown_durable(bytes: &[u8], at: usize, number: u64, sequence: u64) -> bool {
    let mut from = at + 1;
    while let Some((found, head)) = record::find(bytes, from, number) {
        if head.durable > sequence {
            return true;
        }
        from = found + head.record_bytes();
    }
    false
}
