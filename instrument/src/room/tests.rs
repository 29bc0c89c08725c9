use super::*;
use crate::export::{BATCH_BYTES_MAX, SPANS_BYTES_MAX};
use crate::polling::record::{QUEUE_RECORDS_MAX, Record};
use crate::polling::timed::{self, Waited};
use crate::watchdog::ledger;
use crate::{findings, measure};

const MIB: usize = 1 << 20;
/// What the names of frames, their files and the tables for unwinding may take.
const SYMBOLS_BYTES_MAX: usize = 10 * MIB;
/// What the process may take beside the threads' own.
const ALL_BYTES_MAX: usize = 16 * MIB;

/// Of a hash table with so many entries: it grows in powers of two, and keeps an eighth free.
pub(crate) fn hashed(entries: usize, bytes: usize) -> usize {
    (entries * 8).div_ceil(7).next_power_of_two() * (bytes + 1)
}

#[test]
fn all_that_is_kept_together_is_within_the_bound() {
    let all = [
        ("records that wait", QUEUE_RECORDS_MAX * (size_of::<Record>() + size_of::<usize>())),
        ("futures that wait", 3 * timed::QUEUE_RECORDS_MAX * size_of::<Waited>()),
        ("polls", hashed(ledger::POLLS_MAX, ledger::POLL_BYTES)),
        ("reports", ledger::STALLS_MAX * size_of::<ledger::Stall>()),
        ("stacks of these", STACKS_BYTES_MAX + stack_lists()),
        ("what is judged", findings::kept_bytes()),
        ("spans", SPANS_BYTES_MAX),
        ("a request of spans", 2 * BATCH_BYTES_MAX),
        ("counters and their request", measure::kept_bytes()),
        ("symbols", SYMBOLS_BYTES_MAX),
    ];
    let sum = all.iter().map(|(_, bytes)| bytes).sum::<usize>();
    assert!(sum <= ALL_BYTES_MAX, "{sum} bytes of {ALL_BYTES_MAX}: {all:#?}");
}

/// Each poll and each report of one has a list of its stacks.
fn stack_lists() -> usize {
    let stalls = 2 * ledger::STALLS_MAX + findings::ANNOUNCED_MAX;
    (ledger::POLLS_MAX + stalls) * ledger::STACK_LIST_BYTES
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let room = Arc::new(Room::new(100));
    let first = room.take(60).unwrap();
    assert!(room.take(50).is_none());
    assert_eq!(room.refused(), 1);
    drop(first);
    let forced = room.force(90);
    assert!(room.take(20).is_none() && room.take(10).is_some());
    drop(forced);
    assert!(room.take(100).is_some());
}
