//! The names in one file: a program, a shared library, or the debugging information of one.

use std::fs::File;
use std::path::Path;

use gimli::SectionId;
use memmap2::Mmap;
use object::{Object, ObjectSection};

use crate::stack::dwarf::{self, Dwarf, Found, Package, Slice};
use crate::stack::folders::Folders;
use crate::stack::modules::BuildId;
use crate::stack::symbols::Symbols;
use crate::stack::{ffi, names, origin};

/// The sections that names are read from.
const NEEDED: [SectionId; 10] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTypes,
];

/// One function that was being executed: the one whose code it is, or one that the compiler put
/// inside of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub struct Frame {
    /// For people. Empty when it isn't known.
    pub function: String,
    /// Empty when it isn't known.
    pub crate_name: String,
    /// What stays of the function's name whatever the compiler does.
    pub segment: String,
    /// Empty when it isn't known.
    pub file: String,
    /// 0 when it isn't known.
    pub line: u32,
    /// Of std, or of a package that was fetched.
    pub is_foreign: bool,
}

/// A file with symbols and debugging information, read as far as it is asked for. What it takes of
/// memory is bounded, whatever the file's size; the file itself is mapped, and its pages are the
/// kernel's to take back.
#[doc(hidden)]
pub struct Binary {
    opened: Opened,
    folders: Folders,
    build_id: BuildId,
}

self_cell::self_cell!(
    /// What borrows from the mapped file, with the file.
    struct Opened {
        owner: Source,

        #[not_covariant]
        dependent: Parsed,
    }
);

/// Where everything is read from.
struct Source {
    map: Mmap,
    /// All such files of a program in one, beside it: `-Csplit-debuginfo=packed`.
    package: Option<Mmap>,
    /// Sections that are compressed in the file.
    unpacked: Vec<(&'static str, Vec<u8>)>,
}

struct Parsed<'a> {
    object: object::File<'a>,
    symbols: Symbols,
    dwarf: Dwarf<'a>,
}

/// How much of sections that are compressed may be unpacked into memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnpackedMax(pub(super) u64);

/// Why a file can't be used.
#[doc(hidden)]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// It can't be opened or mapped.
    #[error("{path} can't be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// It isn't a program, or a broken one.
    #[error("{path} is not a program or library that can be understood: {reason}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl std::fmt::Debug for Binary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binary").field("build_id", &self.build_id).finish_non_exhaustive()
    }
}

impl Binary {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// When it can't be read, or when it is no ELF file.
    pub fn open(path: &Path) -> Result<Self, BinaryError> {
        Self::open_within(path, UnpackedMax(u64::MAX))
    }

    /// Opens a file. Debugging information that is compressed, and larger than that, isn't read.
    pub(super) fn open_within(path: &Path, max: UnpackedMax) -> Result<Self, BinaryError> {
        let shown = || path.display().to_string();
        let read = |source| BinaryError::Read { path: shown(), source };
        let format = |reason: String| BinaryError::Format { path: shown(), reason };
        let map = ffi::map_file(&File::open(path).map_err(read)?).map_err(read)?;
        let object = object::File::parse(&*map).map_err(|error| format(error.to_string()))?;
        if !object.is_little_endian() {
            return Err(format("it is big-endian; x86_64 and aarch64 are not".to_owned()));
        }
        let build_id = object.build_id().ok().flatten().map(BuildId::new).unwrap_or_default();
        let unpacked = unpacked(&object, max);
        let source = Source { map, package: package(path), unpacked };
        let mut folders = Folders::default();
        let opened = Opened::try_new(source, |source| {
            let object = object::File::parse(&*source.map);
            let object = object.map_err(|error| format(error.to_string()))?;
            let dwarf = source.dwarf(&object, |name, folder| folders.add(name, folder));
            let symbols = Symbols::read(&object);
            Ok(Parsed { object, symbols, dwarf })
        })?;
        Ok(Self { opened, folders, build_id })
    }

    /// The build id in hexadecimal digits; none if the linker gave none.
    pub fn build_id(&self) -> Option<String> {
        self.build_id.is_known().then(|| self.build_id.to_string())
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let tables = |_: &_, parsed: &Parsed<'_>| parsed.symbols.bytes() + parsed.dwarf.bytes();
        let tables = self.opened.with_dependent(tables);
        let unpacked = &self.opened.borrow_owner().unpacked;
        let unpacked = unpacked.iter().map(|(_, bytes)| bytes.capacity()).sum::<usize>();
        size_of::<Self>() + self.folders.bytes() + tables + unpacked
    }

    pub(super) fn is_build(&self, id: &BuildId) -> bool {
        self.build_id == *id
    }

    /// Whether it has a table of symbols, without which there are no names.
    pub fn has_symbols(&self) -> bool {
        self.opened.with_dependent(|_, parsed| parsed.object.symbols().next().is_some())
    }

    /// The functions at an address, innermost first, as lines of a stack. Empty when nothing is
    /// known of it.
    pub fn describe(&self, address: u64) -> Vec<String> {
        self.frames(address).iter().map(ToString::to_string).collect()
    }

    /// The functions at an address, innermost first. Empty when nothing is known of it.
    pub fn frames(&self, address: u64) -> Vec<Frame> {
        let (symbol, mut found) = self.found(address);
        if found.is_empty() {
            let Some(symbol) = symbol else { return Vec::new() };
            return vec![self.frame(&symbol, "", 0)];
        }
        // The outermost is the function of which this is the code: the symbol has its whole name.
        if let (Some(last), Some(symbol)) = (found.last_mut(), symbol) {
            last.name = symbol;
        }
        let outer = found.iter().skip(1).map(|found| found.name.as_str()).chain([""]);
        let frame = |(found, outer): (&Found, &str)| {
            self.frame(&named_by(&found.name, outer), &found.file, found.line)
        };
        found.iter().zip(outer).map(frame).collect()
    }

    /// What the symbol table and the debugging information say of an address.
    pub(super) fn found(&self, address: u64) -> (Option<String>, Vec<Found>) {
        self.opened.with_dependent(|_, parsed| {
            let symbol = parsed.symbols.containing(&parsed.object, address);
            // Debugging information that is broken has no names.
            let found = parsed.dwarf.find(address).unwrap_or_default();
            (symbol.map(str::to_owned), found)
        })
    }

    fn frame(&self, raw: &str, file: &str, line: u32) -> Frame {
        let source = self.folders.source(file);
        let name = names::shown(raw);
        let segment = names::last_segment(&names::demangled(raw)).to_owned();
        let candidates = names::crates(&name);
        let by_path = candidates.iter().find(|name| origin::can_be_blamed(name));
        let (function, crate_name) = match by_path.or(candidates.first()) {
            Some(crate_name) => (name.clone(), (*crate_name).to_owned()),
            // The last segment alone, or a function of another language.
            None if source.crate_name.is_empty() => (name.clone(), String::new()),
            None => {
                let last = if segment == "{}" { "{closure}" } else { &segment };
                (format!("{}::{last}", source.module), source.crate_name)
            }
        };
        let is_foreign = origin::is_foreign(file);
        Frame { function, crate_name, segment, file: source.shown, line, is_foreign }
    }
}

impl Source {
    fn dwarf<'a>(
        &'a self,
        object: &object::File<'a>,
        name_and_folder: impl FnMut(&str, &str),
    ) -> Dwarf<'a> {
        let section = |id: SectionId| {
            let unpacked = self.unpacked.iter().find(|(name, _)| *name == id.name());
            Ok::<_, gimli::Error>(match unpacked {
                Some((_, bytes)) => Slice::new(bytes, gimli::LittleEndian),
                None => dwarf::in_place(object, Some(id.name())),
            })
        };
        let sections = gimli::Dwarf::load(section).unwrap_or_default();
        let package = self.package.as_deref().and_then(|map| {
            let object = object::File::parse(map).ok()?;
            let section = |id: SectionId| Ok(dwarf::in_place(&object, id.dwo_name()));
            Package::load::<_, gimli::Error>(section, Slice::default()).ok()
        });
        Dwarf::new(sections, package, name_and_folder)
    }
}

/// The sections of debugging information that are compressed; none if they are too large.
fn unpacked(object: &object::File<'_>, max: UnpackedMax) -> Vec<(&'static str, Vec<u8>)> {
    let ids = NEEDED.iter().map(|id| id.name());
    let sections = ids.filter_map(|name| Some((name, object.section_by_name(name)?)));
    let sections = sections.filter_map(|(name, section)| {
        let data = section.compressed_data().ok()?;
        (data.format != object::CompressionFormat::None).then_some((name, data))
    });
    let sections = sections.collect::<Vec<_>>();
    let bytes = sections.iter().map(|(_, data)| data.uncompressed_size);
    if bytes.fold(0, u64::saturating_add) > max.0 {
        return Vec::new();
    }
    let unpack = |(name, data): (_, object::CompressedData<'_>)| {
        Some((name, data.decompress().ok()?.into_owned()))
    };
    sections.into_iter().filter_map(unpack).collect()
}

/// `shop.dwp` beside `shop`, if there is one.
fn package(path: &Path) -> Option<Mmap> {
    let path = path.canonicalize().ok()?;
    let mut name = path.file_name()?.to_owned();
    name.push(".dwp");
    ffi::map_file(&File::open(path.with_file_name(name)).ok()?).ok()
}

/// A closure that the debugging information names by a number alone is named by the generic argument
/// of the function that calls it: `{async_fn#0}` in `poll<shop::checkout::{async_fn_env#0}>`.
fn named_by<'a>(name: &'a str, outer: &str) -> std::borrow::Cow<'a, str> {
    if !names::is_anonymous(name) {
        return name.into();
    }
    let kind = name.trim_start_matches('{').split(['#', '}', '_']).next().unwrap_or_default();
    let Some(end) = outer.find(&format!("::{{{kind}")).filter(|_| outer.contains("_env#")) else {
        return name.into();
    };
    let starts = |c: char| !c.is_alphanumeric() && c != '_' && c != ':';
    let start = outer[..end].rfind(starts).map_or(0, |at| at + 1);
    format!("{}::{{closure}}", &outer[start..end]).into()
}

impl Frame {
    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.function, &self.crate_name, &self.segment, &self.file];
        size_of::<Self>() + texts.iter().map(|text| text.capacity()).sum::<usize>()
    }
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.function)?;
        match (self.file.as_str(), self.line) {
            ("", _) => Ok(()),
            (file, 0) => write!(f, " at {file}"),
            (file, line) => write!(f, " at {file}:{line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_program_is_refused_and_named() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = Binary::open(&here).unwrap_err().to_string();
        assert!(error.contains("Cargo.toml"), "{error}");
        let error = Binary::open(Path::new("nowhere/at/all")).unwrap_err().to_string();
        assert!(error.starts_with("nowhere/at/all can't be read"), "{error}");
    }

    #[test]
    fn a_closure_is_named_by_the_function_that_calls_it() {
        let outer = "poll<shop::cart::checkout::{async_fn_env#0}, alloc::sync::Arc<x::H>>";
        assert_eq!(named_by("{async_fn#0}", outer), "shop::cart::checkout::{closure}");
        assert_eq!(named_by("{async_fn#0}", "poll"), "{async_fn#0}");
        assert_eq!(named_by("total", outer), "total");
    }
}
