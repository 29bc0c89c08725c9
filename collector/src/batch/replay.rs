//! Sends again what was put aside, once somebody asks for that.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::block_in_place;

use super::aside::AsideFile;
use super::batcher::Batcher;
use super::send::Stopped;
use crate::clock::now_ns;
use crate::store::Table;

/// How long one request may take.
const TIME_MAX: Duration = Duration::from_secs(30);

impl Batcher {
    /// Sends what is due. What can't be sent for any other reason than its rows stays due.
    pub(super) async fn replay(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        let due = match block_in_place(|| self.sender.aside.due()) {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!("{error}");
                return Ok(());
            }
        };
        for head in due {
            if *stop.borrow() {
                return Err(Stopped);
            }
            match block_in_place(|| self.sender.aside.read_due(&head.id)) {
                Ok(file) => self.replay_one(file).await,
                Err(error) => tracing::warn!("{error}"),
            }
        }
        Ok(())
    }

    async fn replay_one(&mut self, mut file: AsideFile) {
        let id = file.head.id.clone();
        let refused = match block_in_place(|| self.lane.source.rows(&file.entry())) {
            Err(reason) => Some(reason),
            Ok(mut rows) => {
                // Whatever was renamed when it first came: what is sent is within the bounds.
                let overflowed = self.names.bound_rows(&mut rows, file.head.received_ns);
                self.metrics.overflowed(overflowed);
                // Senders may have sent them again in other requests.
                let polls = rows.polls.identities().enumerate();
                let (repeats, _others) = self.repeats.find(rows.polls.len(), polls);
                let repeats: HashSet<usize> = repeats.into_iter().collect();
                self.metrics.repeated(repeats.len());
                rows.polls.retain(|at| !repeats.contains(&at));
                let of_table =
                    |table: &Table| file.head.table.is_empty() || table.name() == file.head.table;
                let mut refused = None;
                for table in Table::ALL.into_iter().filter(&of_table) {
                    // The token is of this request: a second replay of it adds nothing.
                    let token = format!("aside-{id}");
                    let seen = u32::try_from(now_ns() / 1_000_000_000).unwrap_or(u32::MAX);
                    let of = [&rows];
                    let sent = self.sender.store.insert_rows(table, &of, seen, &token);
                    match tokio::time::timeout(TIME_MAX, sent).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) if error.is_of_rows() => refused = Some(error.to_string()),
                        Ok(Err(error)) => {
                            tracing::warn!(%error, "request {id} waits to be sent again");
                            return;
                        }
                        Err(_late) => return,
                    }
                }
                if refused.is_none() && of_table(&Table::Polls) {
                    block_in_place(|| self.take_in_polls(&rows));
                }
                refused
            }
        };
        let moved = block_in_place(|| match &refused {
            None => self.sender.aside.done(&id),
            Some(reason) => {
                file.head.reason.clone_from(reason);
                self.sender.aside.put_back(&file)
            }
        });
        match (refused, moved) {
            (_, Err(error)) => tracing::error!(%error, "cannot move request {id}"),
            (Some(reason), Ok(())) => tracing::warn!("request {id} is refused again: {reason}"),
            (None, Ok(())) => tracing::info!("request {id} is stored"),
        }
    }
}
