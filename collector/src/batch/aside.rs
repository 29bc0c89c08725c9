//! Requests that ClickHouse refuses for what is in them: kept in files with the reason, out of the
//! way of all others, until somebody has them sent again.
//!
//! A file has one line of JSON and then the body as it came. Those to be sent again are moved into
//! a second folder, where the batcher finds them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::log::Entry;

/// What is known of a request that was put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AsideHead {
    /// Its name: the file's.
    pub(crate) id: String,
    /// The table that did not take its rows; empty where no rows can be made of it.
    pub(crate) table: String,
    /// What ClickHouse said.
    pub(crate) reason: String,
    /// How many rows these are.
    pub(crate) rows: usize,
    /// When it came, ns since 1970.
    pub(crate) received_ns: u64,
    /// What the body is, as the log labels it.
    pub(crate) label: u32,
}

/// A request that was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AsideFile {
    /// What is known of it.
    pub(crate) head: AsideHead,
    /// The body as it came.
    pub(crate) body: Bytes,
}

impl AsideFile {
    /// The request as the log had it.
    pub(crate) fn entry(&self) -> Entry {
        let head = &self.head;
        Entry { key: 0, time_ns: head.received_ns, label: head.label, bytes: self.body.clone() }
    }
}

/// Why it can't be said what was put aside.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AsideError {
    /// There is no such request.
    #[error("nothing named {id:?} is put aside in {folder}: see `holdup spool list`")]
    Unknown {
        /// What was asked for.
        id: String,
        /// Where.
        folder: PathBuf,
    },
    /// The folder or a file can't be used.
    #[error("cannot use {path}: {source}")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The two folders.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    kept: PathBuf,
    due: PathBuf,
}

impl Aside {
    /// Those of a log's folder.
    pub(crate) fn of(log_folder: &Path) -> Self {
        Self { kept: log_folder.join("aside"), due: log_folder.join("replay") }
    }

    /// Keeps a request; the same one again replaces it.
    pub(super) fn put(&self, file: &AsideFile) -> io::Result<()> {
        fs::create_dir_all(&self.kept)?;
        let path = self.kept.join(&file.head.id);
        let written = self.kept.join(format!("{}.part", file.head.id));
        let mut out = File::create(&written)?;
        serde_json::to_writer(&mut out, &file.head)?;
        out.write_all(b"\n")?;
        out.write_all(&file.body)?;
        out.sync_all()?;
        fs::rename(&written, &path)?;
        File::open(&self.kept)?.sync_all()
    }

    /// What is put aside, the oldest first.
    pub(crate) fn list(&self) -> Result<Vec<AsideHead>, AsideError> {
        let files = read_all(&self.kept)?;
        Ok(files.into_iter().map(|file| file.head).collect())
    }

    /// One that is put aside.
    pub(crate) fn show(&self, id: &str) -> Result<AsideFile, AsideError> {
        let known = self.list()?.into_iter().any(|head| head.id == id);
        let path = self.kept.join(id);
        if !known {
            return Err(AsideError::Unknown { id: id.to_owned(), folder: self.kept.clone() });
        }
        read(&path).map_err(|source| AsideError::Folder { path, source })
    }

    /// Has one sent again, by the collector that runs or the next that starts.
    pub(crate) fn replay(&self, id: &str) -> Result<(), AsideError> {
        self.show(id)?;
        let failed = |source| AsideError::Folder { path: self.due.clone(), source };
        fs::create_dir_all(&self.due).map_err(failed)?;
        fs::rename(self.kept.join(id), self.due.join(id)).map_err(failed)?;
        File::open(&self.due).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// What is to be sent again.
    pub(super) fn due(&self) -> Result<Vec<AsideFile>, AsideError> {
        read_all(&self.due)
    }

    /// One was sent again.
    pub(super) fn done(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.due.join(id))
    }

    /// One was refused again.
    pub(super) fn put_back(&self, file: &AsideFile) -> io::Result<()> {
        self.put(file)?;
        self.done(&file.head.id)
    }
}

fn read_all(folder: &Path) -> Result<Vec<AsideFile>, AsideError> {
    let failed = |path: &Path, source| AsideError::Folder { path: path.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(folder, error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(folder, error))?.path();
        if path.extension().is_none_or(|extension| extension != "part") {
            files.push(read(&path).map_err(|error| failed(&path, error))?);
        }
    }
    files.sort_by(|a, b| (a.head.received_ns, &a.head.id).cmp(&(b.head.received_ns, &b.head.id)));
    Ok(files)
}

fn read(path: &Path) -> io::Result<AsideFile> {
    let bytes = Bytes::from(fs::read(path)?);
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let head = serde_json::from_slice(&bytes[..line])?;
    Ok(AsideFile { head, body: bytes.slice((line + 1).min(bytes.len())..) })
}

#[cfg(test)]
mod tests {
    use super::{Aside, AsideError, AsideFile, AsideHead};

    #[test]
    fn what_is_put_aside_is_found_moved_and_done() {
        let folder = tempfile::tempdir().unwrap();
        let aside = Aside::of(folder.path());
        assert_eq!(aside.list().unwrap(), []);
        let file = |id: &str, received_ns| {
            let (table, reason) = ("poll_spans".to_owned(), "Code: 469\nviolated".to_owned());
            let head = AsideHead { id: id.into(), table, reason, rows: 3, received_ns, label: 257 };
            AsideFile { head, body: "body\nwith lines".into() }
        };
        aside.put(&file("b", 2)).unwrap();
        aside.put(&file("a", 3)).unwrap();
        aside.put(&file("b", 2)).unwrap();
        let ids = |heads: Vec<AsideHead>| heads.into_iter().map(|head| head.id).collect::<Vec<_>>();
        assert_eq!(ids(aside.list().unwrap()), ["b", "a"], "the oldest first");
        assert_eq!(aside.show("b").unwrap(), file("b", 2));
        assert!(matches!(aside.show("../lock"), Err(AsideError::Unknown { .. })));
        aside.replay("b").unwrap();
        assert_eq!(ids(aside.list().unwrap()), ["a"]);
        assert_eq!(aside.due().unwrap(), [file("b", 2)]);
        aside.put_back(&file("b", 2)).unwrap();
        assert_eq!((aside.due().unwrap().len(), aside.list().unwrap().len()), (0, 2));
    }
}
