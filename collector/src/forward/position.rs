//! How far requests were passed on, in a file beside the log's.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The sequence number of the next entry to pass on.
pub(super) struct Position {
    folder: PathBuf,
    next: Option<u64>,
}

const NAME: &str = "forwarded";

impl Position {
    /// That of a log's folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let next = match fs::read_to_string(folder.join(NAME)) {
            // The file is replaced whole; what is no number was written by somebody else.
            Ok(text) => text.trim().parse().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { folder: folder.to_owned(), next })
    }

    /// What was noted last; `None` when nothing ever was.
    pub(super) fn next(&self) -> Option<u64> {
        self.next
    }

    /// Notes it on disk.
    pub(super) fn set(&mut self, next: u64) -> io::Result<()> {
        let written = self.folder.join("forwarded.part");
        let mut file = File::create(&written)?;
        writeln!(file, "{next}")?;
        file.sync_all()?;
        fs::rename(&written, self.folder.join(NAME))?;
        self.next = Some(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn what_is_noted_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut position = Position::open(folder.path()).unwrap();
        assert_eq!(position.next(), None);
        position.set(7).unwrap();
        position.set(12).unwrap();
        assert_eq!(Position::open(folder.path()).unwrap().next(), Some(12));
    }
}
