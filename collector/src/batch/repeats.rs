//! Recognises poll spans that were stored already, so that a request that is sent again, as clients
//! do whose answer got lost, counts once.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::polls::Identity;

/// A span's trace and span id. Its start is left out: that of a sender whose clock is too far off
/// is set anew at each arrival.
type SpanKey = ([u8; 16], [u8; 8]);
/// How much a form of a poll says: a finished one more than a stall, a longer one more than a
/// shorter.
type Form = (bool, u64);

/// The spans that were stored last.
#[derive(Debug)]
pub(super) struct Repeats {
    young: HashMap<SpanKey, Form, RandomState>,
    old: HashMap<SpanKey, Form, RandomState>,
    spans_max: usize,
}

impl Repeats {
    /// Remembers at least the last `spans_max` spans, and at most twice as many.
    pub(super) fn new(spans_max: usize) -> Self {
        Self { young: HashMap::default(), old: HashMap::default(), spans_max }
    }

    /// Finds what was stored already in this form or one that says more, and what stands twice
    /// among these.
    pub(super) fn find<P: Copy>(&self, polls: impl Iterator<Item = (P, Identity)>) -> Vec<P> {
        let mut in_batch: HashMap<SpanKey, Form, RandomState> = HashMap::default();
        let mut repeats = Vec::new();
        for (place, poll) in polls {
            let (key, form) = of(poll);
            let known = [in_batch.get(&key), self.young.get(&key), self.old.get(&key)];
            if known.into_iter().flatten().any(|known| *known >= form) {
                repeats.push(place);
            } else {
                in_batch.insert(key, form);
            }
        }
        repeats
    }

    /// Whether this form of a poll, or one that says more, is among these.
    pub(super) fn knows(&self, poll: Identity) -> bool {
        let (key, form) = of(poll);
        let known = [self.young.get(&key), self.old.get(&key)];
        known.into_iter().flatten().any(|known| *known >= form)
    }

    /// Notes what is stored.
    pub(super) fn remember(&mut self, polls: impl IntoIterator<Item = Identity>) {
        for poll in polls {
            if self.young.len() >= self.spans_max {
                self.old = std::mem::take(&mut self.young);
            }
            let (key, form) = of(poll);
            let known = self.young.entry(key).or_insert(form);
            *known = form.max(*known);
        }
    }
}

fn of(poll: Identity) -> (SpanKey, Form) {
    ((poll.trace_id, poll.span_id), (!poll.stall, poll.duration_ns))
}

#[cfg(test)]
mod tests {
    use super::Repeats;
    use crate::polls::Identity;

    fn poll(id: u8, duration_ns: u64, stall: bool) -> Identity {
        Identity { trace_id: [id; 16], span_id: [id; 8], duration_ns, stall }
    }

    fn find(repeats: &Repeats, polls: &[Identity]) -> Vec<usize> {
        repeats.find(polls.iter().copied().enumerate())
    }

    #[test]
    fn a_repeat_is_found_and_a_longer_form_is_none() {
        let mut repeats = Repeats::new(10);
        let first = [poll(1, 10, true), poll(1, 10, true), poll(2, 10, false)];
        assert_eq!(find(&repeats, &first), [1], "twice in one batch");
        repeats.remember(first);
        let second = [poll(1, 10, true), poll(1, 20, true), poll(1, 20, false)];
        assert_eq!(find(&repeats, &second), [0]);
        repeats.remember(second);
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
        let mut repeats = Repeats::new(10);
        for id in 0..=255 {
            repeats.remember([poll(id, 1, false)]);
            assert!(repeats.young.len() + repeats.old.len() <= 20);
        }
        assert_eq!(find(&repeats, &[poll(246, 1, false)]), [0], "the last ten are known");
    }
}
