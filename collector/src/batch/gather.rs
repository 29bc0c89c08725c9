//! What the next batch is: what comes within a moment, and what an outage left, within bounds.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep, sleep_until};

use super::batcher::{Batcher, PAUSE};
use super::send::{Stopped, told, wait};
use super::source::{Next, Taken};

/// How long the first entry of a batch waits for others, at most.
const GATHER: Duration = Duration::from_millis(100);
/// How often episodes are closed when nothing comes in.
const FOLD_TICK: Duration = Duration::from_secs(1);

impl Batcher {
    /// What is to be the next batch. Returns without any when it is time to look after episodes.
    pub(super) async fn gather(
        &mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Vec<Taken>, Stopped> {
        let mut end = self.log.end();
        let (mut entries, mut rows, mut bytes) = (Vec::new(), 0, 0);
        let mut due = Instant::now() + FOLD_TICK;
        loop {
            end.borrow_and_update();
            while rows < self.settings.rows_max
                && bytes < self.settings.bytes_max
                && let Some(next) = self.next_entry(stop).await?
            {
                let Some(taken) = next else { continue };
                if entries.is_empty() {
                    due = (Instant::now() + GATHER).max(self.sent + self.settings.interval);
                }
                rows += taken.rows.rows();
                bytes += taken.rows.bytes;
                entries.push(taken);
            }
            self.tell_oldest(&entries);
            let full = rows >= self.settings.rows_max || bytes >= self.settings.bytes_max;
            // Few rows wait for those under way: of a ClickHouse that is slow, batches get larger
            // and not more.
            let alone = self.flight.is_empty();
            if full || *stop.borrow() || alone && Instant::now() >= due {
                return Ok(entries);
            }
            // Nobody takes single entries out of a stream.
            let pause = if entries.is_empty() { Duration::ZERO } else { GATHER };
            tokio::select! {
                sent = self.flight.stored() => {
                    self.take_in(&sent?);
                    if entries.is_empty() {
                        // Its episodes are written before more is awaited.
                        due = Instant::now();
                    }
                }
                () = more(&mut end, pause) => {}
                () = sleep_until(due), if alone => {}
                () = told(stop) => {}
            }
        }
    }

    /// The next entry; `Some(None)` for one of which no rows can be made.
    pub(super) async fn next_entry(
        &mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Option<Taken>>, Stopped> {
        loop {
            match block_in_place(|| self.source.next()) {
                Ok(None) => return Ok(None),
                Ok(Some((Next::Rows(taken), from_disk))) => {
                    self.next = taken.sequence + 1;
                    self.metrics.taken_out(from_disk);
                    return Ok(Some(Some(taken)));
                }
                Ok(Some((Next::Unreadable(sequence, entry, reason), _))) => {
                    self.next = sequence + 1;
                    self.sender.keep(sequence, &entry, ("", 0), &reason, stop).await?;
                    return Ok(Some(None));
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the log; trying until it works");
                    wait(PAUSE, stop).await?;
                }
            }
        }
    }
}

/// Returns when the log has more, and some time has passed since.
async fn more(end: &mut watch::Receiver<u64>, pause: Duration) {
    // The log ends with us.
    let pause = if end.changed().await.is_err() { GATHER } else { pause };
    sleep(pause).await;
}
