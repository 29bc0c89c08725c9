//! The few calls through which the log changes the disk. In tests there is a disk that fails.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// What can go wrong on a disk.
pub(crate) trait Disk: Send + Sync {
    /// Makes a file that is not there yet.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Opens a file that was made, to write whole blocks past the page cache; `None` where the file
    /// system does not do that.
    fn open_direct(&self, path: &Path) -> Option<File> {
        let direct = OFlags::DIRECT.bits().cast_signed();
        OpenOptions::new().write(true).custom_flags(direct).open(path).ok()
    }
    /// Writes all of the bytes at an offset.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Returns when what was written is on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Returns when a folder's entries are on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that may still be written in a folder.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// The disk that there is.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).read(true).create_new(true).open(path)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}
