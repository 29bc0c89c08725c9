//! The polls that an episode can recognise when they come again, by their start.

use std::collections::{BTreeMap, VecDeque};

use super::episode::Poll;

/// A poll's start and span id.
pub(super) type PollId = (u64, [u8; 8]);

/// Polls by their id. Most come in the order of their starts, and are put behind the others.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// In the order of their ids.
    in_order: VecDeque<(PollId, Poll)>,
    /// Those that came when a later one was there.
    others: BTreeMap<PollId, Poll>,
}

impl Remembered {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.in_order.len() + self.others.len()
    }

    /// What is held under an id.
    pub(super) fn get(&self, id: PollId) -> Option<&Poll> {
        match self.place(id)? {
            Ok(index) => self.in_order.get(index).map(|(_, poll)| poll),
            Err(_) => self.others.get(&id),
        }
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: PollId) -> Option<&mut Poll> {
        match self.place(id)? {
            Ok(index) => self.in_order.get_mut(index).map(|(_, poll)| poll),
            Err(_) => self.others.get_mut(&id),
        }
    }

    /// Where an id stands, or would stand, among those in order. `None` behind the last: all others
    /// are before that.
    fn place(&self, id: PollId) -> Option<Result<usize, usize>> {
        self.in_order.back().filter(|(last, _)| *last >= id)?;
        Some(self.in_order.binary_search_by_key(&id, |(id, _)| *id))
    }

    /// Puts one there that is not held.
    pub(super) fn put(&mut self, id: PollId, poll: Poll) {
        if self.in_order.back().is_none_or(|(last, _)| *last < id) {
            self.in_order.push_back((id, poll));
        } else {
            self.others.insert(id, poll);
        }
    }

    /// All of them.
    pub(super) fn values(&self) -> impl Iterator<Item = &Poll> {
        self.in_order.iter().map(|(_, poll)| poll).chain(self.others.values())
    }

    /// All of them, with their ids.
    pub(super) fn into_all(self) -> impl Iterator<Item = (PollId, Poll)> {
        self.in_order.into_iter().chain(self.others)
    }

    /// Forgets those that ended before `before_ns`, up to the first that did not, or stalls.
    pub(super) fn forget(&mut self, before_ns: u64) {
        let is_over = |(start_ns, _): PollId, poll: &Poll| {
            !poll.stall && start_ns.saturating_add(poll.duration_ns) < before_ns
        };
        loop {
            let first = self.in_order.front().map(|(id, poll)| (*id, *poll));
            let other = self.others.first_key_value().map(|(id, poll)| (*id, *poll));
            let is_other = match (first, other) {
                (Some((first, _)), Some((other, _))) => other < first,
                (None, Some(_)) => true,
                (_, None) => false,
            };
            let Some((id, poll)) = (if is_other { other } else { first }) else { return };
            if !is_over(id, &poll) {
                return;
            }
            if is_other {
                self.others.pop_first();
            } else {
                self.in_order.pop_front();
            }
        }
    }
}
