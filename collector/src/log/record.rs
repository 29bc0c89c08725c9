//! The bytes of one record, and how they are recognised.
//!
//! | bytes | |
//! |---|---|
//! | 0..4 | `HLR1` |
//! | 4..8 | length of the payload |
//! | 8..16 | sequence number: 1 for the log's first record, and one more for each |
//! | 16..24 | the sequence number below which all was on disk when this was written |
//! | 24..28 | kind |
//! | 28..32 | CRC32C of the payload |
//! | 32..36 | CRC32C of the bytes before, and of the segment's number |
//! | 36.. | payload |
//!
//! Numbers are little-endian. The header has a checksum of its own: where only the payload is
//! damaged, the next record is still found. The segment's number is in it, so that a record which
//! stands in the wrong file is none.

/// Bytes before a payload.
pub(super) const HEAD_BYTES: usize = 36;
/// Bytes before an entry's own in its payload: key, time and label.
pub(super) const ENTRY_HEAD_BYTES: usize = 28;
/// Sequence numbers end here, after ages: one past it is none of ours.
pub(super) const SEQUENCE_MAX: u64 = 1 << 62;
/// A longer payload is none of ours.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

const MAGIC: [u8; 4] = *b"HLR1";

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something that was appended.
    Entry,
    /// A note of whoever empties the log.
    Mark,
    /// The keys of entries in segments before this.
    Keys,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Self::Entry => 1,
            Self::Mark => 2,
            Self::Keys => 3,
        }
    }

    fn of(number: u32) -> Option<Self> {
        [Self::Entry, Self::Mark, Self::Keys].into_iter().find(|kind| kind.number() == number)
    }
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Bytes of the payload.
    pub(super) length: usize,
    /// Its place in the log.
    pub(super) sequence: u64,
    /// What was on disk when it was written: all below this.
    pub(super) durable: u64,
    /// What it is.
    pub(super) kind: Kind,
    payload_crc: u32,
}

impl Head {
    /// The header in these bytes; `None` when they are none of this segment's.
    pub(super) fn read(bytes: &[u8], segment: u64) -> Option<Self> {
        let bytes: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        if bytes[..4] != MAGIC || word(bytes, 32) != head_crc(&bytes[..32], segment) {
            return None;
        }
        let length = usize::try_from(word(bytes, 4)).ok()?;
        let sequence = long(bytes, 8);
        (length <= PAYLOAD_BYTES_MAX && sequence <= SEQUENCE_MAX).then_some(())?;
        Some(Self {
            length,
            sequence,
            durable: long(bytes, 16),
            kind: Kind::of(word(bytes, 24))?,
            payload_crc: word(bytes, 28),
        })
    }

    /// Whether these are the bytes that were written.
    pub(super) fn is_of(&self, payload: &[u8]) -> bool {
        payload.len() == self.length && crc32c::crc32c(payload) == self.payload_crc
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        HEAD_BYTES + self.length
    }
}

/// Writes a record behind what is in `out`; the payload is its parts one behind the other.
pub(super) fn write(
    out: &mut Vec<u8>,
    segment: u64,
    (sequence, durable): (u64, u64),
    kind: Kind,
    parts: &[&[u8]],
) {
    begin(out, segment, (sequence, durable), kind, parts);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Writes a record's head behind what is in `out`, for a payload of these parts.
pub(super) fn begin(
    out: &mut Vec<u8>,
    segment: u64,
    (sequence, durable): (u64, u64),
    kind: Kind,
    parts: &[&[u8]],
) {
    let begin = out.len();
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let payload_crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(&kind.number().to_le_bytes());
    out.extend_from_slice(&payload_crc.to_le_bytes());
    let crc = head_crc(&out[begin..], segment);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Where the next record starts at or after `from` that is whole.
pub(super) fn find(bytes: &[u8], from: usize, segment: u64) -> Option<(usize, Head)> {
    let mut at = from;
    while at + HEAD_BYTES <= bytes.len() {
        if bytes[at..at + 4] == MAGIC
            && let Some(head) = Head::read(&bytes[at..], segment)
            && let Some(payload) = bytes[at + HEAD_BYTES..].get(..head.length)
            && head.is_of(payload)
        {
            return Some((at, head));
        }
        at += 1;
    }
    None
}

fn head_crc(head: &[u8], segment: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), &segment.to_le_bytes())
}

/// The number of four bytes at a place; 0 behind the end.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The number of eight bytes at a place; 0 behind the end.
pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
