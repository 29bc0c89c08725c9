//! The program of another process and its libraries, as they are in its memory: a file that was
//! deleted, replaced, or is in another container is no obstacle to following stacks. Names need the
//! files; each is opened while the process lives.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

use holdup::symbols::{OutsideModule, Segment, Walker};
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader};

use crate::ffi;
use crate::memory::{Mapping, Mappings};

/// Program headers lie at the beginning of a file.
const HEADER_BYTES: usize = 4096;
/// The most that is read at once of a module.
const TABLE_BYTES_MAX: u64 = 1 << 30;

/// Mappings of a process at one time, and what is needed to follow and name its stacks.
#[derive(Debug)]
pub(crate) struct Modules {
    pub(crate) mappings: Mappings,
    pub(crate) walker: Walker,
    files: HashMap<String, Vec<File>>,
}

impl Modules {
    pub(crate) fn load(pid: i32, maps: &str) -> Self {
        let mappings = Mappings::parse(maps);
        let read = |range: Range<u64>| read(pid, range);
        let found = groups(mappings.all());
        let modules = found.iter().filter_map(|group| module(group, &read));
        let walker = Walker::new(pid, modules);
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let program = program.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
        let files = found.iter().map(|group| {
            let path = group[0].path.clone();
            let files = files(pid, group, path == program);
            (path, files)
        });
        Self { files: files.collect(), walker, mappings }
    }

    /// Whether the same files are mapped at the same places.
    pub(crate) fn has_same_modules(&self, mappings: &Mappings) -> bool {
        let (old, new) = (groups(self.mappings.all()), groups(mappings.all()));
        let place = |group: &[Mapping]| (group[0].range.start, group[0].inode);
        old.len() == new.len() && old.iter().zip(&new).all(|(a, b)| place(a) == place(b))
    }

    /// Where the files can be opened that may be that of a module, the likeliest first.
    pub(crate) fn paths(&self, module: &str) -> Vec<String> {
        let files = self.files.get(module).into_iter().flatten();
        files.map(|file| format!("/proc/self/fd/{}", file.as_raw_fd())).collect()
    }
}

/// The mappings of each module: they begin with the one that has the file's beginning.
fn groups(mappings: &[Mapping]) -> Vec<&[Mapping]> {
    let mut groups = Vec::new();
    let mut rest = mappings;
    while let Some(first) = rest.first() {
        let is_vdso = first.path == "[vdso]";
        let same = |mapping: &Mapping| {
            // Between the parts of a file there may be memory of its own, for zeroes.
            let is_part = mapping.path == first.path && mapping.offset > first.offset;
            is_part && mapping.inode == first.inode
        };
        let length = 1 + rest[1..].iter().take_while(|mapping| same(mapping)).count();
        let (group, after) = rest.split_at(length);
        let is_file = first.inode != 0 && first.offset == 0;
        if (is_file || is_vdso) && group.iter().any(|mapping| mapping.is_code) {
            groups.push(group);
        }
        rest = after;
    }
    groups
}

fn module<'a>(
    group: &[Mapping],
    read: &'a dyn Fn(Range<u64>) -> Vec<u8>,
) -> Option<OutsideModule<'a>> {
    let first = group.first()?;
    let start = first.range.start;
    let header = read(start..first.range.end.min(start + HEADER_BYTES as u64));
    let elf = FileHeader64::<Endianness>::parse(header.as_slice()).ok()?;
    let endian = elf.endian().ok()?;
    let headers = elf.program_headers(endian, header.as_slice()).ok()?;
    let is_first = |header: &&object::elf::ProgramHeader64<Endianness>| {
        header.p_type(endian).0 == libc::PT_LOAD && header.p_offset(endian) == 0
    };
    let base = start.wrapping_sub(headers.iter().find(is_first)?.p_vaddr(endian));
    let segments = headers.iter().map(|header| {
        let start = base.wrapping_add(header.p_vaddr(endian));
        let range = start..start.saturating_add(header.p_memsz(endian));
        Segment { kind: header.p_type(endian).0, flags: header.p_flags(endian).0, range }
    });
    let (path, segments) = (first.path.clone(), segments.collect());
    Some(OutsideModule { path, base, segments, read })
}

fn read(pid: i32, range: Range<u64>) -> Vec<u8> {
    let length = range.end.saturating_sub(range.start).min(TABLE_BYTES_MAX);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let read = ffi::read_memory(pid, range.start, &mut bytes).unwrap_or(0);
    bytes.truncate(read);
    bytes
}

/// The files that may be a module's: through the process's own view of the file system, which may
/// be a container's; or by the mapping itself, which leads to the file whatever became of its name.
fn files(pid: i32, group: &[Mapping], is_program: bool) -> Vec<File> {
    let first = &group[0];
    let mut paths = Vec::new();
    if is_program {
        paths.push(format!("/proc/{pid}/exe"));
    }
    if !first.is_deleted && first.inode != 0 {
        paths.push(format!("/proc/{pid}/root{}", first.path));
    }
    let Range { start, end } = first.range;
    paths.push(format!("/proc/{pid}/map_files/{start:x}-{end:x}"));
    paths.iter().filter_map(|path| File::open(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_told_from_files_that_are_only_read() {
        let text = "1000-2000 r--p 00000000 fe:01 7 /a\n2000-3000 r-xp 00001000 fe:01 7 /a\n\
                    3000-4000 rw-p 00000000 00:00 0 \n4000-5000 r--p 00000000 fe:01 7 /a\n\
                    6000-7000 r-xp 00000000 00:00 0 [vdso]\n8000-9000 r-xp 00000000 00:00 0 \n";
        let mappings = Mappings::parse(text);
        let found = groups(mappings.all());
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].len(), found[0][0].range.start), (2, 0x1000));
        assert_eq!(found[1][0].path, "[vdso]");
    }

    #[test]
    fn the_modules_of_this_process_are_found_from_outside() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let modules = Modules::load(pid, &std::fs::read_to_string("/proc/self/maps").unwrap());
        let here = (the_modules_of_this_process_are_found_from_outside as *const ()).addr() as u64;
        let place = modules.walker.place(here).unwrap();
        let (path, build_id) = modules.walker.module(place.module).unwrap();
        assert!(path.contains("holdup_attach") && build_id.len() >= 16, "{path} {build_id}");
        assert!(!modules.paths(path).is_empty());
    }
}
