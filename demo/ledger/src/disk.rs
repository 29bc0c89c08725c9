//! Group commit: a thread of its own gathers entries for a while, then writes and syncs them
//! together.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the committer gathers entries before it syncs: the least time that a posting waits.
const GATHER: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Disk {
    shared: Arc<Shared>,
    committer: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: Vec<u8>,
    queued: u64,
    settled: u64,
    failed: Option<io::ErrorKind>,
    closing: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        self.changed.wait_while(self.state(), condition).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    pub(crate) fn open(file: File) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let committer = thread::Builder::new().name("ledger-commit".into()).spawn({
            let shared = Arc::clone(&shared);
            move || commit(&shared, file)
        })?;
        Ok(Self { shared, committer: Some(committer) })
    }

    /// Queues an entry and returns its number. Doesn't wait.
    pub(crate) fn queue(&self, entry: &[u8]) -> u64 {
        let mut state = self.shared.state();
        state.pending.extend_from_slice(entry);
        state.queued += 1;
        self.shared.changed.notify_all();
        state.queued
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        if let Some(committer) = self.committer.take() {
            // A committer that panicked has nothing more to write.
            let _ = committer.join();
        }
    }
}

/// Waits until the entry with this number is on disk.
pub(crate) fn settle(disk: &Disk, number: u64) -> io::Result<()> {
    let state = disk.shared.wait_while(|state| state.settled < number && state.failed.is_none());
    match state.failed {
        Some(kind) => Err(kind.into()),
        None => Ok(()),
    }
}

/// The committer: ends when the disk is closing and all that was queued is written.
fn commit(shared: &Shared, mut file: File) {
    loop {
        if shared.wait_while(|state| state.pending.is_empty() && !state.closing).pending.is_empty()
        {
            return;
        }
        thread::sleep(GATHER);
        let (entries, last) = {
            let mut state = shared.state();
            (std::mem::take(&mut state.pending), state.queued)
        };
        let written = file.write_all(&entries).and_then(|()| file.sync_data());
        let mut state = shared.state();
        match written {
            Ok(()) => state.settled = last,
            Err(error) => state.failed = Some(error.kind()),
        }
        shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use super::*;

    #[test]
    fn an_entry_that_settled_is_in_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        let disk = Disk::open(file.try_clone().unwrap()).unwrap();
        let number = disk.queue(b"rent\t-120000\n");
        settle(&disk, number).unwrap();
        drop(disk);

        file.seek(SeekFrom::Start(0)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "rent\t-120000\n");
    }

    #[test]
    fn a_failed_write_reaches_whoever_waits() {
        let read_only = File::open("/dev/null").unwrap();
        let disk = Disk::open(read_only).unwrap();
        let number = disk.queue(b"lost\n");
        settle(&disk, number).unwrap_err();
    }

    #[test]
    fn what_was_queued_is_written_before_it_closes() {
        let mut file = tempfile::tempfile().unwrap();
        let disk = Disk::open(file.try_clone().unwrap()).unwrap();
        disk.queue(b"late\n");
        drop(disk);

        file.seek(SeekFrom::Start(0)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "late\n");
    }
}
