//! What the next batch is: what comes within a moment, and what an outage left, within bounds.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::batcher::Batcher;
use super::pace::{GATHER, Gathered};
use super::send::{Stopped, told};
use super::source::Taken;

/// How often episodes are closed when nothing comes in.
pub(super) const FOLD_TICK: Duration = Duration::from_secs(1);

impl Batcher {
    /// What is to be the next batch. Returns without any when it is time to look after episodes.
    pub(super) async fn gather(
        &mut self,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Vec<Taken>, Stopped> {
        let mut end = self.log.end();
        let (bounds, mut gathered) = (self.lane.pace.bounds(&self.settings), Gathered::default());
        let mut due = Instant::now() + FOLD_TICK;
        loop {
            end.borrow_and_update();
            let was_empty = gathered.entries.is_empty();
            self.lane.fill(&mut gathered, bounds, &self.sender, stop).await?;
            let is_empty = gathered.entries.is_empty();
            if was_empty && !is_empty {
                due = self.lane.pace.due(Instant::now(), &self.settings);
            }
            self.tell_oldest(&gathered.entries);
            // Few rows wait for those under way: of a ClickHouse that is slow, batches get larger
            // and not more.
            let alone = self.lane.flight.is_empty();
            // Of a lane that ends, all is there.
            let ends = *stop.borrow() || self.lane.until.is_some();
            if gathered.is_full(bounds) || ends || alone && Instant::now() >= due {
                self.lane.pace.gathered(&gathered, bounds);
                return Ok(gathered.entries);
            }
            // Nobody takes single entries out of a stream.
            let pause = if is_empty { Duration::ZERO } else { GATHER };
            tokio::select! {
                sent = self.lane.flight.stored() => {
                    self.take_in(sent?);
                    if is_empty {
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
}

/// Returns when the log has more, and some time has passed since.
async fn more(end: &mut watch::Receiver<u64>, pause: Duration) {
    // The log ends with us.
    let pause = if end.changed().await.is_err() { GATHER } else { pause };
    sleep(pause).await;
}
