//! The keys of the last entries, so that the same one appended again is recognised.

use std::collections::{HashSet, VecDeque};

/// Keys in the order in which they came, up to a bound.
#[derive(Debug)]
pub(super) struct Keys {
    known: HashSet<u128>,
    order: VecDeque<u128>,
    count_max: usize,
}

impl Keys {
    pub(super) fn new(count_max: usize) -> Self {
        Self { known: HashSet::new(), order: VecDeque::new(), count_max }
    }

    pub(super) fn contains(&self, key: u128) -> bool {
        self.known.contains(&key)
    }

    /// Remembers a key, and forgets the oldest for it where there is no room.
    pub(super) fn remember(&mut self, key: u128) {
        if !self.known.insert(key) {
            return;
        }
        self.order.push_back(key);
        while self.order.len() > self.count_max {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// All of them, the oldest first, for a segment's head.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.order.iter().flat_map(|key| key.to_le_bytes()).collect()
    }

    /// Remembers what [`Keys::bytes`] gave.
    pub(super) fn remember_all(&mut self, bytes: &[u8]) {
        for key in bytes.as_chunks().0 {
            self.remember(u128::from_le_bytes(*key));
        }
    }
}
