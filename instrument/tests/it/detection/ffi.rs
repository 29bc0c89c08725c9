//! What has no safe form: a file in memory.
#![allow(unsafe_code)]

use std::fs::File;

use memmap2::{Advice, Mmap};
use rustix::fs::{Advice as OfFile, fadvise};

/// Maps a file of which nothing is in memory, so that each page has to be read.
pub(super) fn cold(file: &File) -> Mmap {
    fadvise(file, 0, None, OfFile::DontNeed).unwrap();
    // SAFETY: the file has no name, and nothing writes to it after it was made.
    let pages = unsafe { Mmap::map(file) }.unwrap();
    pages.advise(Advice::Random).unwrap();
    pages
}
