//! Which of many ranges, that may overlap, have an address.

use std::ops::Range;

/// The order of ranges by address; 8 bytes each. The ranges themselves are elsewhere.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    sorted: Vec<Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    range: u32,
    /// The place of the first range that goes on to where this one begins.
    first: u32,
}

impl Overlaps {
    pub(super) fn of(count: usize, range: impl Fn(usize) -> Range<u64>) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut sorted = (0..count).map(|range| Place { range, first: 0 }).collect::<Vec<_>>();
        sorted.sort_unstable_by_key(|place| range(place.range as usize).start);
        let mut first = 0;
        for at in 0..sorted.len() {
            let begin = range(sorted[at].range as usize).start;
            while first < at && range(sorted[first].range as usize).end <= begin {
                first += 1;
            }
            sorted[at].first = u32::try_from(first).unwrap_or(0);
        }
        Self { sorted }
    }

    /// The numbers of the ranges that have an address, in the order of numbers.
    pub(super) fn at(&self, address: u64, range: impl Fn(usize) -> Range<u64>) -> Vec<usize> {
        let after =
            self.sorted.partition_point(|place| range(place.range as usize).start <= address);
        let Some(last) = after.checked_sub(1) else { return Vec::new() };
        let places = &self.sorted[self.sorted[last].first as usize..after];
        let numbers = places.iter().map(|place| place.range as usize);
        let mut found = numbers.filter(|&at| address < range(at).end).collect::<Vec<_>>();
        found.sort_unstable();
        found
    }

    pub(super) fn bytes(&self) -> usize {
        self.sorted.capacity() * size_of::<Place>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_whether_they_lie_apart_or_in_each_other() {
        let lengths = [1, 7, 40, 3, 500, 2];
        // In no order.
        let begin = |index: usize| (index as u64 * 7919) % 1009 * 3;
        let range = |index: usize| begin(index)..begin(index) + lengths[index % lengths.len()];
        for count in [0, 1, 2, 300] {
            let overlaps = Overlaps::of(count, range);
            for address in 0..3600 {
                let all = (0..count).filter(|&index| range(index).contains(&address));
                assert_eq!(overlaps.at(address, range), all.collect::<Vec<_>>(), "{address}");
            }
        }
    }
}
