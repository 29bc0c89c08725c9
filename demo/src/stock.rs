//! A count behind a lock that a plain thread holds for long.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// How long the counting thread keeps the lock.
const HELD: Duration = Duration::from_millis(50);

/// What is in stock, and the thread that counts it.
#[derive(Debug)]
pub(crate) struct Stock {
    items: Arc<Mutex<u64>>,
    orders: mpsc::Sender<oneshot::Sender<()>>,
}

impl Stock {
    /// Starts the counting thread. It ends when this is dropped.
    pub(crate) fn open() -> io::Result<Self> {
        let items = Arc::new(Mutex::new(0));
        let (orders, received) = mpsc::channel();
        let counted = Arc::clone(&items);
        thread::Builder::new().name("stock-count".into()).spawn(move || {
            for begun in received {
                count(&counted, begun);
            }
        })?;
        Ok(Self { items, orders })
    }

    /// Orders a count, and returns when the counting thread holds the lock: whoever asks for
    /// [`Stock::items`] then waits.
    pub(crate) async fn counting_has_begun(&self) -> io::Result<()> {
        let (begun, answer) = oneshot::channel();
        self.orders.send(begun).map_err(io::Error::other)?;
        answer.await.map_err(io::Error::other)
    }

    /// The count. **Blocks** while it is being counted.
    pub(crate) fn items(&self) -> MutexGuard<'_, u64> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(items: &Mutex<u64>, begun: oneshot::Sender<()>) {
    let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
    // A request that is gone needs no answer.
    let _ = begun.send(());
    thread::sleep(HELD);
    *items += 1;
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn whoever_asks_during_a_count_waits_for_its_end() {
        let stock = Stock::open().unwrap();
        let since = Instant::now();
        stock.counting_has_begun().await.unwrap();
        assert_eq!(*stock.items(), 1);
        assert!(since.elapsed() >= HELD);
    }
}
