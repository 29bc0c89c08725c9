//! The mappings of a process, and copies of its stacks.

use std::ops::Range;
use std::sync::Arc;

use crate::ffi;

/// The most that is copied of a stack, from its leaf.
const STACK_BYTES_MAX: usize = 256 * 1024;
/// What is copied of a stack whose mapping isn't known.
const UNKNOWN_BYTES: usize = 64 * 1024;

/// One line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) range: Range<u64>,
    pub(crate) is_code: bool,
    /// Where in its file it begins.
    pub(crate) offset: u64,
    /// The file's number; 0 for none.
    pub(crate) inode: u64,
    /// Empty for memory without a file.
    pub(crate) path: String,
    /// Whether the file has no name any more.
    pub(crate) is_deleted: bool,
}

/// All of them, in the order of their addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mappings(Arc<[Mapping]>);

impl Mappings {
    pub(crate) fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Mapping::parse).collect())
    }

    pub(crate) fn all(&self) -> &[Mapping] {
        &self.0
    }

    pub(crate) fn containing(&self, address: u64) -> Option<&Mapping> {
        let after = self.0.partition_point(|mapping| mapping.range.end <= address);
        self.0.get(after).filter(|mapping| mapping.range.contains(&address))
    }

    /// Copies a stack from its pointer on, as far as its mapping goes. Tells whether it was cut.
    pub(crate) fn copy_stack(&self, pid: i32, sp: u64, into: &mut Vec<u8>) -> bool {
        let bytes = self.containing(sp).map_or(UNKNOWN_BYTES, |mapping| {
            usize::try_from(mapping.range.end - sp).unwrap_or(usize::MAX)
        });
        let length = bytes.min(STACK_BYTES_MAX);
        into.resize(length, 0);
        let read = ffi::read_memory(pid, sp, into).unwrap_or(0);
        into.truncate(read);
        bytes > length
    }
}

impl Mapping {
    /// `7f00-7f10 r-xp 00001000 fe:01 1234   /lib/libc.so.6`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let hex = |text: &str| u64::from_str_radix(text, 16).ok();
        let range = hex(start)?..hex(end)?;
        let rights = words.next()?;
        let offset = hex(words.next()?)?;
        let _device = words.next()?;
        let inode = words.next()?.parse().ok()?;
        let path = unescaped(words.next().unwrap_or_default().trim_start());
        let (path, is_deleted) = match path.strip_suffix(" (deleted)") {
            Some(path) => (path.to_owned(), true),
            None => (path, false),
        };
        let is_code = rights.contains('x');
        Some(Self { range, is_code, offset, inode, path, is_deleted })
    }
}

/// The kernel writes a line break in a path as `\012`.
fn unescaped(path: &str) -> String {
    path.replace("\\012", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read_and_found() {
        let text = "1000-3000 r-xp 00001000 fe:01 42                     /a b/x (deleted)\n\
                    5000-6000 rw-p 00000000 00:00 0 \n\
                    7000-8000 r-xp 00000000 00:00 0                      [vdso]\nnonsense\n";
        let mappings = Mappings::parse(text);
        assert_eq!(mappings.all().len(), 3);
        let program = mappings.containing(0x2fff).unwrap();
        assert_eq!((program.path.as_str(), program.offset), ("/a b/x", 0x1000));
        assert!(program.is_deleted && program.is_code && program.inode == 42);
        assert!(mappings.containing(0x3000).is_none() && mappings.containing(0).is_none());
        assert_eq!(mappings.containing(0x7000).unwrap().path, "[vdso]");
        assert!(!mappings.containing(0x5000).unwrap().is_code);
    }
}
