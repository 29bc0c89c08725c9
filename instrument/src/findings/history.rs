//! Which polls held which threads of late: who a future was kept waiting by.

use std::collections::VecDeque;

use tokio::runtime::Id;

use crate::findings::finding::Holder;
use crate::polling::clock;
use crate::polling::record::Record;
use crate::polling::slot;
use crate::polling::thread::Owner;
use crate::polling::timed::Wait;
use crate::watchdog::ledger::Key;
use crate::watchdog::spans;

/// Slow polls that are remembered.
pub(crate) const POLLS_MAX: usize = 512;
/// Holders that one finding names.
const HOLDERS_MAX: usize = 4;

#[cfg(test)]
pub(super) const POLL_BYTES: usize = size_of::<Held>();

/// Slow polls that ended, oldest first.
#[derive(Debug, Default)]
pub(super) struct History {
    polls: VecDeque<Held>,
}

/// Slow polls all together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slow {
    pub(super) ticks: u64,
    pub(super) polls: u64,
}

#[derive(Clone, Debug)]
struct Held {
    key: Key,
    end: u64,
    runtime: Option<Id>,
    function: String,
    blame: Option<String>,
}

impl History {
    /// A slow poll ended.
    pub(super) fn add(&mut self, record: &Record) {
        if self.polls.len() >= POLLS_MAX {
            self.polls.pop_front();
        }
        self.polls.push_back(Held {
            key: (record.slot, record.start),
            end: record.start.saturating_add(record.duration),
            runtime: runtime(&record.owner),
            function: record.place.function(),
            blame: None,
        });
    }

    /// What the stack of one of them says.
    pub(super) fn blame(&mut self, key: Key, function: &str) {
        if let Some(held) = self.polls.iter_mut().rev().find(|held| held.key == key) {
            held.blame = Some(function.to_owned());
        }
    }

    /// Time and number of the slow polls of a thread that ended between two instants.
    pub(super) fn slow_within(&self, slot: usize, from: u64, to: u64) -> Slow {
        let within = |held: &&Held| held.key.0 == slot && held.end >= from && held.end <= to;
        let polls = self.polls.iter().filter(within);
        polls.fold(Slow::default(), |sum, held| Slow {
            ticks: sum.ticks + held.end.saturating_sub(held.key.1),
            polls: sum.polls + 1,
        })
    }

    /// Who held threads of the runtime during a wait: first the thread on which it ended, then the
    /// longest. Polls that go on are among them.
    pub(super) fn holders(&self, wait: &Wait) -> Vec<Holder> {
        let Some(runtime) = wait.owner.as_ref().and_then(|owner| runtime(owner)) else {
            return Vec::new();
        };
        let ended = self.polls.iter().filter(|held| held.runtime == Some(runtime));
        let mut holders: Vec<Holder> = Vec::new();
        for held in ended.cloned().chain(going_on(runtime, wait.to)) {
            let overlap = held.end.min(wait.to).saturating_sub(held.key.1.max(wait.from));
            if overlap == 0 {
                continue;
            }
            let same_thread = held.key.0 == wait.slot;
            let duration = std::time::Duration::from_nanos(clock::nanoseconds(overlap));
            let is_known =
                |h: &&mut Holder| h.function == held.function && h.same_thread == same_thread;
            if let Some(known) = holders.iter_mut().find(is_known) {
                known.held += duration;
                known.blame = known.blame.take().or(held.blame);
            } else {
                let Held { function, blame, .. } = held;
                holders.push(Holder { function, blame, held: duration, same_thread });
            }
        }
        holders.sort_by_key(|holder| std::cmp::Reverse((holder.same_thread, holder.held)));
        holders.truncate(HOLDERS_MAX);
        holders
    }
}

fn runtime(owner: &Owner) -> Option<Id> {
    owner.runtime.as_ref().map(|runtime| runtime.id)
}

/// Slow polls of the runtime's threads that have not returned.
fn going_on(runtime_id: Id, until: u64) -> Vec<Held> {
    let polls = slot::used().iter().filter_map(|slot| {
        let snapshot = slot.snapshot()?;
        let owner = slot.owner()?;
        let is_of_it = runtime(&owner) == Some(runtime_id) && snapshot.start < until;
        let is_slow = clock::now().saturating_sub(snapshot.start) >= slot.threshold();
        if !is_of_it || !is_slow {
            return None;
        }
        Some(Held {
            key: (slot.id(), snapshot.start),
            end: u64::MAX,
            runtime: Some(runtime_id),
            function: spans::place(&snapshot)?.function(),
            blame: None,
        })
    });
    polls.collect()
}
