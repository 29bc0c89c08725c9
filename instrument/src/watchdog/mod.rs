//! The thread that notices polls which have not returned.
//!
//! It looks at the slots of all threads in a [`rhythm`]. What it learns of a poll that takes long it
//! keeps in the [`ledger`], for the exporter; a poll that passes its threshold it has reported while
//! the poll lasts. Nothing of this runs on a runtime that is watched, so that one which never comes
//! back is reported as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::install::InstallError;
use crate::polling::{attention, clock, slot};
use crate::stack::{self, Sampler};
use crate::thresholds;
use crate::watchdog::held::Held;
use crate::watchdog::lateness::Lateness;
use crate::watchdog::rhythm::Rhythm;
use crate::watchdog::scan::{Activity, Scanner};

mod cause;
mod ffi;
mod held;
mod lateness;
pub(crate) mod ledger;
#[cfg_attr(target_os = "linux", path = "probe/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "probe/other.rs")]
mod probe;
mod rhythm;
mod scan;
mod seen;
pub(crate) mod spans;
mod throttle;
mod unseen;
mod victims;

pub(crate) use cause::Cause;
pub(crate) use seen::Findings;

/// Between two looks for the answer of a thread that was interrupted and had no CPU.
const ASKING: Duration = Duration::from_millis(2);
/// Looks without a poll since the one before after which it sleeps.
const IDLE_LOOKS: u32 = 4;
/// How long it sleeps at first. The thread that polls next wakes it; this is for the rare case in
/// which both look away at the same instant.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How long it sleeps when it is certain that each thread knows that it has to wake it.
const REST: Duration = Duration::from_secs(24 * 60 * 60);

/// The running thread. Ends with the drop.
#[derive(Debug)]
pub(crate) struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread.
pub(crate) fn start(stacks: stack::Settings) -> Result<Watchdog, InstallError> {
    ledger::open();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let (ready, is_ready) = sync_channel(1);
    let body = move || {
        ffi::ask_for_priority();
        let sampler = Sampler::new(stacks);
        attention::set_sleeper(Some(thread::current()));
        let _ = ready.send(());
        run(&stopped, sampler);
    };
    let thread = thread::Builder::new()
        .name("holdup-watchdog".to_owned())
        .spawn(body)
        .map_err(|source| InstallError::Thread { source })?;
    // A busy machine may take long to start it, and polls begin with the return from here.
    let _ = is_ready.recv();
    Ok(Watchdog { stop, thread: Some(thread) })
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn run(stop: &AtomicBool, mut sampler: Sampler) {
    let (mut held, mut scanner) = (Held::new(), Scanner::new());
    let mut lateness = Lateness::new();
    let (mut idle, mut has_slept) = (0, false);
    while !stop.load(Ordering::Acquire) {
        let rhythm = Rhythm::of(thresholds::lowest_ns());
        let scanned = clock::now();
        let activity = held.scan(scanner.scan(rhythm, &mut sampler), &mut sampler);
        // That thread is kept from ending until it has answered.
        let is_asking = sampler.is_asking();
        idle = if activity == Activity::Polls { 0 } else { idle + 1 };
        let most = match activity {
            _ if is_asking => ASKING.min(scanner.pause(rhythm.period())),
            _ if idle < IDLE_LOOKS => scanner.pause(rhythm.period()),
            // Polls that have lasted long need no quick eye: their next report is far away.
            Activity::Old => scanner.pause(u64::MAX).min(SLEEP_MAX),
            Activity::None if has_slept => REST,
            Activity::Polls | Activity::None => SLEEP_MAX,
        };
        lateness.begin();
        let planned = clock::now().saturating_add(clock::ticks(clock::whole_nanoseconds(most)));
        if is_asking || idle < IDLE_LOOKS {
            thread::park_timeout(most);
            has_slept = false;
        } else {
            has_slept = !sleep(most, scanned);
            if !has_slept {
                // Whoever woke it is about to poll, and may not have come so far yet.
                idle = 0;
            }
        }
        if clock::now() < planned {
            // Thresholds may be others.
            scanner.look_at_all();
        }
        let period = Duration::from_nanos(clock::nanoseconds(rhythm.period()));
        if let Some(gap) = lateness.end(most, period / 2) {
            ledger::lock().add_gap(gap);
        }
    }
    attention::set_sleeper(None);
    ledger::close(clock::now());
}

/// Sleeps until a thread polls, or for no longer than `most`. Whether a thread polls.
fn sleep(most: Duration, scanned: u64) -> bool {
    attention::fall_asleep();
    let (mut is_quiet, mut has_rested) = (true, true);
    for slot in slot::used() {
        has_rested &= slot.ask_to_wake();
        // It may have begun a poll since it was looked at, before it could know.
        is_quiet &= slot.innermost_start() <= scanned;
    }
    let most = if has_rested { most } else { most.min(SLEEP_MAX) };
    !is_quiet || attention::sleep(most)
}
