//! Counts of what is found, and of what is not told of one by one.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::contract;
use crate::findings::finding::{KINDS, Kind};
use crate::findings::handlers;
use crate::room;

static SUPPRESSED: AtomicU64 = AtomicU64::new(0);
static DESCHEDULED: AtomicU64 = AtomicU64::new(0);
static FOUND: [AtomicU64; KINDS.len()] = [const { AtomicU64::new(0) }; KINDS.len()];

/// Slow polls without a span so far, by why there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unreported {
    /// Beyond the budget.
    pub(crate) suppressed: u64,
    /// Long because their threads had no CPU.
    pub(crate) descheduled: u64,
}

impl Unreported {
    /// Those since an earlier total.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            suppressed: self.suppressed.saturating_sub(earlier.suppressed),
            descheduled: self.descheduled.saturating_sub(earlier.descheduled),
        }
    }
}

/// The totals of the process.
pub(crate) fn unreported() -> Unreported {
    Unreported {
        suppressed: SUPPRESSED.load(Ordering::Relaxed),
        descheduled: DESCHEDULED.load(Ordering::Relaxed),
    }
}

pub(super) fn count_suppressed() {
    SUPPRESSED.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn count_descheduled() {
    DESCHEDULED.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn count_found(kind: Kind) {
    FOUND[kind as usize].fetch_add(1, Ordering::Relaxed);
}

/// Findings of each kind, what became of them in handlers, and stacks that were lost, since the process
/// began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    found: [u64; KINDS.len()],
    lost: u64,
    panics: u64,
    stacks_lost: u64,
}

impl Totals {
    pub(crate) fn read() -> Self {
        let found = std::array::from_fn(|index| FOUND[index].load(Ordering::Relaxed));
        let (lost, panics) = handlers::totals();
        Self { found, lost, panics, stacks_lost: room::STACKS.refused() }
    }

    /// Names of metrics, and how often each of those happened that did since an earlier total.
    pub(crate) fn since(&self, earlier: &Self) -> Vec<(String, u64)> {
        let kinds = KINDS.iter().map(|kind| {
            let index = *kind as usize;
            let count = self.found[index].saturating_sub(earlier.found[index]);
            (format!("{}{}", contract::FINDING_PREFIX, kind.name()), count)
        });
        let lost = [
            (contract::HANDLER_LOST.to_owned(), self.lost.saturating_sub(earlier.lost)),
            (contract::HANDLER_PANICS.to_owned(), self.panics.saturating_sub(earlier.panics)),
            (contract::STACK_LOST.to_owned(), self.stacks_lost.saturating_sub(earlier.stacks_lost)),
        ];
        kinds.chain(lost).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_stack_for_which_there_is_no_room_is_told_as_lost() {
        let before = Totals::read();
        assert!(Arc::clone(&room::STACKS).take(room::STACKS_BYTES_MAX + 1).is_none());
        let told = Totals::read().since(&before);
        let lost = told.iter().find(|(name, _)| name == contract::STACK_LOST);
        assert!(lost.is_some_and(|(_, count)| *count >= 1), "{told:?}");
    }
}
