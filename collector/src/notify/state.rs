//! What receivers were told and what waits for them, in one file that is replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dispatch::{Group, Notification};
use super::queue::Waiting;

const NAME: &str = "notifications.json";
/// The form of the file; a change that an older program would misread gets the next number.
const VERSION: u32 = 1;
/// Bytes that are read: far more than the bounds on alerts let anybody write.
const BYTES_MAX: u64 = 1 << 30;

/// What an earlier run left.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Kept {
    pub(super) groups: Vec<Group>,
    pub(super) waiting: Vec<Waiting>,
    /// What was left to another collector to send, lately.
    #[serde(default)]
    pub(super) followed: Vec<Notification>,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    groups: Vec<&'a Group>,
    waiting: Vec<&'a Waiting>,
    followed: Vec<&'a Notification>,
}

/// The file's bytes.
pub(super) fn bytes<'a>(
    groups: impl Iterator<Item = &'a Group>,
    waiting: impl Iterator<Item = &'a Waiting>,
    followed: impl Iterator<Item = &'a Notification>,
) -> io::Result<Vec<u8>> {
    let written = Written {
        version: VERSION,
        groups: groups.collect(),
        waiting: waiting.collect(),
        followed: followed.collect(),
    };
    serde_json::to_vec(&written).map_err(io::Error::other)
}

/// Where it is.
#[derive(Clone, Debug)]
pub(super) struct StateFile {
    folder: PathBuf,
}

impl StateFile {
    /// Opens it, or begins one. A file that can't be understood is put aside and said: who is not
    /// told anything because of it would be worse off than who is told twice.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Kept)> {
        fs::create_dir_all(folder)?;
        let file = Self { folder: folder.to_owned() };
        let mut read = Vec::new();
        match File::open(file.path()) {
            Ok(it) => it.take(BYTES_MAX).read_to_end(&mut read)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((file, Kept::default()));
            }
            Err(error) => return Err(error),
        };
        let reason = match serde_json::from_slice::<Versioned>(&read) {
            Ok(Versioned { version: VERSION }) => match serde_json::from_slice(&read) {
                Ok(kept) => return Ok((file, kept)),
                Err(error) => error.to_string(),
            },
            Ok(Versioned { version }) => format!("it has the form {version}, not {VERSION}"),
            Err(error) => error.to_string(),
        };
        let aside = folder.join(format!("{NAME}.aside"));
        fs::rename(file.path(), &aside)?;
        tracing::error!(
            "cannot use {}: {reason}; it is put aside, and receivers may be told twice of what \
             fires",
            aside.display()
        );
        Ok((file, Kept::default()))
    }

    /// Replaces it.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let part = self.folder.join(format!("{NAME}.part"));
        let mut options = OpenOptions::new();
        // Names of services and functions are nobody else's business.
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, self.path())?;
        File::open(&self.folder)?.sync_all()
    }

    /// Its path.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{", "{\"version\": 2}", "{\"version\": 1, \"groups\": 3}", "[1]"] {
            fs::write(folder.path().join(NAME), text).unwrap();
            let (file, kept) = StateFile::open(folder.path()).unwrap();
            assert!(kept.groups.is_empty() && kept.waiting.is_empty());
            assert!(
                !file.path().exists() && folder.path().join("notifications.json.aside").exists()
            );
        }
    }

    #[test]
    fn a_folder_that_is_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "").unwrap();
        assert!(StateFile::open(&path).is_err());
    }
}
