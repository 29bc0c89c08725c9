//! Writes large entries past the page cache: each of their bytes is copied once, into memory that
//! stays the same, instead of into pages that the system finds, notes, writes back and drops.
//!
//! Whole blocks of the file go that way. What stands in the blocks at an entry's begin and end, which
//! others share, goes through the page cache, so that no block is written both ways. The file has
//! the same bytes either way, and one sync makes all of them durable.

use std::fs::File;
use std::io;

use super::disk::Disk;

/// Where a block begins, in the file and in memory: what every disk and file system takes.
const BLOCK_BYTES: usize = 4_096;
/// Bytes of one write.
const WRITE_BYTES: usize = 1 << 20;

/// Memory that begins where a block may.
pub(super) struct Direct {
    /// Empty before it is first used.
    memory: Vec<u8>,
}

impl Direct {
    pub(super) fn new() -> Self {
        Self { memory: Vec::new() }
    }

    /// Writes an entry's bytes at an offset. `direct` is the same file, and none from then on where
    /// the file system refuses.
    pub(super) fn write(
        &mut self,
        disk: &dyn Disk,
        (file, direct): (&File, &mut Option<File>),
        bytes: &[u8],
        mut at: u64,
    ) -> io::Result<()> {
        let misplaced = usize::try_from(at % BLOCK_BYTES as u64).unwrap_or_default();
        let before = (BLOCK_BYTES - misplaced) % BLOCK_BYTES;
        let (Some(past_cache), true) = (&*direct, bytes.len() >= before + BLOCK_BYTES) else {
            return disk.write(file, bytes, at);
        };
        let (first, rest) = bytes.split_at(before);
        let (blocks, last) = rest.split_at(rest.len() - rest.len() % BLOCK_BYTES);
        disk.write(file, first, at)?;
        at += count(first);
        let mut left = blocks;
        while !left.is_empty() {
            let (part, later) = left.split_at(left.len().min(WRITE_BYTES));
            match disk.write(past_cache, self.aligned(part), at) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    *direct = None;
                    disk.write(file, left, at)?;
                    at += count(left);
                    break;
                }
                Err(error) => return Err(error),
            }
            at += count(part);
            left = later;
        }
        disk.write(file, last, at)
    }

    /// The same bytes, where a block may begin.
    fn aligned(&mut self, bytes: &[u8]) -> &[u8] {
        self.memory.resize(WRITE_BYTES + BLOCK_BYTES, 0);
        let begin = self.memory.as_ptr().align_offset(BLOCK_BYTES);
        let aligned = &mut self.memory[begin..][..bytes.len()];
        aligned.copy_from_slice(bytes);
        aligned
    }
}

fn count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::fs::{OFlags, fcntl_getfl};

    use super::super::disk::{Disk, RealDisk};
    use super::{BLOCK_BYTES, Direct};

    /// A disk that counts what is written past the page cache, and refuses it or not.
    struct Watched {
        refuses: bool,
        past_cache: AtomicUsize,
    }

    impl Disk for Watched {
        fn create(&self, path: &Path) -> io::Result<File> {
            RealDisk.create(path)
        }

        fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
            if fcntl_getfl(file)?.contains(OFlags::DIRECT) {
                assert_eq!((at % 4_096, bytes.len() % BLOCK_BYTES), (0, 0));
                assert_eq!(bytes.as_ptr().align_offset(BLOCK_BYTES), 0);
                // Some file systems find out at the first write, others in the midst.
                if self.refuses && self.past_cache.load(Ordering::Relaxed) > 1 << 20 {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                self.past_cache.fetch_add(bytes.len(), Ordering::Relaxed);
            }
            RealDisk.write(file, bytes, at)
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            RealDisk.sync(file)
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            RealDisk.sync_folder(folder)
        }

        fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
            RealDisk.free_bytes(folder)
        }
    }

    #[test]
    fn a_file_has_the_same_bytes_whichever_way_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        for refuses in [false, true] {
            let disk = Watched { refuses, past_cache: AtomicUsize::new(0) };
            let (mut direct, mut expected) = (Direct::new(), Vec::new());
            let path = folder.path().join(format!("refuses-{refuses}"));
            let file = disk.create(&path).unwrap();
            let mut past_cache = disk.open_direct(&path);
            let is_taken = past_cache.is_some();
            for (number, length) in
                [(1_u8, 5), (2, 70_000), (3, 4_091), (4, 3 << 20), (5, 0), (6, 4_096), (7, 90_001)]
            {
                let bytes: Vec<u8> =
                    (0..length).map(|at| u8::try_from(at % 251).unwrap() ^ number).collect();
                let at = expected.len() as u64;
                direct.write(&disk, (&file, &mut past_cache), &bytes, at).unwrap();
                expected.extend_from_slice(&bytes);
            }
            assert!(fs::read(&path).unwrap() == expected, "refuses: {refuses}");
            assert_eq!(past_cache.is_some(), is_taken && !refuses);
            assert_eq!(disk.past_cache.load(Ordering::Relaxed) > 3 << 20, is_taken && !refuses);
        }
    }

    #[test]
    fn a_disk_that_is_full_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = RealDisk.create(&folder.path().join("file")).unwrap();
        let full = || fs::OpenOptions::new().write(true).open("/dev/full").ok();
        let mut direct = Direct::new();
        let written = direct.write(&RealDisk, (&file, &mut full()), &[7; 9_000], 0);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
