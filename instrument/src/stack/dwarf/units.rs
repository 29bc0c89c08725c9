//! Which units have an address.

use gimli::{DebugInfoOffset, UnitRef, UnitType};

use super::Slice;
use super::lines::Lines;
use super::overlaps::Overlaps;

/// Ranges of units, 32 bytes each. A unit has one for each part of the program in which the linker
/// put its functions: some three.
const RANGES_MAX: usize = 1 << 15;
/// Ranges of a unit that are no further apart are one at first; what pads functions is less.
const GAP: u64 = 64;

/// Where the units are in the file, and their code in memory. Bounded: in a program of very many
/// units ranges are wider than they need to be, and [`covers`] tells.
#[derive(Debug)]
pub(super) struct Units {
    ranges: Vec<Range>,
    overlaps: Overlaps,
    gap: u64,
    /// Whether there is no more room, even if each unit has one range.
    is_full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    begin: u64,
    end: u64,
    unit: DebugInfoOffset,
}

impl Units {
    /// Reads all units. What comes after one that is broken isn't known.
    pub(super) fn read(
        dwarf: &gimli::Dwarf<Slice<'_>>,
        mut name_and_folder: impl FnMut(&str, &str),
    ) -> Self {
        let mut all = Self::empty();
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let skipped = matches!(
                header.type_(),
                UnitType::Type { .. } | UnitType::SplitType { .. } | UnitType::Partial
            );
            let Some(offset) = header.debug_info_offset().filter(|_| !skipped) else { continue };
            let Ok(unit) = dwarf.unit(header) else { continue };
            let unit = UnitRef::new(dwarf, &unit);
            if let (Some(name), Some(folder)) = (unit.name, unit.comp_dir) {
                name_and_folder(&name.to_string_lossy(), &folder.to_string_lossy());
            }
            let _broken = all.add(offset, unit);
        }
        all.finish();
        all
    }

    fn empty() -> Self {
        Self { ranges: Vec::new(), overlaps: Overlaps::default(), gap: GAP, is_full: false }
    }

    /// No more comes.
    fn finish(&mut self) {
        self.ranges.shrink_to_fit();
        let range = |index: usize| self.ranges[index].begin..self.ranges[index].end;
        self.overlaps = Overlaps::of(self.ranges.len(), range);
    }

    fn add(&mut self, offset: DebugInfoOffset, unit: UnitRef<'_, Slice<'_>>) -> gimli::Result<()> {
        let mut has_ranges = false;
        let mut ranges = unit.unit_ranges()?;
        while let Some(range) = ranges.next()? {
            if range.begin < range.end {
                has_ranges = true;
                self.push(Range { begin: range.begin, end: range.end, unit: offset });
            }
        }
        if !has_ranges {
            Lines::for_each_sequence(unit, |begin, end, _| {
                self.push(Range { begin, end, unit: offset });
            })?;
        }
        Ok(())
    }

    fn push(&mut self, range: Range) {
        if let Some(last) = self.ranges.last_mut()
            && last.takes(&range, self.gap)
        {
            return;
        }
        if self.ranges.len() >= RANGES_MAX && !self.is_full {
            self.widen();
        }
        if !self.is_full {
            self.ranges.push(range);
        }
    }

    /// Makes room by putting together what is further apart.
    fn widen(&mut self) {
        self.ranges.sort_unstable_by_key(|range| (range.unit.0, range.begin));
        while self.ranges.len() > RANGES_MAX / 2 && self.gap < u64::MAX {
            self.gap = self.gap.saturating_mul(8);
            let gap = self.gap;
            self.ranges.dedup_by(|next, range| range.takes(next, gap));
        }
        self.is_full = self.ranges.len() >= RANGES_MAX;
    }

    /// The units that may have an address.
    pub(super) fn at(&self, address: u64) -> impl Iterator<Item = DebugInfoOffset> {
        let range = |index: usize| self.ranges[index].begin..self.ranges[index].end;
        self.overlaps.at(address, range).into_iter().map(|index| self.ranges[index].unit)
    }

    /// The unit in which an entry is.
    pub(super) fn around(
        &self,
        dwarf: &gimli::Dwarf<Slice<'_>>,
        entry: DebugInfoOffset,
    ) -> gimli::Result<DebugInfoOffset> {
        // The ranges are in the order of the units: the search for a unit without any begins at
        // one before it.
        let before = self.ranges.partition_point(|range| range.unit.0 <= entry.0).checked_sub(1);
        let mut at = before.map_or(DebugInfoOffset(0), |index| self.ranges[index].unit);
        loop {
            let header = dwarf.debug_info.header_from_offset(at)?;
            let next = DebugInfoOffset(at.0 + header.length_including_self());
            if entry.0 < next.0 {
                return Ok(at);
            }
            at = next;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<Range>() + self.overlaps.bytes()
    }
}

impl Range {
    /// Grows by a range that is of the same unit, and near.
    fn takes(&mut self, next: &Self, gap: u64) -> bool {
        let is_near = self.begin <= next.begin && next.begin.saturating_sub(self.end) <= gap;
        let takes = self.unit == next.unit && is_near;
        if takes {
            self.end = self.end.max(next.end);
        }
        takes
    }
}

/// Whether a unit has an address; it may have when it doesn't tell.
pub(super) fn covers(unit: UnitRef<'_, Slice<'_>>, address: u64) -> gimli::Result<bool> {
    let mut tells = false;
    let mut ranges = unit.unit_ranges()?;
    while let Some(range) = ranges.next()? {
        if range.begin <= address && address < range.end {
            return Ok(true);
        }
        tells |= range.begin < range.end;
    }
    Ok(!tells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_in_a_bounded_table_even_if_each_is_in_many_parts() {
        let mut units = Units::empty();
        let count = 6_000_u64;
        // Functions that are seldom called lie elsewhere; each unit has ten parts in both places.
        let parts = (0..20).map(|part| (part % 2) * (1 << 40) + (part / 2) * 2048);
        for unit in 0..count {
            for part in parts.clone() {
                let begin = unit * 65_536 + part;
                let unit = DebugInfoOffset(usize::try_from(unit).unwrap());
                units.push(Range { begin, end: begin + 100, unit });
            }
        }
        units.finish();
        assert!(units.bytes() <= 1 << 20 && !units.is_full);
        for unit in (0..count).step_by(97) {
            for part in parts.clone() {
                let found = units.at(unit * 65_536 + part + 99).map(|unit| unit.0 as u64);
                assert_eq!(found.collect::<Vec<_>>(), [unit]);
            }
        }
    }
}
