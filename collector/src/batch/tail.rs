//! Rows of the entries that were appended last, so that they need not be read from the log and made
//! again. What has no room here is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::decode::Decoded;

/// Rows by the sequence number of their entry, within a bound on memory.
pub(super) struct Tail {
    kept: Mutex<Kept>,
    bytes_max: usize,
}

#[derive(Default)]
struct Kept {
    rows: HashMap<u64, (u64, Decoded)>,
    bytes: usize,
    /// What comes before was taken out or passed over.
    wanted: u64,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { kept: Mutex::default(), bytes_max }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the rows of an entry that came at a time, where there is room.
    pub(super) fn put(&self, sequence: u64, time_ns: u64, rows: Decoded) {
        let mut kept = self.kept();
        if sequence >= kept.wanted && kept.bytes.saturating_add(rows.bytes) <= self.bytes_max {
            kept.bytes += rows.bytes;
            kept.rows.insert(sequence, (time_ns, rows));
        }
    }

    /// The time and rows of the next entry, if they were kept.
    pub(super) fn take(&self, sequence: u64) -> Option<(u64, Decoded)> {
        let mut kept = self.kept();
        kept.wanted = kept.wanted.max(sequence + 1);
        let (time_ns, rows) = kept.rows.remove(&sequence)?;
        kept.bytes -= rows.bytes;
        Some((time_ns, rows))
    }

    /// Bytes of what is kept.
    pub(super) fn bytes(&self) -> usize {
        self.kept().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::Tail;
    use crate::decode::Decoded;

    fn rows(bytes: usize) -> Decoded {
        Decoded { bytes, ..Decoded::default() }
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_comes_late_is_not_kept() {
        let tail = Tail::new(100);
        tail.put(1, 11, rows(60));
        tail.put(2, 12, rows(60));
        tail.put(3, 13, rows(40));
        assert_eq!(tail.bytes(), 100);
        assert_eq!(tail.take(1).unwrap().0, 11);
        assert!(tail.take(2).is_none());
        assert_eq!(tail.take(3).unwrap().0, 13);
        tail.put(3, 13, rows(1));
        assert_eq!(tail.bytes(), 0);
    }
}
