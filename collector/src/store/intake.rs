//! Where receivers hand over rows, within a bound on what waits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::decode::Decoded;

/// Requests that may wait for the writer.
pub(super) const REQUESTS_MAX: usize = 4_096;

/// Why rows were not taken. The sender should come again.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// More waits already than may.
    #[error("holdup is overloaded: too much waits for ClickHouse; send again later")]
    Overloaded,
    /// ClickHouse did not take them in time.
    #[error("ClickHouse did not take the rows in time; send again later")]
    Store,
    /// The collector stops.
    #[error("holdup is shutting down; send again to its successor")]
    Stopping,
}

/// A request's rows, on their way to the writer.
pub(super) struct Delivery {
    pub(super) rows: Decoded,
    pub(super) answer: oneshot::Sender<Result<(), NotTaken>>,
    /// Given back when the rows are written.
    pub(super) room: Room,
}

/// Memory that a request may take until its rows are written.
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

/// Where the receivers hand over what they decoded.
#[derive(Clone)]
pub(crate) struct Intake {
    deliveries: mpsc::Sender<Delivery>,
    room: Arc<Semaphore>,
    bytes_max: usize,
}

impl Intake {
    /// An intake, and where its deliveries come out.
    pub(super) fn new(bytes_max: usize) -> (Self, mpsc::Receiver<Delivery>) {
        let (sender, deliveries) = mpsc::channel(REQUESTS_MAX);
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(bytes_max));
        (Self { deliveries: sender, room, bytes_max }, deliveries)
    }

    /// Room for a request of so many bytes. One that is larger than all there is gets all.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<Room, NotTaken> {
        let asked = permits(bytes.min(self.bytes_max));
        let held = Arc::clone(&self.room).try_acquire_many_owned(asked);
        let held = held.map_err(|_full| NotTaken::Overloaded)?;
        Ok(Room { all: Arc::clone(&self.room), held })
    }

    /// Returns once the rows are in ClickHouse, or with the reason why they may not be.
    pub(crate) async fn store(&self, rows: Decoded, mut room: Room) -> Result<(), NotTaken> {
        room.resize(rows.bytes.min(self.bytes_max))?;
        let (answer, answered) = oneshot::channel();
        match self.deliveries.try_send(Delivery { rows, answer, room }) {
            Ok(()) => answered.await.unwrap_or(Err(NotTaken::Stopping)),
            Err(mpsc::error::TrySendError::Full(_)) => Err(NotTaken::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(NotTaken::Stopping),
        }
    }

    /// Bytes that wait for their write.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        u64::try_from(self.bytes_max - self.room.available_permits()).unwrap_or(u64::MAX)
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Intake, NotTaken};

    #[test]
    fn what_waits_is_bounded_and_given_back() {
        let (intake, _deliveries) = Intake::new(100);
        let mut first = intake.reserve(60).unwrap();
        assert_eq!(intake.reserve(50).err(), Some(NotTaken::Overloaded));
        assert_eq!(first.resize(101), Err(NotTaken::Overloaded));
        first.resize(30).unwrap();
        let second = intake.reserve(50).unwrap();
        assert_eq!(intake.waiting_bytes(), 80);
        drop((first, second));
        assert_eq!(intake.waiting_bytes(), 0);
        assert!(intake.reserve(1_000).is_ok(), "one request may have all");
    }
}
