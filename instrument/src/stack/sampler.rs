//! Takes one stack, by the way that suits what the thread does.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::room::{self, Share};
use crate::stack::holder::Search;
use crate::stack::modules::Modules;
use crate::stack::proc::{self, Blocked, Status, Whereabouts};
use crate::stack::registers::Registers;
use crate::stack::signal::{Answer, Asked};
use crate::stack::threads::{self, Target};
use crate::stack::unwind::{Unwinder, Unwound};
use crate::stack::{STACK_BYTES_MAX, Settings, ffi, signal};

/// A thread that moves while it is copied is tried again so often.
const ATTEMPTS_MAX: usize = 3;
/// How long a thread that runs is looked at: it may block meanwhile, and then needs no signal.
#[cfg(test)]
const PATIENCE: Duration = Duration::from_millis(2);
/// Between two looks at a thread that runs.
pub(crate) const PAUSE: Duration = Duration::from_micros(250);
/// A thread that is on a CPU answers within microseconds; one that isn't is not waited for.
const AT_ONCE: Duration = Duration::from_micros(200);

/// Threads of which it is remembered since when they run.
const RUNNING_MAX: usize = 1024;
/// Threads of which a stack is kept that has yet to be found again.
const MOVING_MAX: usize = 64;

/// Takes stacks of threads. Keeps what it learned of the program's modules.
#[derive(Debug)]
pub(crate) struct Sampler {
    settings: Settings,
    unwinder: Unwinder,
    names: Arc<Names>,
    /// Each thread's time on a CPU when it was first seen to run without having waited since.
    running: HashMap<i32, (Duration, Status)>,
    /// The callers that were found last of each thread that had run while its stack was copied.
    moving: HashMap<i32, Box<[u64]>>,
    /// The copy of a stack, kept for its memory.
    copy: Vec<u8>,
    /// The thread that was interrupted and has yet to answer.
    asked: Option<Asked>,
    /// Who was last searched as the holder of a lock.
    pub(super) last_search: Option<Search>,
    pub(super) counts: Counts,
}

/// How attempts ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) without_signal: u64,
    pub(super) by_signal: u64,
    /// Copies during which the thread had run.
    pub(super) moved: u64,
    pub(super) incomplete: u64,
}

/// One stack as it was found. Reports of a poll that goes on share it.
#[derive(Clone, Debug)]
pub(crate) struct RawStack(Arc<Taken>);

#[cfg(test)]
impl RawStack {
    /// A made-up stack in modules of this process, which takes nothing of the room for stacks.
    pub(super) fn of(addresses: Box<[u64]>, modules: &Modules) -> Self {
        let (modules, share) = (Names::of(modules), room::STACKS.force(0));
        let (by_signal, call) = (false, None);
        Self(Arc::new(Taken { addresses, complete: true, by_signal, call, modules, _share: share }))
    }
}

impl Deref for RawStack {
    type Target = Taken;

    fn deref(&self) -> &Taken {
        &self.0
    }
}

/// What a stack consists of, with its share of the room for stacks.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Inside of the call instructions, leaf first.
    pub(super) addresses: Box<[u64]>,
    /// Whether the stack was followed to where its thread began. Else the outer frames are missing.
    pub(super) complete: bool,
    /// Whether the thread was interrupted for it.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(super) by_signal: bool,
    /// The system call that the thread waited in, and its first argument.
    pub(crate) call: Option<[u64; 2]>,
    /// The modules at that time, in which the addresses are.
    pub(super) modules: Arc<Names>,
    _share: Share,
}

/// What is kept of modules for as long as a stack is: with its share of the room for stacks.
#[derive(Debug)]
pub(super) struct Names {
    modules: Modules,
    _share: Share,
}

impl Names {
    fn of(modules: &Modules) -> Arc<Self> {
        let share = room::STACKS.force(modules.bytes());
        Arc::new(Self { modules: modules.without_tables(), _share: share })
    }
}

impl Deref for Names {
    type Target = Modules;

    fn deref(&self) -> &Modules {
        &self.modules
    }
}

impl Sampler {
    /// Takes a few milliseconds: reads the tables of the program's modules, and starts a thread for
    /// a moment, to see where threads begin.
    pub(crate) fn new(settings: Settings) -> Self {
        let (unwinder, counts) = (Unwinder::new(), Counts::default());
        let copy = Vec::with_capacity(STACK_BYTES_MAX);
        Self {
            settings,
            names: Names::of(&unwinder.modules),
            unwinder,
            running: HashMap::new(),
            moving: HashMap::new(),
            copy,
            asked: None,
            last_search: None,
            counts,
        }
    }

    /// The stack of a thread, for which up to so much time is waited. None when it can't be had: the
    /// thread has ended, the kernel doesn't tell where it is, or it runs and may not be interrupted.
    pub(super) fn sample_within(&mut self, target: &Target, time: Duration) -> Option<RawStack> {
        let start = Instant::now();
        loop {
            if let Some((of, stack)) = self.answered()
                && of == *target
            {
                return Some(stack);
            }
            if let Some(stack) = self.begin(target) {
                return Some(stack);
            }
            if start.elapsed() > time {
                return None;
            }
            thread::sleep(PAUSE);
        }
    }

    /// The same, for long enough.
    #[cfg(test)]
    pub(crate) fn sample(&mut self, target: &Target) -> Option<RawStack> {
        let found = self.sample_within(target, PATIENCE);
        let asked = self.asked.take().filter(|_| found.is_none());
        found.or_else(|| match asked?.answer_within(signal::ANSWER + PATIENCE, &mut self.copy) {
            Answer::Came(registers) => self.interrupted(target.stack_high, registers),
            Answer::NotYet | Answer::Never => None,
        })
    }

    /// The stack of a thread at this instant, or the beginning of getting one: a thread that was
    /// interrupted and has no CPU leaves its stack later, for [`answered`](Self::answered). None as
    /// well when a thread that runs has not been seen to do so for long enough.
    pub(crate) fn begin(&mut self, target: &Target) -> Option<RawStack> {
        self.refresh();
        match proc::whereabouts(target.tid) {
            Whereabouts::Blocked(at) => self.sample_blocked(target, at),
            Whereabouts::Running | Whereabouts::Unknown if !self.settings.signal => None,
            Whereabouts::Running | Whereabouts::Unknown => {
                let status = proc::status(target.tid)?;
                let has_run = self.has_run(target.tid, status)? >= signal::QUIET;
                if has_run { self.interrupt(target, &status) } else { None }
            }
        }
    }

    /// Whether a thread that was interrupted has yet to answer.
    pub(crate) fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Does without the answer.
    pub(super) fn give_up(&mut self) {
        self.asked = None;
    }

    /// The stack of the thread that was interrupted, once it has answered. To be called until
    /// nothing is asked any more, for that thread is kept from ending.
    pub(crate) fn answered(&mut self) -> Option<(Target, RawStack)> {
        let target = self.asked.as_ref()?.target;
        let answer = self.asked.as_ref()?.answer(&mut self.copy);
        if matches!(answer, Answer::NotYet) {
            return None;
        }
        self.asked = None;
        match answer {
            Answer::Came(registers) => {
                Some((target, self.interrupted(target.stack_high, registers)?))
            }
            Answer::NotYet | Answer::Never => None,
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
    /// only if the thread did not run meanwhile, or if it is found the same again. So it is of one that
    /// waits for page after page of a file, and runs in between.
    fn sample_blocked(&mut self, target: &Target, mut at: Blocked) -> Option<RawStack> {
        // One that was interrupted, and blocks before its answer was looked at, is kept already: to
        // wait for that would be to wait for itself.
        let is_kept = self.asked.as_ref().is_some_and(|asked| asked.target == *target);
        let _present = if is_kept { None } else { Some(threads::hold(target)?) };
        for _ in 0..ATTEMPTS_MAX {
            if self.copy_blocked(target.tid, target.stack_high, at).is_some() {
                return self.copied_blocked(at, target.stack_high);
            }
            if let Some(stack) = self.found_again(target, at) {
                return Some(stack);
            }
            match proc::whereabouts(target.tid) {
                Whereabouts::Blocked(elsewhere) => at = elsewhere,
                Whereabouts::Running | Whereabouts::Unknown => return None,
            }
        }
        None
    }

    /// Copies the stack of a thread that is off its CPU, up to `high`. None when it moved.
    pub(super) fn copy_blocked(&mut self, tid: i32, high: u64, at: Blocked) -> Option<()> {
        let ran = proc::run_time(tid);
        let bytes = high.checked_sub(at.sp)?;
        let length = usize::try_from(bytes).unwrap_or(STACK_BYTES_MAX).min(STACK_BYTES_MAX);
        self.copy.resize(length, 0);
        let read = ffi::read_memory(at.sp, &mut self.copy);
        self.copy.truncate(read);
        let stayed = match ran {
            Some(_) => proc::run_time(tid) == ran,
            None => self.is_unchanged(at.sp),
        };
        let is_there = proc::whereabouts(tid) == Whereabouts::Blocked(at);
        self.counts.moved += u64::from(!(is_there && stayed));
        (is_there && stayed && read > 0).then_some(())
    }

    /// The stack that was copied while its thread may have run, if its callers are those of the
    /// copy before: half a stack of one instant and half of another don't lead to the root of the
    /// thread in the same way twice.
    fn found_again(&mut self, target: &Target, at: Blocked) -> Option<RawStack> {
        let found = self.unwind_blocked(at, target.stack_high);
        let callers = found.addresses.get(1..).filter(|_| found.complete)?;
        if self.moving.get(&target.tid).is_some_and(|before| **before == *callers) {
            self.counts.without_signal += 1;
            return self.stack(found, Some(at));
        }
        if self.moving.len() >= MOVING_MAX {
            self.moving.clear();
        }
        self.moving.insert(target.tid, callers.into());
        None
    }

    /// The stack that was copied.
    pub(super) fn copied_blocked(&mut self, at: Blocked, high: u64) -> Option<RawStack> {
        let found = self.unwind_blocked(at, high);
        self.counts.without_signal += 1;
        self.stack(found, Some(at))
    }

    fn unwind_blocked(&mut self, at: Blocked, high: u64) -> Unwound {
        let is_cut = high.saturating_sub(at.sp) > STACK_BYTES_MAX as u64;
        let registers = Registers { pc: at.pc, sp: at.sp, fp: 0, lr: 0 };
        self.unwinder.unwind_without_frame_pointer(registers, &self.copy, is_cut)
    }

    /// Whether the stack that was copied last has a word of this value.
    pub(super) fn has_copied(&self, word: u64) -> bool {
        self.copy.chunks_exact(8).any(|bytes| bytes == word.to_ne_bytes())
    }

    /// Whether the stack is still what was copied: for kernels that don't count run time.
    fn is_unchanged(&self, sp: u64) -> bool {
        let mut again = vec![0; self.copy.len()];
        ffi::read_memory(sp, &mut again) == self.copy.len() && again == self.copy
    }

    fn interrupt(&mut self, target: &Target, status: &Status) -> Option<RawStack> {
        if self.asked.is_some() {
            return None;
        }
        let asked = signal::ask(target, status)?;
        match asked.answer_within(AT_ONCE, &mut self.copy) {
            Answer::Came(registers) => {
                drop(asked);
                self.interrupted(target.stack_high, registers)
            }
            Answer::NotYet => {
                self.asked = Some(asked);
                None
            }
            Answer::Never => None,
        }
    }

    /// What an interrupted thread copied.
    fn interrupted(&mut self, stack_high: u64, registers: Registers) -> Option<RawStack> {
        let is_cut = stack_high.saturating_sub(registers.sp) > STACK_BYTES_MAX as u64;
        let found = self.unwinder.unwind(registers, &self.copy, is_cut);
        self.counts.by_signal += 1;
        self.stack(found, None)
    }

    fn refresh(&mut self) {
        if self.unwinder.refresh() {
            self.names = Names::of(&self.unwinder.modules);
        }
    }

    fn stack(&mut self, found: Unwound, at: Option<Blocked>) -> Option<RawStack> {
        let Unwound { addresses, complete } = found;
        self.counts.incomplete += u64::from(!complete);
        let share = room::STACKS.take(size_of::<Taken>() + size_of_val(&*addresses))?;
        let modules = Arc::clone(&self.names);
        let (by_signal, call) = (at.is_none(), at.and_then(|at| at.call()));
        let addresses = addresses.into_boxed_slice();
        (!addresses.is_empty()).then(|| {
            RawStack(Arc::new(Taken {
                addresses,
                complete,
                by_signal,
                call,
                modules,
                _share: share,
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// Interrupts a thread, has it block before the answer is looked at, and takes its stack.
    fn interrupt_and_sample() -> Option<RawStack> {
        let (tell, told) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let blocks = Arc::new(AtomicBool::new(false));
        let may_block = Arc::clone(&blocks);
        let thread = thread::spawn(move || {
            let _registered = threads::register();
            tell.send(threads::target(ffi::thread_id()).unwrap()).unwrap();
            while !may_block.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
            let _ = released.recv();
        });
        let target = told.recv().unwrap();
        let mut sampler = Sampler::new(Settings::default());
        let deadline = Instant::now() + Duration::from_secs(10);
        while sampler.asked.is_none() && Instant::now() < deadline {
            let status = proc::status(target.tid);
            sampler.asked = status.and_then(|status| signal::ask(&target, &status));
        }
        assert!(sampler.is_asking(), "it was not interrupted in time");
        blocks.store(true, Ordering::Relaxed);
        let mut stack = None;
        while stack.is_none() && Instant::now() < deadline {
            if matches!(proc::whereabouts(target.tid), Whereabouts::Blocked(_)) {
                stack = sampler.begin(&target);
            }
        }
        drop(sampler);
        drop(release);
        thread.join().unwrap();
        stack
    }

    #[test]
    fn a_thread_that_blocks_after_it_was_interrupted_is_not_waited_for() {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || tell.send(interrupt_and_sample().is_some()));
        let found = told.recv_timeout(Duration::from_secs(30));
        assert_eq!(found, Ok(true), "the sampler waits for itself, or found no stack");
    }

    #[test]
    fn a_thread_that_runs_between_waits_has_a_stack_once_two_copies_agree() {
        let (tell, told) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let _registered = threads::register();
            tell.send(threads::target(ffi::thread_id()).unwrap()).unwrap();
            let _ = released.recv();
        });
        let target = told.recv().unwrap();
        let mut sampler = Sampler::new(Settings::default());
        let deadline = Instant::now() + Duration::from_secs(10);
        let at = loop {
            if let Whereabouts::Blocked(at) = proc::whereabouts(target.tid)
                && sampler.copy_blocked(target.tid, target.stack_high, at).is_some()
            {
                break at;
            }
            assert!(Instant::now() < deadline, "it does not wait");
        };
        let whole = sampler.copy.clone();
        assert!(sampler.found_again(&target, at).is_none(), "one copy may be torn");
        let stack = sampler.found_again(&target, at).unwrap();
        assert!(stack.complete && stack.call.is_some());
        sampler.copy.fill(0);
        assert!(sampler.found_again(&target, at).is_none(), "it leads nowhere");
        sampler.copy = whole;
        assert!(sampler.found_again(&target, at).is_some(), "nor does it count");
        drop(release);
        thread.join().unwrap();
    }
}
