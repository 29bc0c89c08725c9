//! A small ledger with a synchronous interface, as many good libraries have one.
//!
//! It stands for the dependency that blocks where its caller can't see it: [`Ledger::post`] looks
//! like a quick call, and the wait for the group commit is in `disk::settle`, three frames below.

mod disk;
mod journal;

use std::io;

use disk::Disk;

/// A list of postings, each on disk before [`Ledger::post`] returns.
///
/// The journal is an unnamed temporary file: nothing is left behind, however the process ends.
#[derive(Debug)]
pub struct Ledger {
    disk: Disk,
}

impl Ledger {
    /// Opens an empty ledger and starts the thread that commits its postings in groups.
    ///
    /// # Errors
    ///
    /// When the temporary file can't be created or the thread can't be started.
    pub fn open() -> io::Result<Self> {
        Ok(Self { disk: Disk::open(tempfile::tempfile()?)? })
    }

    /// Adds a posting, and returns its number once it is on disk. **This blocks the thread.**
    ///
    /// # Examples
    ///
    /// ```
    /// let ledger = ledger::Ledger::open()?;
    /// assert_eq!(ledger.post("rent", -120_000)?, 1);
    /// assert_eq!(ledger.post("salary", 340_000)?, 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the journal can't be written.
    pub fn post(&self, account: &str, cents: i64) -> io::Result<u64> {
        journal::append(&self.disk, account, cents)
    }
}
