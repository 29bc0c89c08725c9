//! Where receivers hand over requests, within a bound on what is under way.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::progress::Progress;
use super::tail::Tail;
use crate::decode::{Decoded, StoredStacks};
use crate::log::{AppendError, Appended, Log};
use crate::request::Request;

/// Why a request was not taken. The sender should come again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// More is under way already than may be.
    #[error("holdup is overloaded: too much is under way; send again later")]
    Overloaded,
    /// The log did not take it.
    #[error("{0}; send again later")]
    Log(#[from] AppendError),
}

/// Memory that a request may take until it is in the log.
pub(crate) struct Room {
    all: Arc<Semaphore>,
    held: OwnedSemaphorePermit,
}

impl Room {
    /// Asks for so much in all: for what a body is once it is decompressed, or read.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), NotTaken> {
        let held = self.held.num_permits();
        if bytes <= held {
            drop(self.held.split(held - bytes));
            return Ok(());
        }
        let more = permits(bytes - held);
        let more = Arc::clone(&self.all).try_acquire_many_owned(more);
        self.held.merge(more.map_err(|_full| NotTaken::Overloaded)?);
        Ok(())
    }
}

/// Where the receivers hand over what they read.
#[derive(Clone)]
pub(crate) struct Intake {
    log: Log,
    tail: Arc<Tail>,
    progress: Arc<Progress>,
    room: Arc<Semaphore>,
    bytes_max: usize,
    stacks: Arc<StoredStacks>,
}

impl Intake {
    /// An intake into a log. Requests under way have so many bytes at most.
    pub(super) fn new(
        log: Log,
        tail: Arc<Tail>,
        progress: Arc<Progress>,
        bytes_max: usize,
        stacks: Arc<StoredStacks>,
    ) -> Self {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self { log, tail, progress, room: Arc::new(Semaphore::new(bytes_max)), bytes_max, stacks }
    }

    /// The stacks that need not be handed over.
    pub(crate) fn stored_stacks(&self) -> &Arc<StoredStacks> {
        &self.stacks
    }

    /// Room for a request of so many bytes. One that is larger than all there is gets all.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Room, NotTaken> {
        let asked = permits(bytes.min(self.bytes_max));
        let held = Arc::clone(&self.room).try_acquire_many_owned(asked);
        let held = held.map_err(|_full| NotTaken::Overloaded)?;
        Ok(Room { all: Arc::clone(&self.room), held })
    }

    /// The most bytes that there is room for.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Returns once the request is on disk, or with the reason why it is not. A request that is
    /// there already is not written again.
    pub(crate) async fn take(
        &self,
        request: Request,
        rows: Decoded,
        mut room: Room,
    ) -> Result<(), NotTaken> {
        room.resize(rows.bytes.max(request.body.len()).min(self.bytes_max))?;
        let time_ns = request.received_ns;
        if let Appended::At(sequence) = self.log.append(request.into()).await? {
            self.progress.acknowledged(sequence);
            self.tail.put(sequence, time_ns, rows);
        }
        Ok(())
    }

    /// Why requests are refused, if they are.
    pub(crate) fn refusing(&self) -> Option<String> {
        self.log.refusing()
    }

    /// How far what was taken is on its way.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Bytes of requests under way, and of rows that wait in memory.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        let under_way = self.bytes_max - self.room.available_permits();
        u64::try_from(under_way + self.tail.bytes()).unwrap_or(u64::MAX)
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::{NotTaken, Room, permits};

    #[test]
    fn what_is_under_way_is_bounded_and_given_back() {
        let all = Arc::new(Semaphore::new(100));
        let reserve = |bytes| {
            let held = Arc::clone(&all).try_acquire_many_owned(permits(bytes));
            held.map(|held| Room { all: Arc::clone(&all), held })
        };
        let mut first = reserve(60).unwrap();
        assert!(reserve(50).is_err());
        assert_eq!(first.resize(101), Err(NotTaken::Overloaded));
        first.resize(30).unwrap();
        let second = reserve(50).unwrap();
        assert_eq!(all.available_permits(), 20);
        drop((first, second));
        assert_eq!(all.available_permits(), 100);
    }
}
