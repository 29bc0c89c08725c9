//! Functions, inlined ones included, and lines from DWARF, read where it lies: in the mapped file.
//!
//! What is kept is bounded, whatever the program's size: which unit has which addresses ([`units`]),
//! and of the units asked last what it takes to read them, and where their functions and line
//! sequences begin ([`tables`]). The rest is read again for each address: one function, one
//! sequence.

mod functions;
mod lines;
mod marks;
mod overlaps;
mod split;
mod tables;
mod units;

use gimli::{DebugInfoOffset, EndianSlice, LittleEndian, UnitRef};

use self::tables::{Table, Tables};
use self::units::Units;

pub(super) use self::split::{Package, in_place};

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// The debugging information of one file.
pub(super) struct Dwarf<'a> {
    sections: gimli::Dwarf<Slice<'a>>,
    package: Option<Package<'a>>,
    units: Units,
    tables: Tables<'a>,
}

/// A function that an address is in, and where in its source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// As the compiler wrote it; empty when it isn't known.
    pub(super) name: String,
    pub(super) file: String,
    /// 0 when it isn't known.
    pub(super) line: u32,
}

impl<'a> Dwarf<'a> {
    /// Reads where the units are, and shows each one's name and folder.
    pub(super) fn new(
        sections: gimli::Dwarf<Slice<'a>>,
        package: Option<Package<'a>>,
        name_and_folder: impl FnMut(&str, &str),
    ) -> Self {
        let units = Units::read(&sections, name_and_folder);
        Self { sections, package, units, tables: Tables::default() }
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.units.bytes() + self.tables.bytes()
    }

    /// The functions at an address, innermost first.
    pub(super) fn find(&self, address: u64) -> gimli::Result<Vec<Found>> {
        for offset in self.units.at(address) {
            let table = self.tables.of(&self.sections, offset)?;
            let unit = UnitRef::new(&self.sections, &table.unit);
            // Going through the ranges of a unit takes longer than looking into its table.
            if !table.is_read() && !units::covers(unit, address)? {
                continue;
            }
            let found = self.find_in(&table, unit, address);
            self.tables.forget();
            let found = found?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn find_in(
        &self,
        table: &Table<'a>,
        unit: UnitRef<'_, Slice<'a>>,
        address: u64,
    ) -> gimli::Result<Vec<Found>> {
        let location = table.lines(unit)?.find(unit, address)?;
        // `whole` has the functions of `unit`: it is the same, or it is in a file of its own.
        let chain = split::with_whole(unit, self.package.as_ref(), |whole| {
            let Some(function) = table.functions(whole)?.find(whole, address)? else {
                return Ok(None);
            };
            let names = |entry, steps| match unit.dwo_id {
                None => self.name_at(entry, steps),
                // Such a file refers to nothing outside of itself.
                Some(_) => Ok(String::new()),
            };
            functions::inlined(whole, &names, function, address).map(Some)
        })?;
        let Some(chain) = chain else {
            let location = location.map(|(file, line)| Found { name: String::new(), file, line });
            return Ok(location.into_iter().collect());
        };
        let (mut file, mut line) = location.unwrap_or_default();
        let mut all = Vec::with_capacity(chain.inlined.len() + 1);
        for inlined in chain.inlined.into_iter().rev() {
            all.push(Found { name: inlined.name, file, line });
            file = match inlined.call_file {
                Some(index) => lines::file(unit, index)?,
                None => String::new(),
            };
            line = inlined.call_line;
        }
        all.push(Found { name: chain.name, file, line });
        Ok(all)
    }

    /// The name of an entry of any unit: optimisation by the linker puts functions of one unit into
    /// those of another.
    fn name_at(&self, entry: DebugInfoOffset, steps: usize) -> gimli::Result<String> {
        let offset = self.units.around(&self.sections, entry)?;
        let table = self.tables.of(&self.sections, offset)?;
        let Some(inside) = entry.to_unit_offset(&table.unit.header) else {
            return Ok(String::new());
        };
        let unit = UnitRef::new(&self.sections, &table.unit);
        functions::name_at(unit, &|entry, steps| self.name_at(entry, steps), inside, steps)
    }
}
