//! Requests that ClickHouse refuses for what is in them: kept in files with the reason, out of the
//! way of all others, until somebody has them sent again.
//!
//! A file has one line of JSON and then the body as it came. Those to be sent again are moved into
//! a second folder, where the batcher finds them. Together they have a bound: whoever puts one aside
//! beyond it waits.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write};
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
    /// There is room for no more.
    #[error(
        "{folder} and what is to be sent again have {bytes} bytes, and may have {bytes_max} \
         (--log-bytes-max): have them sent again by `holdup spool replay`, or give up what nobody \
         needs by `holdup spool remove`"
    )]
    Full {
        /// Where.
        folder: PathBuf,
        /// What is there, and the bound.
        bytes: u64,
        bytes_max: u64,
    },
}

/// The two folders.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    kept: PathBuf,
    due: PathBuf,
    bytes_max: u64,
}

impl Aside {
    /// Those of a log's folder, to read them.
    pub(crate) fn of(log_folder: &Path) -> Self {
        Self::bounded(log_folder, u64::MAX)
    }

    /// Those of a log's folder, which have so many bytes together and one request more at most.
    pub(super) fn bounded(log_folder: &Path, bytes_max: u64) -> Self {
        Self { kept: log_folder.join("aside"), due: log_folder.join("replay"), bytes_max }
    }

    /// Keeps a request, where there is room; the same one again replaces it.
    pub(super) fn put(&self, file: &AsideFile) -> Result<(), AsideError> {
        let failed = |source| AsideError::Folder { path: self.kept.clone(), source };
        let bytes = self.bytes().map_err(failed)?;
        if bytes >= self.bytes_max {
            let (folder, bytes_max) = (self.kept.clone(), self.bytes_max);
            return Err(AsideError::Full { folder, bytes, bytes_max });
        }
        self.write(file).map_err(failed)
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for path in paths(&self.kept)?.into_iter().chain(paths(&self.due)?) {
            bytes += fs::metadata(path)?.len();
        }
        Ok(bytes)
    }

    fn write(&self, file: &AsideFile) -> io::Result<()> {
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
        heads(&self.kept)
    }

    /// One that is put aside.
    pub(crate) fn show(&self, id: &str) -> Result<AsideFile, AsideError> {
        let path = self.known(id)?;
        read(&path).map_err(|source| AsideError::Folder { path, source })
    }

    /// The file of one that is put aside.
    fn known(&self, id: &str) -> Result<PathBuf, AsideError> {
        let folder = || self.kept.clone();
        let there = paths(&self.kept)
            .map_err(|source| AsideError::Folder { path: folder(), source })?
            .into_iter()
            .find(|path| path.file_name().is_some_and(|name| name == id));
        there.ok_or_else(|| AsideError::Unknown { id: id.to_owned(), folder: folder() })
    }

    /// Has one sent again, by the collector that runs or the next that starts.
    pub(crate) fn replay(&self, id: &str) -> Result<(), AsideError> {
        self.known(id)?;
        let failed = |source| AsideError::Folder { path: self.due.clone(), source };
        fs::create_dir_all(&self.due).map_err(failed)?;
        fs::rename(self.kept.join(id), self.due.join(id)).map_err(failed)?;
        File::open(&self.due).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    /// Gives one up.
    pub(crate) fn remove(&self, id: &str) -> Result<(), AsideError> {
        let path = self.known(id)?;
        fs::remove_file(&path).map_err(|source| AsideError::Folder { path, source })
    }

    /// What is to be sent again, the oldest first.
    pub(super) fn due(&self) -> Result<Vec<AsideHead>, AsideError> {
        heads(&self.due)
    }

    /// One that is to be sent again.
    pub(super) fn read_due(&self, id: &str) -> Result<AsideFile, AsideError> {
        let path = self.due.join(id);
        read(&path).map_err(|source| AsideError::Folder { path, source })
    }

    /// One was sent again.
    pub(super) fn done(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.due.join(id))
    }

    /// One was refused again.
    pub(super) fn put_back(&self, file: &AsideFile) -> io::Result<()> {
        self.write(file)?;
        self.done(&file.head.id)
    }
}

/// The heads of a folder's files, the oldest first. Bodies are not read.
fn heads(folder: &Path) -> Result<Vec<AsideHead>, AsideError> {
    let failed = |path: &Path, source| AsideError::Folder { path: path.to_owned(), source };
    let mut heads = Vec::new();
    for path in paths(folder).map_err(|error| failed(folder, error))? {
        match head(&path) {
            Ok(head) => heads.push(head),
            // The collector moved it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
    heads.sort_by(|a, b| (a.received_ns, &a.id).cmp(&(b.received_ns, &b.id)));
    Ok(heads)
}

/// The whole files of a folder, if there is one.
fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    let is_whole = |path: &PathBuf| path.extension().is_none_or(|it| it != "part");
    Ok(paths.into_iter().filter(is_whole).collect())
}

fn head(path: &Path) -> io::Result<AsideHead> {
    let mut line = String::new();
    BufReader::new(File::open(path)?).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
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
        assert_eq!(aside.due().unwrap(), [file("b", 2).head]);
        assert_eq!(aside.read_due("b").unwrap(), file("b", 2));
        aside.put_back(&file("b", 2)).unwrap();
        assert_eq!((aside.due().unwrap().len(), aside.list().unwrap().len()), (0, 2));
    }

    #[test]
    fn no_more_is_put_aside_than_there_is_room_for_until_some_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let aside = Aside::bounded(folder.path(), 4_000);
        let file = |id: u64| {
            let (table, reason) = ("poll_spans".to_owned(), "violated".to_owned());
            let id = id.to_string();
            let head = AsideHead { id, table, reason, rows: 3, received_ns: 1, label: 257 };
            AsideFile { head, body: vec![b'x'; 1_000].into() }
        };
        let refused = (0..10).find_map(|id| aside.put(&file(id)).err()).unwrap();
        assert!(matches!(refused, AsideError::Full { bytes_max: 4_000, .. }), "{refused}");
        assert_eq!(aside.list().unwrap().len(), 4);
        aside.replay("0").unwrap();
        assert!(aside.put(&file(9)).is_err(), "what is to be sent again counts");
        aside.put_back(&aside.read_due("0").unwrap()).unwrap();
        aside.remove("1").unwrap();
        assert!(matches!(aside.remove("1"), Err(AsideError::Unknown { .. })));
        aside.put(&file(9)).unwrap();
    }
}
