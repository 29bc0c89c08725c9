//! The stack of a thread that runs: it is interrupted for a microsecond to copy it.
//!
//! A signal ends some system calls early (`EINTR`) although the handler asks for their restart: a
//! read with `SO_RCVTIMEO`, `poll`, a raw `nanosleep`. So it is sent only to a thread that has been
//! on a CPU for a while without waiting for anything. To be ready to run is not enough: so is a
//! thread whose read is over, which has yet to learn that from the kernel.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stack::proc::{self, Status};
use crate::stack::registers::Registers;
use crate::stack::threads::Present;
use crate::stack::{signal_ffi, threads};

/// How long a thread has to be on a CPU without waiting before it is signalled.
pub(super) const QUIET: Duration = Duration::from_micros(500);
/// How long its answer is waited for. A thread that has no CPU takes no signal.
const ANSWER: Duration = Duration::from_millis(20);
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

/// Copies registers and stack of a thread that was found running with this status.
pub(super) fn copy(
    target: &threads::Target,
    before: &Status,
    stack: &mut Vec<u8>,
) -> Option<(Registers, Present)> {
    let signal = number()?;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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
    let start = Instant::now();
    loop {
        if let Some(registers) = signal_ffi::take(request, stack) {
            return Some((registers, present));
        }
        let waited = start.elapsed();
        if waited > ANSWER {
            signal_ffi::give_up(request);
            return None;
        }
        if waited > SPIN {
            thread::sleep(PAUSE);
        }
    }
}
