//! How much memory there is for what is kept until somebody takes it.
//!
//! Counts are bounded where things are kept. Those of very different sizes are bounded by their bytes
//! too: each takes its share of a room, and where there is none left it is not kept.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

/// Stacks as addresses, until their poll is judged.
#[cfg_attr(not(feature = "stacks"), allow(dead_code))]
pub(crate) static STACKS: LazyLock<Arc<Room>> =
    LazyLock::new(|| Arc::new(Room::new(STACKS_BYTES_MAX)));
/// What stacks may take.
pub(crate) const STACKS_BYTES_MAX: usize = 512 << 10;

/// So many bytes for one kind of thing.
#[derive(Debug)]
pub(crate) struct Room {
    most: usize,
    taken: AtomicUsize,
    refused: AtomicU64,
}

/// A part of a room that is taken, until the drop.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    pub(crate) const fn new(most: usize) -> Self {
        Self { most, taken: AtomicUsize::new(0), refused: AtomicU64::new(0) }
    }

    /// None, and that is counted, where there is not so much left.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let share = Share { room: Arc::clone(self), bytes };
        if taken.saturating_add(bytes) <= self.most {
            return Some(share);
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// For what has to be there: others find less room.
    #[cfg_attr(not(all(feature = "stacks", target_os = "linux")), allow(dead_code))]
    pub(crate) fn force(self: &Arc<Self>, bytes: usize) -> Share {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
        Share { room: Arc::clone(self), bytes }
    }

    /// How often there was not enough.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Share {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod tests;
