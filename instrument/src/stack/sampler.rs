//! Takes one stack, by the way that suits what the thread does.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::stack::modules::Modules;
use crate::stack::proc::{self, Blocked, Status, Whereabouts};
use crate::stack::registers::Registers;
use crate::stack::threads::{self, Target};
use crate::stack::unwind::{Unwinder, Unwound};
use crate::stack::{STACK_BYTES_MAX, Settings, ffi, signal};

/// A thread that moves while it is copied is tried again so often.
const ATTEMPTS_MAX: usize = 3;
/// How long a thread that runs is looked at.
const PATIENCE: Duration = Duration::from_millis(2);
/// Between two looks at a thread that runs.
const PAUSE: Duration = Duration::from_micros(250);

/// Threads of which it is remembered since when they run.
const RUNNING_MAX: usize = 1024;

/// Takes stacks of threads. Keeps what it learned of the program's modules.
#[derive(Debug)]
pub(crate) struct Sampler {
    settings: Settings,
    unwinder: Unwinder,
    /// Each thread's time on a CPU when it was first seen to run without having waited since.
    running: HashMap<i32, (Duration, Status)>,
    /// The copy of a stack, kept for its memory.
    copy: Vec<u8>,
    pub(super) counts: Counts,
}

/// How attempts ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) without_signal: u64,
    pub(super) by_signal: u64,
    /// Copies thrown away, because the thread had run meanwhile.
    pub(super) moved: u64,
    pub(super) incomplete: u64,
}

/// One stack as it was found.
#[derive(Clone, Debug)]
pub(crate) struct RawStack {
    /// Inside of the call instructions, leaf first.
    pub(super) addresses: Vec<u64>,
    /// Whether the stack was followed to where its thread began. Else the outer frames are missing.
    pub(super) complete: bool,
    /// Whether the thread was interrupted for it.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(super) by_signal: bool,
    /// The modules at that time, in which the addresses are.
    pub(super) modules: Arc<Modules>,
}

impl Sampler {
    /// Takes a few milliseconds: reads the tables of the program's modules, and starts a thread for
    /// a moment, to see where threads begin.
    pub(crate) fn new(settings: Settings) -> Self {
        let (unwinder, counts) = (Unwinder::new(), Counts::default());
        let copy = Vec::with_capacity(STACK_BYTES_MAX);
        Self { settings, unwinder, running: HashMap::new(), copy, counts }
    }

    /// The stack of a thread at this instant. None when it can't be had: the thread has ended, the
    /// kernel doesn't tell where it is, or it runs and may not be interrupted.
    pub(crate) fn sample(&mut self, target: &Target) -> Option<RawStack> {
        self.unwinder.refresh();
        let start = Instant::now();
        // A thread that runs is looked at for a while: if it blocks, no signal is needed, and if it
        // waits in between, none is sent.
        loop {
            match proc::whereabouts(target.tid) {
                Whereabouts::Blocked(at) => {
                    if let Some(stack) = self.sample_blocked(target, at) {
                        return Some(stack);
                    }
                }
                Whereabouts::Running | Whereabouts::Unknown if !self.settings.signal => {}
                Whereabouts::Running | Whereabouts::Unknown => {
                    let status = proc::status(target.tid)?;
                    if self.has_run(target.tid, status)? >= signal::QUIET {
                        return self.sample_running(target, &status);
                    }
                }
            }
            if start.elapsed() > PATIENCE {
                return None;
            }
            thread::sleep(PAUSE);
        }
    }

    /// For how long the thread is known to have been on a CPU without waiting for anything.
    fn has_run(&mut self, tid: i32, status: Status) -> Option<Duration> {
        let time = ffi::cpu_time(tid)?;
        if self.running.len() >= RUNNING_MAX {
            self.running.clear();
        }
        let known = self.running.entry(tid).or_insert((time, status));
        // Less than before: another thread has got the id.
        let is_other = time < known.0 || known.1.waits != status.waits;
        if is_other || !status.is_running || !known.1.is_running {
            *known = (time, status);
        }
        Some(time.saturating_sub(known.0))
    }

    /// A thread that is off its CPU, without its help. Its stack is copied; that is worth something
    /// only if the thread did not run meanwhile.
    fn sample_blocked(&mut self, target: &Target, mut at: Blocked) -> Option<RawStack> {
        let present = threads::hold(target)?;
        for _ in 0..ATTEMPTS_MAX {
            let ran = proc::run_time(target.tid);
            let bytes = present.stack_high.checked_sub(at.sp)?;
            let is_cut = bytes > STACK_BYTES_MAX as u64;
            let length = usize::try_from(bytes).unwrap_or(STACK_BYTES_MAX).min(STACK_BYTES_MAX);
            self.copy.resize(length, 0);
            let read = ffi::read_memory(at.sp, &mut self.copy);
            self.copy.truncate(read);
            let after = proc::whereabouts(target.tid);
            let stayed = match ran {
                Some(_) => proc::run_time(target.tid) == ran,
                None => self.is_unchanged(at.sp),
            };
            if after == Whereabouts::Blocked(at) && stayed && read > 0 {
                let registers = Registers { pc: at.pc, sp: at.sp, fp: 0, lr: 0 };
                let unwinder = &mut self.unwinder;
                let found = unwinder.unwind_without_frame_pointer(registers, &self.copy, is_cut);
                self.counts.without_signal += 1;
                return self.stack(found, false);
            }
            self.counts.moved += 1;
            match proc::whereabouts(target.tid) {
                Whereabouts::Blocked(elsewhere) => at = elsewhere,
                Whereabouts::Running | Whereabouts::Unknown => return None,
            }
        }
        None
    }

    /// Whether the stack is still what was copied: for kernels that don't count run time.
    fn is_unchanged(&self, sp: u64) -> bool {
        let mut again = vec![0; self.copy.len()];
        ffi::read_memory(sp, &mut again) == self.copy.len() && again == self.copy
    }

    fn sample_running(&mut self, target: &Target, status: &Status) -> Option<RawStack> {
        let (registers, present) = signal::copy(target, status, &mut self.copy)?;
        let is_cut = present.stack_high.saturating_sub(registers.sp) > STACK_BYTES_MAX as u64;
        drop(present);
        let found = self.unwinder.unwind(registers, &self.copy, is_cut);
        self.counts.by_signal += 1;
        self.stack(found, true)
    }

    fn stack(&mut self, found: Unwound, by_signal: bool) -> Option<RawStack> {
        let Unwound { addresses, complete } = found;
        self.counts.incomplete += u64::from(!complete);
        let modules = Arc::clone(&self.unwinder.modules);
        (!addresses.is_empty()).then_some(RawStack { addresses, complete, by_signal, modules })
    }
}
