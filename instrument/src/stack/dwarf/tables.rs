//! What is kept of units.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use gimli::{Abbreviation, DebugInfoOffset, UnitRef};

use super::Slice;
use super::functions::Functions;
use super::lines::Lines;

/// What is kept, but for the unit asked last. A unit of a thousand functions takes 100 KiB.
const BYTES_MAX: usize = 2 << 20;

/// Of the units asked last, what it takes to read them, and where what is in them.
#[derive(Default)]
pub(super) struct Tables<'a> {
    /// The one asked last is last.
    all: RefCell<Vec<Arc<Table<'a>>>>,
}

pub(super) struct Table<'a> {
    offset: DebugInfoOffset,
    pub(super) unit: gimli::Unit<Slice<'a>>,
    unit_bytes: usize,
    functions: OnceLock<Functions>,
    lines: OnceLock<Lines<'a>>,
}

impl<'a> Tables<'a> {
    pub(super) fn of(
        &self,
        sections: &gimli::Dwarf<Slice<'a>>,
        offset: DebugInfoOffset,
    ) -> gimli::Result<Arc<Table<'a>>> {
        let mut all = self.all.borrow_mut();
        let known = all.iter().rposition(|table| table.offset == offset);
        let table = match known {
            Some(known) => all.remove(known),
            None => Arc::new(Table::new(sections, offset)?),
        };
        all.push(Arc::clone(&table));
        drop(all);
        if known.is_none() {
            self.forget();
        }
        Ok(table)
    }

    /// Keeps within the bound. To be called when a table may have grown.
    pub(super) fn forget(&self) {
        let mut all = self.all.borrow_mut();
        let mut room = BYTES_MAX;
        let is_too_much = all.iter().rposition(|table| {
            let rest = room.checked_sub(table.bytes());
            room = rest.unwrap_or(0);
            rest.is_none()
        });
        if let Some(first) = is_too_much {
            let kept = (first + 1).min(all.len() - 1);
            all.drain(..kept);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.all.borrow().iter().map(|table| table.bytes()).sum()
    }
}

impl<'a> Table<'a> {
    fn new(sections: &gimli::Dwarf<Slice<'a>>, offset: DebugInfoOffset) -> gimli::Result<Self> {
        let unit = sections.unit(sections.debug_info.header_from_offset(offset)?)?;
        let unit_bytes = bytes_of(&unit);
        let (functions, lines) = (OnceLock::new(), OnceLock::new());
        Ok(Self { offset, unit, unit_bytes, functions, lines })
    }

    /// Whether functions were asked for.
    pub(super) fn is_read(&self) -> bool {
        self.functions.get().is_some()
    }

    /// Where the functions are, in the unit that has them.
    pub(super) fn functions(&self, whole: UnitRef<'_, Slice<'_>>) -> gimli::Result<&Functions> {
        if let Some(functions) = self.functions.get() {
            return Ok(functions);
        }
        let functions = Functions::read(whole)?;
        Ok(self.functions.get_or_init(|| functions))
    }

    /// Where the lines are, in the same unit.
    pub(super) fn lines(&self, unit: UnitRef<'_, Slice<'a>>) -> gimli::Result<&Lines<'a>> {
        if let Some(lines) = self.lines.get() {
            return Ok(lines);
        }
        let lines = Lines::read(unit)?;
        Ok(self.lines.get_or_init(|| lines))
    }

    fn bytes(&self) -> usize {
        let functions = self.functions.get().map_or(0, Functions::bytes);
        let lines = self.lines.get().map_or(0, Lines::bytes);
        size_of::<Self>() + self.unit_bytes + functions + lines
    }
}

/// What a unit takes: its abbreviations, of which compilers number all from 1, and its files. Lists
/// that grow take up to twice what is in them.
fn bytes_of(unit: &gimli::Unit<Slice<'_>>) -> usize {
    let abbreviations = (1..).map_while(|code| unit.abbreviations.get(code));
    let abbreviations = abbreviations.map(|abbreviation| {
        let attributes = size_of_val(abbreviation.attributes());
        // Few are kept in place.
        2 * size_of::<Abbreviation>()
            + if abbreviation.attributes().len() > 5 { 2 * attributes } else { 0 }
    });
    let files = unit.line_program.as_ref().map_or(0, |program| {
        let header = program.header();
        size_of_val(header.include_directories()) + size_of_val(header.file_names())
    });
    abbreviations.sum::<usize>() + 2 * files
}
