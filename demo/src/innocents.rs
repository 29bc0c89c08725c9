//! The innocents. Each takes long, and none holds its thread for as long as the threshold.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::password;
use crate::truth::Meter;

static AWAITS: Meter = Meter::innocent(concat!(module_path!(), "::awaits_upstream"));
static STARVED: Meter = Meter::innocent(concat!(module_path!(), "::starved_neighbour"));
static SHORT: Meter = Meter::innocent(concat!(module_path!(), "::many_short_polls"));
static OFFLOADS: Meter = Meter::innocent(concat!(module_path!(), "::offloads_work"));

pub(crate) static METERS: [&Meter; 4] = [&AWAITS, &STARVED, &SHORT, &OFFLOADS];

const UPSTREAM: Duration = Duration::from_millis(600);
const STARVED_WAIT: Duration = Duration::from_millis(5);
const SHORT_POLLS: u32 = 30;
const SHORT_POLL: Duration = Duration::from_millis(5);
const OFFLOADED_HASHES: u32 = 3;

/// Awaits an answer for 600 ms, as every service does. A tool that measures elapsed time blames it.
#[holdup::detect_blocking]
pub(crate) async fn awaits_upstream() {
    let since = Instant::now();
    tokio::time::sleep(UPSTREAM).await;
    AWAITS.awaited(since);
}

/// Waits 5 ms, and gets its thread back only when the neighbour that blocks it has finished. Runs
/// on [`crate::single`], beside [`crate::faults::sleeps_in_handler`].
#[holdup::detect_blocking]
pub(crate) async fn starved_neighbour() {
    let since = Instant::now();
    tokio::time::sleep(STARVED_WAIT).await;
    STARVED.awaited(since);
}

/// Thirty polls of 5 ms each: 150 ms of work, cut as it should be. On a busy machine many of them
/// last longer than 10 ms, because their thread gets no CPU when it wakes up.
#[holdup::detect_blocking]
pub(crate) async fn many_short_polls() {
    let since = Instant::now();
    for _ in 0..SHORT_POLLS {
        thread::sleep(SHORT_POLL);
        tokio::task::yield_now().await;
    }
    SHORT.awaited(since);
}

/// Moves heavy work to the threads that are there for it.
#[holdup::detect_blocking]
pub(crate) async fn offloads_work() -> io::Result<()> {
    let since = Instant::now();
    let work = || (0..OFFLOADED_HASHES).try_for_each(|_| password::hash("offloaded").map(drop));
    let done = tokio::task::spawn_blocking(work).await;
    OFFLOADS.awaited(since);
    done.map_err(io::Error::other)?
}
