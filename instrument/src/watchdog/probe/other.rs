//! On systems without Linux's /proc nothing is known of what a thread does.

use crate::watchdog::cause::Doing;

pub(super) fn doing(_: u32) -> Option<Doing> {
    None
}

pub(super) fn faults(_: u32) -> Option<u64> {
    None
}
