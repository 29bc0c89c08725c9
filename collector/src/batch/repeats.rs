//! Recognises poll spans that were stored already, so that a request that is sent again, as clients
//! do whose answer got lost, counts once.

use std::collections::{HashSet, VecDeque};

use super::source::Taken;
use super::spans::{Spans, sought};
use crate::polls::Identity;

/// The spans that were stored last.
#[derive(Debug)]
pub(super) struct Repeats {
    /// The latest stand last. Those of large batches stand apart, so that none of them moves.
    stored: VecDeque<Spans>,
    spans_max: usize,
}

impl Repeats {
    /// Remembers at least the last `spans_max` spans, and one batch more at most.
    pub(super) fn new(spans_max: usize) -> Self {
        Self { stored: VecDeque::new(), spans_max }
    }

    /// Finds what was stored already in this form or one that says more, and what stands twice
    /// among these, which are about so many. All others come back as well.
    pub(super) fn find<P>(
        &self,
        count: usize,
        polls: impl Iterator<Item = (P, Identity)>,
    ) -> (Vec<P>, Spans) {
        let (mut others, mut repeats) = (Spans::with_room(count), Vec::new());
        sought(polls, |some| {
            self.stored.iter().chain([&others]).for_each(|spans| spans.fetch(some));
            for (place, poll) in some.drain(..) {
                if others.has(&poll) || self.stored.iter().any(|spans| spans.has(&poll)) {
                    repeats.push(place);
                } else {
                    others.note(&poll);
                }
            }
            false
        });
        (repeats, others)
    }

    /// Notes what is stored.
    pub(super) fn remember(&mut self, spans: Spans) {
        let few = self.spans_max / 4;
        match self.stored.back_mut() {
            Some(last) if last.len() + spans.len() <= few => last.absorb(&spans),
            _ => self.stored.push_back(spans),
        }
        let mut held: usize = self.stored.iter().map(Spans::len).sum();
        while let Some(oldest) = self.stored.front()
            && held - oldest.len() >= self.spans_max
        {
            held -= oldest.len();
            self.stored.pop_front();
        }
    }
}

/// Takes out what was stored before or stands twice. Says what that was, and what is left.
pub(super) fn leave_out_repeats(
    repeats: &Repeats,
    entries: &mut [Taken],
) -> (Vec<(u64, u32)>, Spans) {
    let places = entries.iter().flat_map(|entry| {
        let polls = (0..).zip(entry.rows.polls.identities());
        polls.map(|(index, poll)| ((entry.sequence, index), poll))
    });
    let (found, others) = repeats.find(count(entries), places);
    leave_out(&found.iter().copied().collect(), entries);
    (found, others)
}

/// How many polls these have.
pub(super) fn count(entries: &[Taken]) -> usize {
    entries.iter().map(|entry| entry.rows.polls.len()).sum()
}

/// What tells their polls from others.
pub(super) fn identities(entries: &[Taken]) -> impl Iterator<Item = Identity> {
    entries.iter().flat_map(|entry| entry.rows.polls.identities())
}

/// Takes out polls: of these entries, and of these indexes among their polls.
pub(super) fn leave_out(out: &HashSet<(u64, u32)>, entries: &mut [Taken]) {
    let of: HashSet<u64> = out.iter().map(|(sequence, _)| *sequence).collect();
    for entry in entries.iter_mut().filter(|entry| of.contains(&entry.sequence)) {
        let place = |index| (entry.sequence, u32::try_from(index).unwrap_or(u32::MAX));
        entry.rows.polls.retain(|index| !out.contains(&place(index)));
    }
}

#[cfg(test)]
mod tests {
    use super::Repeats;
    use crate::batch::spans::Spans;
    use crate::polls::Identity;

    fn poll(id: u8, duration_ns: u64, stall: bool) -> Identity {
        Identity { trace_id: [id; 16], span_id: [id; 8], duration_ns, stall }
    }

    fn find(repeats: &Repeats, polls: &[Identity]) -> Vec<usize> {
        repeats.find(polls.len(), polls.iter().copied().enumerate()).0
    }

    fn spans(polls: impl IntoIterator<Item = Identity>) -> Spans {
        Spans::of(0, polls.into_iter())
    }

    #[test]
    fn a_repeat_is_found_and_a_longer_form_is_none() {
        let mut repeats = Repeats::new(10);
        let first = [poll(1, 10, true), poll(1, 10, true), poll(2, 10, false)];
        assert_eq!(find(&repeats, &first), [1], "twice in one batch");
        repeats.remember(spans(first));
        let second = [poll(1, 10, true), poll(1, 20, true), poll(1, 20, false)];
        assert_eq!(find(&repeats, &second), [0]);
        repeats.remember(spans(second));
        let third = [poll(1, 40, true), poll(2, 10, false), poll(3, 1, false)];
        assert_eq!(find(&repeats, &third), [0, 1], "a stall after its end says nothing");
    }

    #[test]
    fn what_was_not_stored_is_not_remembered() {
        let repeats = Repeats::new(10);
        for _ in 0..2 {
            assert_eq!(find(&repeats, &[poll(1, 1, false)]), [0; 0]);
        }
    }

    #[test]
    fn memory_is_bounded() {
        for of_batch in [1, 3, 25] {
            let mut repeats = Repeats::new(10);
            let ids: Vec<u8> = (0..250).collect();
            for batch in ids.chunks(of_batch) {
                repeats.remember(spans(batch.iter().map(|id| poll(*id, 1, false))));
                let held: usize = repeats.stored.iter().map(Spans::len).sum();
                assert!(held < 10 + of_batch.max(3), "{held} of batches of {of_batch}");
            }
            let last: Vec<Identity> = (240..250).map(|id| poll(id, 1, false)).collect();
            assert_eq!(find(&repeats, &last).len(), 10, "the last ten are known");
            assert_eq!(find(&repeats, &[poll(200, 1, false)]), [0; 0]);
        }
    }
}
