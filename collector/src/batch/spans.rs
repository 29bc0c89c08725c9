//! A set of spans that is looked into for each span that comes: most of them are not there, and it
//! is in no cache. So a place in it has four bytes, of which some tell nearly all others apart, and
//! places are looked at for many spans at a time, so that memory gives them all at once.

use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::LazyLock;

use foldhash::fast::RandomState;

use crate::polls::Identity;

/// A span's trace and span id. Its start is left out: that of a sender whose clock is too far off
/// is set anew at each arrival.
type Ids = ([u8; 16], [u8; 8]);
/// How much a form of a poll says: a finished one more than a stall, a longer one more than a
/// shorter.
type Form = u64;

/// Spans that are looked for at a time.
const AT_A_TIME: usize = 32;
/// Places of the smallest set, by their logarithm.
const BITS_MIN: u32 = 6;
/// As many as fit a place beside a mark of two bits.
const BITS_MAX: u32 = 30;

/// What senders can't choose, so that they can't make spans that all go to one place.
static HASH: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// A poll as it is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    hash: u64,
    ids: Ids,
    form: Form,
}

impl Sought {
    fn new(hash: &RandomState, poll: Identity) -> Self {
        // No duration reaches the bit above.
        let form = u64::from(!poll.stall) << 63 | poll.duration_ns & (u64::MAX >> 1);
        let ids = (poll.trace_id, poll.span_id);
        Self { hash: hash_of(hash, &ids), ids, form }
    }
}

fn hash_of(hash: &RandomState, (trace_id, span_id): &Ids) -> u64 {
    hash.hash_one((u128::from_le_bytes(*trace_id), u64::from_le_bytes(*span_id)))
}

/// Hands polls on as they are looked for, some at a time, until it is told that this is enough.
pub(super) fn sought<P>(
    mut polls: impl Iterator<Item = (P, Identity)>,
    mut some: impl FnMut(&mut Vec<(P, Sought)>) -> bool,
) {
    let hash = &*HASH;
    let mut next = Vec::with_capacity(AT_A_TIME);
    loop {
        next.clear();
        let of = polls.by_ref().take(AT_A_TIME);
        next.extend(of.map(|(place, poll)| (place, Sought::new(hash, poll))));
        if next.is_empty() || some(&mut next) {
            return;
        }
    }
}

/// Spans, each in the form of it that says most.
#[derive(Debug)]
pub(super) struct Spans {
    /// Where a span is among those held, counted from 1, behind a part of its hash. 0 where none is.
    places: Vec<u32>,
    /// The logarithm of how many places there are.
    bits: u32,
    held: Vec<(Ids, Form)>,
}

impl Default for Spans {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl Spans {
    /// None, and room for so many.
    pub(super) fn with_room(spans: usize) -> Self {
        let bits = (BITS_MIN..BITS_MAX).find(|bits| spans <= room(*bits)).unwrap_or(BITS_MAX);
        Self { places: vec![0; 1 << bits], bits, held: Vec::with_capacity(spans) }
    }

    /// Those of polls, of which there are about so many.
    pub(super) fn of(count: usize, polls: impl Iterator<Item = Identity>) -> Self {
        let mut spans = Self::with_room(count);
        sought(polls.map(|poll| ((), poll)), |some| {
            spans.fetch(some);
            some.iter().for_each(|(_, poll)| spans.note(poll));
            false
        });
        spans
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Has memory give the places of all of these at once.
    pub(super) fn fetch<P>(&self, some: &[(P, Sought)]) {
        let place = |(_, poll): &(P, Sought)| self.places[self.place(poll.hash)];
        black_box(some.iter().fold(0, |all, poll| all ^ place(poll)));
    }

    /// Whether this form of a poll, or one that says more, is among these.
    #[inline]
    pub(super) fn has(&self, poll: &Sought) -> bool {
        let found = self.find(poll.hash, &poll.ids).ok();
        found.is_some_and(|index| self.held[index].1 >= poll.form)
    }

    /// Adds a poll, or what a further form of it says.
    pub(super) fn note(&mut self, poll: &Sought) {
        match self.find(poll.hash, &poll.ids) {
            Ok(index) => {
                let form = &mut self.held[index].1;
                *form = poll.form.max(*form);
            }
            Err(place) => {
                self.places[place] = self.entry(poll.hash, self.held.len());
                self.held.push((poll.ids, poll.form));
                if self.held.len() > room(self.bits) && self.bits < BITS_MAX {
                    self.grow();
                }
            }
        }
    }

    /// Adds all of others.
    pub(super) fn absorb(&mut self, others: &Self) {
        for (ids, form) in &others.held {
            self.note(&Sought { hash: hash_of(&HASH, ids), ids: *ids, form: *form });
        }
    }

    /// The index of a span among those held, or the place that it would have.
    #[inline]
    fn find(&self, hash: u64, ids: &Ids) -> Result<usize, usize> {
        let mask = (1 << self.bits) - 1;
        let sought = self.entry(hash, 0) & !mask;
        let mut place = self.place(hash);
        loop {
            let entry = self.places[place];
            if entry == 0 {
                return Err(place);
            }
            let index = (entry & mask) as usize - 1;
            if entry & !mask == sought && self.held[index].0 == *ids {
                return Ok(index);
            }
            place = (place + 1) & mask as usize;
        }
    }

    /// The place that a span of this hash has if that is free.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        hash as usize & ((1 << self.bits) - 1)
    }

    /// What stands in the place of a span.
    #[inline]
    fn entry(&self, hash: u64, index: usize) -> u32 {
        // What of the hash the place does not tell already.
        let mark = (hash >> 32) as u32 >> self.bits << self.bits;
        mark | (index as u32 + 1)
    }

    fn grow(&mut self) {
        let mut larger = Self::with_room(room(self.bits) + 1);
        larger.absorb(self);
        *self = larger;
    }
}

/// How many spans so many places take: more than half of them are free.
fn room(bits: u32) -> usize {
    (1_usize << bits) / 2
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{Identity, Spans, sought};

    fn poll(trace: u16, span: u8, duration_ns: u64, stall: bool) -> Identity {
        let mut trace_id = [0; 16];
        trace_id[..2].copy_from_slice(&trace.to_le_bytes());
        Identity { trace_id, span_id: [span; 8], duration_ns, stall }
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_would(
            first in prop::collection::vec((0..600_u16, 0..3_u8, 0..4_u64, any::<bool>()), 0..900),
            second in prop::collection::vec((0..600_u16, 0..3_u8, 0..4_u64, any::<bool>()), 0..90),
        ) {
            let polls = |of: &[(u16, u8, u64, bool)]| -> Vec<Identity> {
                of.iter().map(|(trace, span, ns, stall)| poll(*trace, *span, *ns, *stall)).collect()
            };
            let mut spans = Spans::of(10, polls(&first).into_iter());
            spans.absorb(&Spans::of(0, polls(&second).into_iter()));
            let mut model = HashMap::new();
            for of in polls(&first).into_iter().chain(polls(&second)) {
                let says = (!of.stall, of.duration_ns);
                let held = model.entry((of.trace_id, of.span_id)).or_insert(says);
                *held = says.max(*held);
            }
            prop_assert_eq!(spans.len(), model.len());
            let all = (0..600).flat_map(|trace| (0..3).map(move |span| (trace, span)));
            for (trace, span) in all {
                for (ns, stall) in [(1, true), (2, false), (3, false)] {
                    let of = poll(trace, span, ns, stall);
                    let held = model.get(&(of.trace_id, of.span_id));
                    let mut found = None;
                    sought([((), of)].into_iter(), |some| {
                        found = some.first().map(|(_, poll)| spans.has(poll));
                        false
                    });
                    prop_assert_eq!(found, Some(held.is_some_and(|held| *held >= (!stall, ns))));
                }
            }
        }
    }
}
