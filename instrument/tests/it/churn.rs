//! Threads that come and go.

use std::pin::pin;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use holdup::DetectBlocking;

use crate::session::Session;

const THREADS: usize = 10_000;
/// Threads at one time.
const TOGETHER: usize = 8;
/// More than one thread has room for.
const FUNCTIONS: usize = 200;
/// What else the process may come to need meanwhile.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

/// Three polls of three functions.
fn polls(functions: &[&'static str], thread: usize) {
    for step in 0..3 {
        let name = functions[(thread + step * 67) % FUNCTIONS];
        let future = pin!(async {}.detect_blocking(name));
        assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}

pub(crate) fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident = pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    resident.unwrap_or(0) * 4096
}

#[test]
fn threads_that_end_leave_their_counts_and_make_room() {
    let session = Session::with(|builder| builder.metrics_interval(Duration::from_millis(250)));
    let names = (0..FUNCTIONS).map(|index| &*format!("it::churn {index:03}").leak());
    let names = names.collect::<Vec<&'static str>>();
    let mut before = 0;
    for first in (0..THREADS).step_by(TOGETHER) {
        thread::scope(|scope| {
            for thread in first..first + TOGETHER {
                let names = &names;
                scope.spawn(move || polls(names, thread));
            }
        });
        if first == THREADS / 10 {
            before = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more after {THREADS} threads");
    let receiver = session.end();
    for name in names {
        let points = receiver.histograms(name);
        let calls = points.iter().map(|point| point.count).sum::<u64>();
        assert_eq!(calls, (THREADS * 3 / FUNCTIONS) as u64, "{name}");
    }
}
