//! The program and its shared libraries, as they are in memory: so that a stripped file, or one that
//! was replaced on disk, is no obstacle.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use crate::stack::ffi::{self, Loaded, Segment, Table};

/// Bytes of unwind tables kept as copies. Those of the program itself and of the C library are read
/// where they are; a library that could be unloaded can't be trusted to stay. What is beyond the
/// bound can't be unwound through.
const COPIES_BYTES_MAX: usize = 4 << 20;
/// Longest build id kept: SHA-1 and 128 bits are usual.
pub(super) const BUILD_ID_BYTES_MAX: usize = 32;

/// One loaded module.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    /// Path, as the dynamic linker knows it; empty for the program itself.
    pub(super) path: String,
    /// What is added to the addresses in the file.
    pub(super) base: u64,
    pub(super) range: Range<u64>,
    pub(super) code: Vec<Range<u64>>,
    pub(super) build_id: BuildId,
    tables: Option<Tables>,
}

/// Tables for unwinding, and where they are.
#[derive(Clone, Debug)]
struct Tables {
    header: Placed,
    frames: Placed,
}

#[derive(Clone, Debug)]
struct Placed {
    range: Range<u64>,
    bytes: Table,
}

/// Names one build of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct BuildId(Vec<u8>);

impl BuildId {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes[..bytes.len().min(BUILD_ID_BYTES_MAX)].to_vec())
    }

    pub(super) fn is_known(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_char('?');
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// All modules at one time.
#[derive(Clone, Debug)]
pub(crate) struct Modules {
    pub(super) all: Vec<Module>,
    memory: Memory,
}

/// Whose memory the modules are in.
#[derive(Clone, Copy, Debug)]
enum Memory {
    /// This process's, after so many loads and unloads.
    Own((u64, u64)),
    /// Of the process with this id.
    Of(i32),
}

impl Modules {
    pub(super) fn loaded() -> Self {
        // Asked first: what is loaded meanwhile makes the next look refresh again.
        let loads_and_unloads = ffi::loads_and_unloads();
        let mut all = Vec::new();
        let mut room = COPIES_BYTES_MAX;
        ffi::for_each_module(|loaded| all.extend(Module::read(&loaded, &mut room)));
        Self { all, memory: Memory::Own(loads_and_unloads) }
    }

    /// The modules of another process.
    pub(super) fn of_process(pid: i32, all: Vec<Module>) -> Self {
        Self { all, memory: Memory::Of(pid) }
    }

    /// Without the tables: enough to name addresses, which may be long after they were found.
    pub(super) fn without_tables(&self) -> Self {
        let bare = |module: &Module| Module { tables: None, ..module.clone() };
        Self { all: self.all.iter().map(bare).collect(), memory: self.memory }
    }

    /// About what it takes of memory beside its tables.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |module: &Module| {
            size_of::<Module>()
                + module.path.len()
                + size_of_val(&*module.code)
                + BUILD_ID_BYTES_MAX
        };
        self.all.iter().map(bytes).sum()
    }

    /// Whether modules of this process were loaded or unloaded since.
    pub(super) fn is_stale(&self) -> bool {
        match self.memory {
            Memory::Own(loads_and_unloads) => loads_and_unloads != ffi::loads_and_unloads(),
            Memory::Of(_) => false,
        }
    }

    /// Reads memory of the process that has the modules. Returns how many bytes came.
    pub(super) fn read_memory(&self, address: u64, into: &mut [u8]) -> usize {
        match self.memory {
            Memory::Own(_) => ffi::read_memory(address, into),
            Memory::Of(pid) => ffi::read_memory_of(pid, address, into),
        }
    }

    pub(super) fn containing(&self, address: u64) -> Option<&Module> {
        self.all.iter().find(|module| module.range.contains(&address))
    }

    pub(super) fn is_code(&self, address: u64) -> bool {
        let module = self.containing(address);
        module.is_some_and(|module| module.code.iter().any(|code| code.contains(&address)))
    }
}

/// A module as whoever loaded it describes it.
pub(super) trait Image {
    fn name(&self) -> &str;
    fn base(&self) -> u64;
    fn segments(&self) -> &[Segment];
    /// Its memory; empty where that can't be had.
    fn bytes(&self, range: Range<u64>) -> Cow<'_, [u8]>;
    /// Its memory where it is, if it stays there for good.
    fn bytes_for_good(&self, range: Range<u64>) -> Option<&'static [u8]>;
}

impl Image for Loaded<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn base(&self) -> u64 {
        self.base
    }

    fn segments(&self) -> &[Segment] {
        self.segments
    }

    fn bytes(&self, range: Range<u64>) -> Cow<'_, [u8]> {
        self.memory(range).into()
    }

    fn bytes_for_good(&self, range: Range<u64>) -> Option<&'static [u8]> {
        self.memory_for_good(range)
    }
}

impl Module {
    /// Reads the tables of a module, as long as there is room for a copy.
    pub(super) fn read(image: &impl Image, room: &mut usize) -> Option<Self> {
        let segments = || image.segments().iter().filter(|segment| segment.kind == libc::PT_LOAD);
        let start = segments().map(|segment| segment.range.start).min()?;
        let end = segments().map(|segment| segment.range.end).max()?;
        let code = segments().filter(|segment| segment.flags & libc::PF_X != 0);
        Some(Self {
            path: image.name().to_owned(),
            base: image.base(),
            range: start..end,
            code: code.map(|segment| segment.range.clone()).collect(),
            build_id: build_id(image),
            tables: Tables::read(image, room),
        })
    }

    /// What the file says for the address.
    pub(super) fn relative(&self, address: u64) -> u64 {
        address.wrapping_sub(self.base)
    }

    /// The file's name, or the program's.
    pub(super) fn name(&self) -> String {
        if !self.path.is_empty() {
            return self.path.rsplit('/').next().unwrap_or_default().to_owned();
        }
        let program = std::env::current_exe().ok();
        let name = program.as_deref().and_then(|path| path.file_name());
        name.map_or_else(|| "program".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// Where the function begins that has this address, as the unwind tables have it.
    pub(super) fn function_start(&self, address: u64) -> Option<u64> {
        let header = &self.tables.as_ref()?.header;
        let distance =
            i32::try_from(address.wrapping_sub(header.range.start).cast_signed()).ok()?;
        let bytes: &[u8] = &header.bytes;
        // The count is a u32; the entries are pairs of i32, counted from the header, and sorted.
        if bytes.get(2..4)? != [0x03, 0x3b] {
            return None;
        }
        let word = |at: usize| Some(i32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let count = usize::try_from(word(8)?).ok()?;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if word(12 + middle * 8)? <= distance {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let start = word(12 + low.checked_sub(1)? * 8)?;
        Some(header.range.start.wrapping_add_signed(i64::from(start)))
    }

    pub(super) fn for_framehop(&self) -> framehop::Module<Table> {
        let mut sections = framehop::ExplicitModuleSectionInfo::default();
        if let Some(tables) = &self.tables {
            let in_file = |range: &Range<u64>| {
                Some(range.start.wrapping_sub(self.base)..range.end.wrapping_sub(self.base))
            };
            sections.eh_frame_hdr_svma = in_file(&tables.header.range);
            sections.eh_frame_hdr = Some(tables.header.bytes.clone());
            sections.eh_frame_svma = in_file(&tables.frames.range);
            sections.eh_frame = Some(tables.frames.bytes.clone());
        }
        framehop::Module::new(self.path.clone(), self.range.clone(), self.base, sections)
    }
}

impl Tables {
    fn read(image: &impl Image, room: &mut usize) -> Option<Self> {
        let header = image.segments().iter().find(|s| s.kind == libc::PT_GNU_EH_FRAME)?;
        let header = header.range.clone();
        let frames = frames_start(header.start, &image.bytes(header.clone()))?;
        let segment = image
            .segments()
            .iter()
            .find(|s| s.kind == libc::PT_LOAD && s.range.contains(&frames))?;
        // No header tells where the table ends. It has an end mark, and each entry a length.
        let end = if frames < header.start { header.start } else { segment.range.end };
        Some(Self {
            header: Placed::read(image, header, room)?,
            frames: Placed::read(image, frames..end, room)?,
        })
    }
}

impl Placed {
    fn read(image: &impl Image, range: Range<u64>, room: &mut usize) -> Option<Self> {
        if let Some(bytes) = image.bytes_for_good(range.clone()) {
            return Some(Self { range, bytes: Table::InPlace(bytes) });
        }
        let bytes = image.bytes(range.clone());
        *room = room.checked_sub(bytes.len())?;
        Some(Self { range, bytes: Table::Copied(Arc::from(bytes)) })
    }
}

/// Where `.eh_frame` begins, which `.eh_frame_hdr` tells, as an offset from that field.
fn frames_start(header: u64, bytes: &[u8]) -> Option<u64> {
    const RELATIVE_I32: u8 = 0x1b;
    let field = bytes.get(4..8)?;
    let offset = i32::from_le_bytes(field.try_into().ok()?);
    (bytes.get(..2)? == [1, RELATIVE_I32])
        .then(|| (header + 4).wrapping_add_signed(i64::from(offset)))
}

fn build_id(image: &impl Image) -> BuildId {
    const NT_GNU_BUILD_ID: u32 = 3;
    let notes = image.segments().iter().filter(|segment| segment.kind == libc::PT_NOTE);
    for segment in notes {
        let bytes = image.bytes(segment.range.clone());
        let mut rest: &[u8] = &bytes;
        while let Some((note, after)) = first_note(rest) {
            if note.kind == NT_GNU_BUILD_ID && note.name == b"GNU\0" {
                return BuildId::new(note.value);
            }
            rest = after;
        }
    }
    BuildId::default()
}

#[derive(Debug)]
struct Note<'a> {
    name: &'a [u8],
    kind: u32,
    value: &'a [u8],
}

/// The first note, and what comes after.
fn first_note(bytes: &[u8]) -> Option<(Note<'_>, &[u8])> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (name_bytes, value_bytes, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
    let value_start = 12_usize.checked_add(name_bytes.checked_next_multiple_of(4)?)?;
    let end = value_start.checked_add(value_bytes)?;
    let name = bytes.get(12..12_usize.checked_add(name_bytes)?)?;
    let value = bytes.get(value_start..end)?;
    let after = bytes.get(end.checked_next_multiple_of(4)?..).unwrap_or(&[]);
    Some((Note { name, kind, value }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_and_its_c_library_are_found() {
        let modules = Modules::loaded();
        assert!(!modules.is_stale());
        let here = (the_program_and_its_c_library_are_found as *const ()).addr() as u64;
        let program = modules.containing(here).unwrap();
        assert!(program.path.is_empty() && modules.is_code(here) && !modules.is_code(1));
        assert_eq!(program.function_start(here + 1), Some(here));
        let sleep = (libc::nanosleep as *const ()).addr() as u64;
        let library = modules.containing(sleep).unwrap();
        assert!(library.name().starts_with("libc"), "{}", library.path);
        assert!(library.build_id.is_known() && library.tables.is_some());
    }

    #[test]
    fn notes_are_read_and_broken_ones_are_left() {
        let bytes = b"\x04\0\0\0\x03\0\0\0\x03\0\0\0GNU\0abc\0rest";
        let (note, after) = first_note(bytes).unwrap();
        assert_eq!((note.name, note.kind, note.value), (&b"GNU\0"[..], 3, &b"abc"[..]));
        assert_eq!(after, b"rest");
        for length in 0..bytes.len() - 5 {
            assert!(first_note(&bytes[..length]).is_none(), "{length}");
        }
        assert!(first_note(&[0xff; 64]).is_none());
    }
}
