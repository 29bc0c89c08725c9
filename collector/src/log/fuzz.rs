//! Files of the log that nobody wrote.

use super::record::{self, HEAD_BYTES};
use super::segment::{HeadRead, SEGMENT_HEAD_BYTES, content, read_head};
use crate::corpus::fuzz;

/// The number of the file in the corpus.
const NUMBER: u64 = 1;

/// The same bytes with checksums that fit, so that what is behind them is reached.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = SEGMENT_HEAD_BYTES;
    while at + HEAD_BYTES <= bytes.len() {
        if &bytes[at..at + 4] == b"HLR1" {
            let length = usize::try_from(record::word(&bytes, at + 4)).unwrap();
            if let Some(payload) = bytes[at + HEAD_BYTES..].get(..length) {
                let crc = crc32c::crc32c(payload);
                bytes[at + 28..at + 32].copy_from_slice(&crc.to_le_bytes());
            }
            let crc = crc32c::crc32c(&bytes[at..at + 32]);
            let crc = crc32c::crc32c_append(crc, &NUMBER.to_le_bytes());
            bytes[at + 32..at + 36].copy_from_slice(&crc.to_le_bytes());
        }
        at += 1;
    }
    bytes
}

/// Asserts that what is read stands in the file, once, in order.
fn check(bytes: &[u8], expected: u64, void: Option<u64>) {
    let content = content(bytes, NUMBER, expected, void);
    assert!(content.end <= bytes.len());
    let records = content.records.iter().map(|(at, head)| *at..at + head.record_bytes());
    let mut parts: Vec<_> = records.chain(content.damaged.iter().cloned()).collect();
    parts.sort_by_key(|part| part.start);
    let mut next = SEGMENT_HEAD_BYTES.min(bytes.len());
    for part in parts {
        assert_eq!(part.start, next, "nothing is passed over and nothing read twice");
        next = part.end;
    }
    assert!(next <= content.end, "{next} of {}", content.end);
    if let Some(void) = void {
        assert!(content.records.iter().all(|(_, head)| head.sequence < void));
    }
}

#[test]
fn whatever_a_file_holds_its_records_are_found_once_and_in_order() {
    fuzz("segment", |input| {
        for bytes in [input.to_vec(), sealed(input)] {
            let expected = match read_head(&bytes, NUMBER) {
                HeadRead::First(first) => first,
                HeadRead::Damaged | HeadRead::Version(_) => 1,
            };
            check(&bytes, expected, None);
            check(&bytes, expected, Some(expected.saturating_add(3)));
        }
    });
}
