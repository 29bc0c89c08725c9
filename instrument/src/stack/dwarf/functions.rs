//! Functions of a unit, and what was inlined into them.

use gimli::{
    Abbreviation, AttributeValue, DebugInfoOffset, DwAt, EntriesRaw, RangeListsOffset, UnitOffset,
    UnitRef,
};

use super::Slice;
use super::marks::Marks;

/// How many entries are gone through for a name.
const NAME_STEPS_MAX: usize = 16;

/// Tells the name of an entry in any unit, in so many steps.
pub(super) type NameAt<'n> = &'n dyn Fn(DebugInfoOffset, usize) -> gimli::Result<String>;

/// Where the functions of a unit are that have code.
#[derive(Debug, Default)]
pub(super) struct Functions {
    marks: Marks<UnitOffset>,
}

/// A function, and the inlined calls around an address, outermost first.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) inlined: Vec<Inlined>,
}

/// An inlined function, and from where it is called.
#[derive(Debug, Default)]
pub(super) struct Inlined {
    pub(super) name: String,
    pub(super) call_file: Option<u64>,
    pub(super) call_line: u32,
}

impl Functions {
    pub(super) fn read(unit: UnitRef<'_, Slice<'_>>) -> gimli::Result<Self> {
        let mut all = Self::default();
        each_function(unit, None, None, |at, entry| {
            entry.for_each_range(unit, |begin, end| all.marks.push(begin, end, at))?;
            Ok(false)
        })?;
        all.marks.finish();
        Ok(all)
    }

    /// The entry of the function that has an address.
    pub(super) fn find(
        &self,
        unit: UnitRef<'_, Slice<'_>>,
        address: u64,
    ) -> gimli::Result<Option<UnitOffset>> {
        for (&from, to) in self.marks.around(address) {
            let mut found = None;
            each_function(unit, Some(from), to.copied(), |at, entry| {
                let has = entry.has(unit, address)?;
                found = has.then_some(at);
                Ok(has)
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    pub(super) fn bytes(&self) -> usize {
        self.marks.bytes()
    }
}

/// Shows each function from one entry to another, both included, until it is told to stop.
fn each_function<'a>(
    unit: UnitRef<'_, Slice<'a>>,
    from: Option<UnitOffset>,
    to: Option<UnitOffset>,
    mut show: impl FnMut(UnitOffset, &Entry<'a>) -> gimli::Result<bool>,
) -> gimli::Result<()> {
    let mut entries = unit.entries_raw(from)?;
    while !entries.is_empty() && to.is_none_or(|to| entries.next_offset().0 <= to.0) {
        let at = entries.next_offset();
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if abbreviation.tag() != gimli::DW_TAG_subprogram {
            entries.skip_attributes(abbreviation.attributes())?;
        } else if show(at, &Entry::read(&mut entries, abbreviation, unit)?)? {
            break;
        }
    }
    Ok(())
}

/// The calls that were inlined into a function around an address.
pub(super) fn inlined(
    unit: UnitRef<'_, Slice<'_>>,
    others: NameAt<'_>,
    function: UnitOffset,
    address: u64,
) -> gimli::Result<Chain> {
    let mut entries = unit.entries_raw(Some(function))?;
    let top = entries.next_depth();
    let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(Chain::default()) };
    let entry = Entry::read(&mut entries, abbreviation, unit)?;
    let mut chain = Chain { name: entry.name(unit, others, NAME_STEPS_MAX)?, inlined: Vec::new() };
    let mut innermost = top;
    loop {
        let depth = entries.next_depth();
        // What follows is outside of the innermost call that was found.
        if entries.is_empty() || depth <= innermost {
            return Ok(chain);
        }
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        let is_inlined = abbreviation.tag() == gimli::DW_TAG_inlined_subroutine;
        if !is_inlined && abbreviation.tag() != gimli::DW_TAG_subprogram {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        let entry = Entry::read(&mut entries, abbreviation, unit)?;
        if is_inlined && entry.has(unit, address)? {
            innermost = depth;
            chain.inlined.push(Inlined {
                name: entry.name(unit, others, NAME_STEPS_MAX)?,
                call_file: entry.call_file,
                call_line: entry.call_line,
            });
        } else {
            skip_children(&mut entries, depth)?;
        }
    }
}

fn skip_children(entries: &mut EntriesRaw<'_, Slice<'_>>, depth: isize) -> gimli::Result<()> {
    while !entries.is_empty() && entries.next_depth() > depth {
        if let Some(abbreviation) = entries.read_abbreviation()? {
            entries.skip_attributes(abbreviation.attributes())?;
        }
    }
    Ok(())
}

/// What matters of an entry.
#[derive(Default)]
struct Entry<'a> {
    low: Option<u64>,
    high: Option<u64>,
    size: Option<u64>,
    ranges: Option<RangeListsOffset>,
    linkage_name: Option<AttributeValue<Slice<'a>>>,
    name: Option<AttributeValue<Slice<'a>>>,
    /// The entry that has its name.
    origin: Option<AttributeValue<Slice<'a>>>,
    call_file: Option<u64>,
    call_line: u32,
}

impl<'a> Entry<'a> {
    fn read(
        entries: &mut EntriesRaw<'_, Slice<'a>>,
        abbreviation: &Abbreviation,
        unit: UnitRef<'_, Slice<'a>>,
    ) -> gimli::Result<Self> {
        let mut entry = Self::default();
        for specification in abbreviation.attributes() {
            let attribute = entries.read_attribute(*specification)?;
            entry.take(attribute.name(), attribute.value(), unit)?;
        }
        Ok(entry)
    }

    fn take(
        &mut self,
        name: DwAt,
        value: AttributeValue<Slice<'a>>,
        unit: UnitRef<'_, Slice<'a>>,
    ) -> gimli::Result<()> {
        match name {
            gimli::DW_AT_low_pc => self.low = unit.attr_address(value)?,
            gimli::DW_AT_high_pc => match value {
                AttributeValue::Udata(size) => self.size = Some(size),
                value => self.high = unit.attr_address(value)?,
            },
            gimli::DW_AT_ranges => self.ranges = unit.attr_ranges_offset(value)?,
            gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                self.linkage_name = Some(value);
            }
            gimli::DW_AT_name => self.name = Some(value),
            gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => self.origin = Some(value),
            gimli::DW_AT_call_file => {
                // Before version 5 a 0 meant that there is no file.
                if let AttributeValue::FileIndex(index) = value
                    && (index > 0 || unit.header.version() >= 5)
                {
                    self.call_file = Some(index);
                }
            }
            gimli::DW_AT_call_line => {
                let line = value.udata_value().unwrap_or(0);
                self.call_line = u32::try_from(line).unwrap_or(0);
            }
            _ => {}
        }
        Ok(())
    }

    fn for_each_range(
        &self,
        unit: UnitRef<'_, Slice<'a>>,
        mut show: impl FnMut(u64, u64),
    ) -> gimli::Result<()> {
        let mut show = |begin, end| {
            if begin < end {
                show(begin, end);
            }
        };
        if let Some(offset) = self.ranges {
            let mut ranges = unit.ranges(offset)?;
            while let Some(range) = ranges.next()? {
                show(range.begin, range.end);
            }
        } else if let Some(low) = self.low {
            let by_size = self.size.map(|size| low.wrapping_add(size));
            if let Some(high) = self.high.or(by_size) {
                show(low, high);
            }
        }
        Ok(())
    }

    fn has(&self, unit: UnitRef<'_, Slice<'a>>, address: u64) -> gimli::Result<bool> {
        let mut has = false;
        self.for_each_range(unit, |begin, end| has |= begin <= address && address < end)?;
        Ok(has)
    }

    /// The name of this entry, or of the one that it stands for; empty when it isn't known.
    fn name(
        &self,
        unit: UnitRef<'_, Slice<'a>>,
        others: NameAt<'_>,
        steps: usize,
    ) -> gimli::Result<String> {
        let own = [&self.linkage_name, &self.name].into_iter().flatten();
        if let Some(name) = own.copied().find_map(|value| unit.attr_string(value).ok()) {
            return Ok(name.to_string_lossy().into_owned());
        }
        let Some(steps) = steps.checked_sub(1) else { return Ok(String::new()) };
        match self.origin {
            Some(AttributeValue::UnitRef(offset)) => name_at(unit, others, offset, steps),
            Some(AttributeValue::DebugInfoRef(offset)) => others(offset, steps),
            _ => Ok(String::new()),
        }
    }
}

/// The name of an entry of a unit.
pub(super) fn name_at(
    unit: UnitRef<'_, Slice<'_>>,
    others: NameAt<'_>,
    offset: UnitOffset,
    steps: usize,
) -> gimli::Result<String> {
    let mut entries = unit.entries_raw(Some(offset))?;
    let Some(abbreviation) = entries.read_abbreviation()? else { return Ok(String::new()) };
    Entry::read(&mut entries, abbreviation, unit)?.name(unit, others, steps)
}
