//! Units of which the functions are in a file of their own (`-Csplit-debuginfo`).

use std::fs::File;
use std::path::{Path, PathBuf};

use gimli::{EndianSlice, LittleEndian, UnitRef};
use object::{Object, ObjectSection};

use super::Slice;
use crate::stack::ffi;

/// All such files in one, beside the program: `shop.dwp`.
pub(in crate::stack) type Package<'a> = gimli::DwarfPackage<Slice<'a>>;

/// Calls with the unit that has the functions: the same, or one that is looked for.
pub(super) fn with_whole<'a, T>(
    unit: UnitRef<'_, Slice<'a>>,
    package: Option<&Package<'a>>,
    call: impl FnOnce(UnitRef<'_, Slice<'_>>) -> gimli::Result<T>,
) -> gimli::Result<T> {
    let Some(id) = unit.dwo_id else { return call(unit) };
    if let Some(package) = package
        && let Some(sections) = package.find_cu(id, unit.dwarf)?
    {
        return with_first(unit, &sections, call);
    }
    let Some(map) = path_of(unit)?.and_then(|path| map(&path)) else { return call(unit) };
    let Ok(object) = object::File::parse(&*map) else { return call(unit) };
    let mut sections =
        gimli::Dwarf::load(|section| Ok::<_, gimli::Error>(in_place(&object, section.dwo_name())))?;
    let first = sections.units().next()?;
    let is_it = match first {
        Some(header) => sections.unit(header)?.dwo_id == Some(id),
        None => false,
    };
    if !is_it {
        return call(unit);
    }
    sections.make_dwo(unit.dwarf);
    with_first(unit, &sections, call)
}

fn with_first<'a, T>(
    skeleton: UnitRef<'_, Slice<'_>>,
    sections: &gimli::Dwarf<Slice<'a>>,
    call: impl FnOnce(UnitRef<'_, Slice<'_>>) -> gimli::Result<T>,
) -> gimli::Result<T> {
    let Some(header) = sections.units().next()? else { return Err(gimli::Error::MissingUnitDie) };
    let mut unit = sections.unit(header)?;
    unit.low_pc = skeleton.low_pc;
    unit.addr_base = skeleton.addr_base;
    if unit.header.version() < 5 {
        unit.rnglists_base = skeleton.rnglists_base;
    }
    call(UnitRef::new(sections, &unit))
}

fn path_of(unit: UnitRef<'_, Slice<'_>>) -> gimli::Result<Option<PathBuf>> {
    let Some(name) = unit.dwo_name()? else { return Ok(None) };
    let name = unit.attr_string(name)?.to_string_lossy().into_owned();
    let folder = unit.comp_dir.map(|folder| folder.to_string_lossy().into_owned());
    Ok(Some(Path::new(&folder.unwrap_or_default()).join(name)))
}

fn map(path: &Path) -> Option<memmap2::Mmap> {
    ffi::map_file(&File::open(path).ok()?).ok()
}

/// A section as it is in the file; empty when there is none, or when it is compressed.
pub(in crate::stack) fn in_place<'a>(
    object: &object::File<'a>,
    name: Option<&'static str>,
) -> Slice<'a> {
    let section = name.and_then(|name| object.section_by_name(name));
    let data = section.and_then(|section| section.compressed_data().ok());
    let plain = data.filter(|data| data.format == object::CompressionFormat::None);
    EndianSlice::new(plain.map(|data| data.data).unwrap_or_default(), LittleEndian)
}
