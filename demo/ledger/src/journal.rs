//! The journal: one line a posting.

use std::io;

use crate::disk::{self, Disk};

/// Appends one posting and returns its number once it is on disk.
pub(crate) fn append(disk: &Disk, account: &str, cents: i64) -> io::Result<u64> {
    let number = disk.queue(format!("{account}\t{cents}\n").as_bytes());
    disk::settle(disk, number)?;
    Ok(number)
}
