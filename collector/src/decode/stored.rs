//! Stacks that need not be made of a request's bytes again, because they are stored.

use std::sync::atomic::{AtomicU64, Ordering};

/// Places for ids: each has one, and shares it with others. Whose place another took is made again.
const PLACES: usize = 1 << 17;

/// Ids of stacks that are stored, or on their way. Never wrong about one that it tells so.
#[derive(Debug)]
pub(crate) struct StoredStacks(Vec<AtomicU64>);

impl StoredStacks {
    /// None.
    pub(crate) fn new() -> Self {
        Self(std::iter::repeat_with(AtomicU64::default).take(PLACES).collect())
    }

    /// Notes one.
    pub(crate) fn note(&self, id: u64) {
        self.place(id).store(id, Ordering::Relaxed);
    }

    /// Forgets all of them.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|place| place.store(0, Ordering::Relaxed));
    }

    /// Whether one was noted, and its place is still its own.
    pub(crate) fn has(&self, id: u64) -> bool {
        id != 0 && self.place(id).load(Ordering::Relaxed) == id
    }

    fn place(&self, id: u64) -> &AtomicU64 {
        // Ids are hashes, as far as senders keep to that.
        let place = (id ^ id >> 32) as usize % PLACES;
        &self.0[place]
    }
}

#[cfg(test)]
mod tests {
    use super::{PLACES, StoredStacks};

    #[test]
    fn what_was_noted_is_known_until_another_takes_its_place() {
        let stacks = StoredStacks::new();
        assert!(!stacks.has(0) && !stacks.has(7));
        stacks.note(7);
        stacks.note(8);
        assert!(stacks.has(7) && stacks.has(8) && !stacks.has(0));
        let other = 7 + PLACES as u64;
        assert!(!stacks.has(other), "it shares a place");
        stacks.note(other);
        assert!(stacks.has(other) && !stacks.has(7));
        stacks.clear();
        assert!(!stacks.has(8));
    }
}
