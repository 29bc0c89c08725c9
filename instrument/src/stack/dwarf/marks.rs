//! Where things begin that have addresses: all of them, or, of very many, groups of them.

use std::ops::Range;

use super::overlaps::Overlaps;

/// Marks of one kind in one unit; 32 to 40 bytes each.
pub(super) const MARKS_MAX: usize = 1 << 14;

/// Where each of many things is that were met in some order, within a bound: when it is reached,
/// neighbours are put together, and a group of them is searched for one address.
#[derive(Debug)]
pub(super) struct Marks<P> {
    marks: Vec<Mark<P>>,
    overlaps: Overlaps,
    /// How many things a mark stands for; the last may stand for fewer.
    each: usize,
    in_last: usize,
}

#[derive(Debug)]
struct Mark<P> {
    begin: u64,
    end: u64,
    at: P,
}

impl<P> Default for Marks<P> {
    fn default() -> Self {
        Self { marks: Vec::new(), overlaps: Overlaps::default(), each: 1, in_last: 1 }
    }
}

impl<P> Marks<P> {
    /// Adds what comes next.
    pub(super) fn push(&mut self, begin: u64, end: u64, at: P) {
        if self.in_last < self.each
            && let Some(last) = self.marks.last_mut()
        {
            last.cover(begin, end);
            self.in_last += 1;
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            self.halve();
            // The last pair is complete, for the bound is even.
        }
        self.marks.push(Mark { begin, end, at });
        self.in_last = 1;
    }

    fn halve(&mut self) {
        let mut count = 0;
        let mut hull = (0, 0);
        self.each *= 2;
        for index in (0..self.marks.len()).rev() {
            let mark = &mut self.marks[index];
            if index % 2 == 1 {
                hull = (mark.begin, mark.end);
            } else {
                mark.cover(hull.0, hull.1);
            }
        }
        self.marks.retain(|_| {
            count += 1;
            count % 2 == 1
        });
    }

    /// No more comes.
    pub(super) fn finish(&mut self) {
        self.marks.shrink_to_fit();
        self.overlaps = Overlaps::of(self.marks.len(), |index| self.range(index));
    }

    /// Where groups begin of which one may have the address, and where the next one does.
    pub(super) fn around(&self, address: u64) -> impl Iterator<Item = (&P, Option<&P>)> {
        let found = self.overlaps.at(address, |index| self.range(index)).into_iter();
        let at = |index: usize| self.marks.get(index).map(|mark| &mark.at);
        found.map(move |index| (&self.marks[index].at, at(index + 1)))
    }

    fn range(&self, index: usize) -> Range<u64> {
        self.marks[index].begin..self.marks[index].end
    }

    /// The most things of which one may have the address, where a group begins.
    pub(super) fn each(&self) -> usize {
        self.each
    }

    pub(super) fn bytes(&self) -> usize {
        self.marks.capacity() * size_of::<Mark<P>>() + self.overlaps.bytes()
    }
}

impl<P> Mark<P> {
    fn cover(&mut self, begin: u64, end: u64) {
        self.begin = self.begin.min(begin);
        self.end = self.end.max(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_in_one_of_the_groups_around_it_however_many_there_are() {
        for count in [0, 1, 5, MARKS_MAX, MARKS_MAX + 1, 5 * MARKS_MAX + 3] {
            let mut marks = Marks::default();
            // Every tenth is far away, as functions that are seldom called are.
            let place =
                |index: usize| if index.is_multiple_of(10) { index } else { index + (1 << 30) };
            for index in 0..count {
                let begin = place(index) as u64 * 16;
                marks.push(begin, begin + 16, index);
            }
            marks.finish();
            assert!(marks.bytes() <= MARKS_MAX * 32 && marks.marks.len() <= MARKS_MAX);
            for index in (0..count).step_by(1 + count / 50) {
                let address = place(index) as u64 * 16 + 7;
                let inside = marks.around(address).any(|(&first, next)| {
                    let next = next.copied().unwrap_or(count);
                    assert!(next - first <= marks.each(), "{first} to {next}");
                    (first..next).contains(&index)
                });
                assert!(inside, "{index} of {count}");
            }
            assert_eq!(marks.around(3).count(), usize::from(count > 0));
            assert_eq!(marks.around(u64::MAX).count(), 0);
        }
    }
}
