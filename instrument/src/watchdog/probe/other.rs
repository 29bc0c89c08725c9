//! On systems without Linux's /proc nothing is known of what a thread does.

use crate::watchdog::cause::{Doing, Work};

pub(super) fn doing(_: u32) -> Option<Doing> {
    None
}

pub(super) fn faults(_: u32) -> Option<[u64; 2]> {
    None
}

pub(super) fn doing_in(_: u32, _: [u64; 2]) -> Doing {
    Doing::Running
}

pub(super) fn work(_: u32) -> Option<Work> {
    None
}
