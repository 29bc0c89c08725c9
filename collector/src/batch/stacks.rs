//! Stacks whose row need not be sent again, within a bound on how many there are in a day.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::source::Taken;
use crate::decode::StoredStacks;

/// Stacks that are stored within a day, each once.
const STACKS_MAX: usize = 100_000;
/// Then they are stored again, so that their time of being seen moves on.
const AGE_MAX: Duration = Duration::from_secs(86_400);

/// The stacks that are stored.
#[derive(Debug)]
pub(super) struct KnownStacks {
    ids: HashSet<u64>,
    /// The same, for who makes rows of requests.
    stored: Arc<StoredStacks>,
    since: Instant,
    max: usize,
}

impl KnownStacks {
    pub(super) fn new() -> Self {
        let (ids, stored) = (HashSet::new(), Arc::new(StoredStacks::new()));
        Self { ids, stored, since: Instant::now(), max: STACKS_MAX }
    }

    /// Those that requests need not hand over.
    pub(super) fn stored(&self) -> &Arc<StoredStacks> {
        &self.stored
    }

    /// Takes out what is stored, what stands twice among these, and what is past the bound. Returns
    /// how many that were.
    pub(super) fn leave_out(&mut self, entries: &mut [Taken]) -> usize {
        if self.since.elapsed() > AGE_MAX {
            self.ids.clear();
            self.stored.clear();
            self.since = Instant::now();
        }
        let room = self.max.saturating_sub(self.ids.len());
        let (mut in_batch, mut past) = (HashSet::new(), 0);
        for entry in entries {
            entry.rows.stacks.retain(|stack| {
                if self.ids.contains(&stack.id) || in_batch.contains(&stack.id) {
                    return false;
                }
                past += usize::from(in_batch.len() >= room);
                in_batch.len() < room && in_batch.insert(stack.id)
            });
        }
        past
    }

    /// Notes stacks that are sent.
    pub(super) fn know(&mut self, ids: impl Iterator<Item = u64>) {
        self.ids.extend(ids.inspect(|id| self.stored.note(*id)));
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownStacks, Taken};
    use crate::decode::Decoded;
    use crate::span::Stack;

    fn taken(ids: &[u64]) -> Taken {
        let stacks = ids.iter().map(|id| Stack { id: *id, frames: vec!["main".into()] });
        let rows = Decoded { stacks: stacks.collect(), ..Decoded::default() };
        Taken { sequence: 1, time_ns: 1, rows }
    }

    #[test]
    fn each_stack_is_sent_once_and_those_past_the_bound_are_counted() {
        let mut known = KnownStacks { max: 4, ..KnownStacks::new() };
        let mut batch = [taken(&[1, 2]), taken(&[2, 3])];
        assert_eq!(known.leave_out(&mut batch), 0);
        let sent = |batch: &[Taken]| -> Vec<u64> {
            batch.iter().flat_map(|entry| &entry.rows.stacks).map(|stack| stack.id).collect()
        };
        assert_eq!(sent(&batch), [1, 2, 3]);
        known.know(sent(&batch).into_iter());
        assert!((1..4).all(|id| known.stored().has(id)) && !known.stored().has(4));
        let mut batch = [taken(&[3, 4, 5, 4, 6])];
        assert_eq!(known.leave_out(&mut batch), 2);
        assert_eq!(sent(&batch), [4]);
    }
}
