//! The stack of a thread that runs: it is interrupted for a microsecond to copy it.
//!
//! A signal ends some system calls early (`EINTR`) although the handler asks for their restart: a
//! read with `SO_RCVTIMEO`, `poll`, a raw `nanosleep`. So it is sent only to a thread that has been
//! on a CPU for a while without waiting for anything. To be ready to run is not enough: so is a
//! thread whose read is over, which has yet to learn that from the kernel.

use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stack::proc::{self, Status};
use crate::stack::registers::Registers;
use crate::stack::threads::{Present, Target};
use crate::stack::{signal_ffi, threads};

/// How long a thread has to be on a CPU without waiting before it is signalled.
pub(super) const QUIET: Duration = Duration::from_micros(500);
/// After so long a request is given up. A thread that has no CPU takes no signal.
pub(super) const ANSWER: Duration = Duration::from_millis(20);
/// Most answers take less: no sleep is worth it.
const SPIN: Duration = Duration::from_micros(30);
const PAUSE: Duration = Duration::from_micros(50);

/// One request at a time: there is one buffer.
static ALONE: Mutex<()> = Mutex::new(());

/// The signal that is used; none where no real-time signal is free.
pub(super) fn number() -> Option<i32> {
    static SIGNAL: OnceLock<Option<i32>> = OnceLock::new();
    *SIGNAL.get_or_init(|| {
        let signal = signal_ffi::install();
        if signal.is_none() {
            tracing::warn!(
                target: "holdup",
                "no real-time signal is free: threads that block by computing are found without \
                 their stack"
            );
        }
        signal
    })
}

/// A thread that was asked for its stack, and is kept from ending until this is dropped.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) target: Target,
    _present: Present,
    request: u64,
    since: Instant,
    _alone: MutexGuard<'static, ()>,
}

/// What has become of a request.
pub(super) enum Answer {
    Came(Registers),
    NotYet,
    /// It was given up.
    Never,
}

/// Asks a thread that was found running with this status. None while another is asked.
pub(super) fn ask(target: &Target, before: &Status) -> Option<Asked> {
    let signal = number()?;
    let _alone = match ALONE.try_lock() {
        Ok(alone) => alone,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    let present = threads::hold(target)?;
    let status = proc::status(target.tid)?;
    let runs = status.is_running && status.waits == before.waits && status.takes(signal);
    if !runs || !signal_ffi::is_installed(signal) {
        return None;
    }
    let request = signal_ffi::ask(present.stack_low, present.stack_high)?;
    if !signal_ffi::send(signal, target.tid, request) {
        signal_ffi::give_up(request);
        return None;
    }
    Some(Asked { target: *target, _present: present, request, since: Instant::now(), _alone })
}

impl Asked {
    /// Looks once. The bytes of the stack go to `stack`.
    pub(super) fn answer(&self, stack: &mut Vec<u8>) -> Answer {
        if let Some(registers) = signal_ffi::take(self.request, stack) {
            return Answer::Came(registers);
        }
        if self.since.elapsed() > ANSWER && signal_ffi::give_up(self.request) {
            return Answer::Never;
        }
        Answer::NotYet
    }

    /// Looks for so long, without giving up.
    pub(super) fn answer_within(&self, time: Duration, stack: &mut Vec<u8>) -> Answer {
        let start = Instant::now();
        loop {
            let answer = self.answer(stack);
            let waited = start.elapsed();
            if !matches!(answer, Answer::NotYet) || waited > time {
                return answer;
            }
            if waited > SPIN {
                thread::sleep(PAUSE);
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // The handler may be at work on it: it has but to copy, and may need this CPU for that.
        while !signal_ffi::is_over(self.request) && !signal_ffi::give_up(self.request) {
            thread::sleep(PAUSE);
        }
    }
}
