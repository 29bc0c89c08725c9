//! What was found, and who is told: spans for the exporter, a line in the log, handlers.
//!
//! A thread of Holdup's own judges what the polling path and the watchdog left behind. It runs no
//! code of the service: the log and each handler have threads of their own, so that none of them can
//! keep back what the others are told.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::export::{Backlog, note_stall};
use crate::findings::debugging::Debugging;
use crate::findings::judge::{Judge, Told};
use crate::findings::log::Log;
use crate::install::InstallError;
use crate::own_thread::{Finished, Stop};
use crate::polling::{clock, debug, slot};
use crate::{self_test, thresholds};

mod awaits;
mod budget;
mod debugging;
mod finding;
mod handlers;
mod history;
mod judge;
mod limiter;
mod log;
mod together;
mod unreported;

pub use finding::{Blame, Finding, Holder, Kind, LockHolder};
pub use handlers::{HandlerGuard, on_finding, on_slow_poll, on_stall};
pub(crate) use handlers::{Wanted, Wants, register};
pub(crate) use unreported::{Totals, Unreported, unreported};

/// How often the thread looks for records.
const TICK: Duration = Duration::from_millis(200);
/// How often it looks at the threads in debug mode.
const DEBUG_TICK: Duration = Duration::from_millis(10);
/// A record whose frame was not proved to be a poll is believed after this time: the close that
/// would disprove it follows within microseconds.
const HELD_NS_MAX: u64 = 100_000_000;
/// Findings of others that wait for the thread.
const SUBMITTED_MAX: usize = 64;
/// Turns that the thread takes before it looks after its end again.
const TURNS_MAX: usize = 16;

static SUBMITTED: Mutex<Vec<Finding>> = Mutex::new(Vec::new());

#[cfg(test)]
pub(crate) use judge::ANNOUNCED_MAX;

/// The most that is kept here, with names of some length.
#[cfg(test)]
pub(crate) fn kept_bytes() -> usize {
    use crate::polling::record::Record;
    use crate::room::tests::hashed;
    use crate::watchdog::ledger::{Key, STALLS_MAX, Stall};

    const NAMES: usize = 128;
    let announced = hashed(ANNOUNCED_MAX, size_of::<Key>() + size_of::<Stall>());
    let judged = judge::WAITING_MAX * size_of::<Record>() + STALLS_MAX * size_of::<Stall>();
    let history = history::POLLS_MAX * (history::POLL_BYTES + NAMES);
    let submitted = SUBMITTED_MAX * (size_of::<Finding>() + NAMES);
    announced + judged + history + submitted + handlers::WAITING_BYTES_MAX
}

/// What is told, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) reports_per_minute: u32,
    pub(crate) reports_descheduled: bool,
    /// Whether a span can be sent more than once.
    pub(crate) sends_stalls: bool,
    pub(crate) writes_log: bool,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Findings {
    stop: Arc<Stop>,
}

/// Has the log and the handlers told of what another part of the crate found. Not for the polling
/// path. Whether there was room for it.
pub(crate) fn submit(finding: Finding) -> bool {
    let mut submitted = SUBMITTED.lock().unwrap_or_else(PoisonError::into_inner);
    let has_room = submitted.len() < SUBMITTED_MAX;
    if has_room {
        submitted.push(finding);
    }
    has_room
}

/// Starts the thread. `spans` is told of what is to be sent, `sender` is woken for it.
pub(crate) fn start(
    settings: Settings,
    spans: Arc<Backlog>,
    sender: Arc<Stop>,
) -> Result<Findings, InstallError> {
    let stop = Arc::new(Stop::default());
    let finished = Finished(Arc::clone(&stop));
    let body = move || {
        let stop = Arc::clone(&finished.0);
        let mut desk = Desk {
            judge: Judge::new(settings),
            log: settings.writes_log.then(Log::open),
            debugging: Debugging::new(),
            spans,
            sender,
        };
        run(&mut desk, &stop);
    };
    thread::Builder::new()
        .name("holdup-findings".to_owned())
        .spawn(body)
        .map_err(|source| InstallError::Thread { source })?;
    Ok(Findings { stop })
}

impl Findings {
    /// Has the rest told, and waits for it no longer than until the deadline.
    pub(crate) fn finish(self, deadline: Instant) {
        self.stop.finish(deadline);
    }
}

/// Waits until the handlers have been called for all that was found, or until the deadline.
pub(crate) fn flush(deadline: Instant) {
    handlers::flush(deadline);
}

fn run(desk: &mut Desk, stop: &Stop) {
    let mut last = Instant::now();
    loop {
        let tick = if debug::is_on() { DEBUG_TICK } else { TICK };
        let deadline = stop.wait(tick);
        desk.look();
        if deadline.is_none() && last.elapsed() < TICK {
            continue;
        }
        last = Instant::now();
        // After the deadline the queue may be that of another installation.
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break;
        }
        clock::refine();
        thresholds::refresh();
        let held = if deadline.is_some() { 0 } else { clock::ticks(HELD_NS_MAX) };
        slot::settle_older_than(held);
        let turns = if deadline.is_some() { usize::MAX } else { TURNS_MAX };
        let until = |deadline: &Instant| Instant::now() < *deadline;
        for _ in 0..turns {
            if !desk.turn(deadline.is_some()) || !deadline.as_ref().is_none_or(until) {
                break;
            }
        }
        if let Some(deadline) = deadline {
            if let Some(log) = &desk.log {
                log.flush(deadline);
            }
            break;
        }
    }
}

/// Where findings are made and given out.
struct Desk {
    judge: Judge,
    log: Option<Log>,
    debugging: Debugging,
    spans: Arc<Backlog>,
    sender: Arc<Stop>,
}

impl Desk {
    /// Tells of what there is. Whether there was something.
    fn turn(&mut self, is_last: bool) -> bool {
        let mut any = false;
        self.judge.gather();
        while let Some(told) = self.judge.next() {
            any = true;
            if !self_test::takes(&told.finding) {
                self.send(told);
            }
        }
        for told in self.judge.awaits(is_last) {
            any = true;
            self.send(told);
        }
        self.debugging.notes().into_iter().for_each(|finding| self.tell(finding));
        if any {
            self.sender.nudge();
        }
        let submitted =
            std::mem::take(&mut *SUBMITTED.lock().unwrap_or_else(PoisonError::into_inner));
        any |= !submitted.is_empty();
        submitted.into_iter().for_each(|finding| self.tell(finding));
        any
    }

    fn send(&mut self, told: Told) {
        let shown = self.debugging.of_poll(&told.finding, told.has_spent_budget);
        if let Some(span) = told.span {
            self.spans.push(span);
        }
        self.tell(told.finding);
        shown.into_iter().for_each(|finding| self.tell(finding));
    }

    /// What debug mode sees of the threads, which it has to look at often.
    fn look(&mut self) {
        let found = self.debugging.look(self.judge.history());
        found.into_iter().for_each(|finding| self.tell(finding));
    }

    fn tell(&mut self, finding: Finding) {
        if finding.kind == Kind::Blocking && finding.ongoing {
            note_stall();
        }
        unreported::count_found(finding.kind);
        let finding = Arc::new(finding);
        handlers::dispatch(&finding);
        if let Some(log) = &mut self.log {
            log.say(&finding);
        }
    }
}
