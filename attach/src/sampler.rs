//! Takes one stack of a thread, by the way that disturbs it least.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdup::symbols::{Start, Walk};

use crate::error::AttachError;
use crate::memory::Mappings;
use crate::modules::Modules;
use crate::process::Process;
use crate::stop::{NotStopped, Pause, Stopper};
use crate::thread::{Blocked, Thread, Whereabouts};

/// A thread that moves while it is copied is tried again so often; then it is stopped.
const ATTEMPTS_MAX: usize = 3;
/// Libraries that were loaded are looked for no more often.
const REFRESH: Duration = Duration::from_millis(250);
/// Changes of the libraries that are followed: the tables of each are kept for naming.
const EPOCHS_MAX: usize = 32;

/// Where the libraries of a process are, until others come.
pub(crate) type Epoch = usize;

/// One stack as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RawStack {
    /// Inside of the call instructions, leaf first.
    pub(crate) addresses: Vec<u64>,
    pub(crate) complete: bool,
    /// In which the addresses mean something.
    pub(crate) epoch: Epoch,
}

impl RawStack {
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }
}

/// What was seen of a thread at one time.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) stack: Arc<RawStack>,
    /// Whether it was on a CPU, or waiting for one.
    pub(crate) on_cpu: bool,
    /// The system call that it was in, when it was off the CPU.
    pub(crate) call: Option<u64>,
}

/// Why there is no sample.
#[derive(Debug)]
pub(crate) enum Missed {
    /// The thread has ended.
    Gone,
    /// It moved each time, did not stop in time, or there is no descriptor left for its files.
    Restless,
    /// This user may not.
    Refused(io::Error),
}

/// Pauses whose times are kept.
pub(crate) const PAUSES_MAX: usize = 100_000;

/// How samples were taken.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Threads that slept, and were read without their help.
    pub undisturbed: u64,
    /// Threads that had not run since they were read.
    pub unmoved: u64,
    /// Threads that were stopped.
    pub stopped: u64,
    /// For how long the first 100,000 of them were.
    pub pauses: Vec<Pause>,
    /// Copies thrown away, because the thread had run meanwhile.
    pub moved: u64,
    /// Stacks of which outer frames are missing.
    pub incomplete: u64,
    /// Threads that could not be sampled, at that time.
    pub lost: u64,
}

/// What is remembered of a thread that slept.
#[derive(Debug)]
struct Asleep {
    run_time: [u64; 3],
    sample: Sample,
}

#[derive(Debug)]
struct Watched {
    thread: Thread,
    asleep: Option<Asleep>,
}

/// Takes stacks of the threads of one process. Keeps what it learned.
#[derive(Debug)]
pub(crate) struct Sampler<'a> {
    process: &'a Process,
    image: [u64; 3],
    stopper: Stopper,
    threads: HashMap<i32, Watched>,
    current: Modules,
    /// Those that were before, for naming.
    past: Vec<Modules>,
    refreshed: Instant,
    copy: Vec<u8>,
    pub(crate) counts: Counts,
}

impl<'a> Sampler<'a> {
    /// `patience` is how long a thread that is to be stopped is waited for.
    pub(crate) fn new(process: &'a Process, patience: Duration) -> Result<Self, AttachError> {
        let maps = process.read("maps").map_err(|e| process.explain("its mappings", e))?;
        let image = process.image().ok_or(AttachError::Absent { pid: process.pid })?;
        Ok(Self {
            process,
            image,
            stopper: Stopper::new(process.pid, patience),
            threads: HashMap::new(),
            current: Modules::load(process.pid, &maps),
            past: Vec::new(),
            refreshed: Instant::now(),
            copy: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Looks whether the process still runs the same program, and takes notice of another one.
    /// False when it has ended.
    pub(crate) fn check(&mut self) -> bool {
        match self.process.image() {
            None => false,
            Some(image) if image == self.image => true,
            Some(image) => {
                self.image = image;
                self.threads.clear();
                self.refresh();
                true
            }
        }
    }

    /// Forgets threads that are not among these.
    pub(crate) fn retain(&mut self, present: &[i32]) {
        self.threads.retain(|tid, _| present.binary_search(tid).is_ok());
    }

    pub(crate) fn thread(&mut self, tid: i32) -> Option<&Thread> {
        self.watched(tid).ok().map(|watched| &watched.thread)
    }

    fn watched(&mut self, tid: i32) -> io::Result<&mut Watched> {
        use std::collections::hash_map::Entry;
        match self.threads.entry(tid) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let thread = Thread::open(self.process.pid, tid)?;
                Ok(place.insert(Watched { thread, asleep: None }))
            }
        }
    }

    /// The stack of a thread at this instant.
    pub(crate) fn sample(&mut self, tid: i32) -> Result<Sample, Missed> {
        let found = self.try_sample(tid);
        match &found {
            Ok(sample) => self.counts.incomplete += u64::from(!sample.stack.complete),
            Err(Missed::Gone) => {
                self.threads.remove(&tid);
            }
            Err(Missed::Restless | Missed::Refused(_)) => self.counts.lost += 1,
        }
        found
    }

    fn try_sample(&mut self, tid: i32) -> Result<Sample, Missed> {
        for _ in 0..ATTEMPTS_MAX {
            let watched = self.watched(tid).map_err(missed)?;
            let run_time = watched.thread.run_time();
            if let (Some(now), Some(asleep)) = (run_time, &watched.asleep)
                && asleep.run_time == now
            {
                let sample = asleep.sample.clone();
                self.counts.unmoved += 1;
                return Ok(sample);
            }
            match watched.thread.whereabouts().map_err(missed)? {
                Whereabouts::Running => return self.sample_running(tid),
                Whereabouts::Blocked(at) => {
                    if let Some(sample) = self.sample_blocked(tid, at, run_time) {
                        return Ok(sample);
                    }
                }
            }
            self.counts.moved += 1;
        }
        self.sample_running(tid)
    }

    /// A thread that is off its CPU: its stack is copied, which is worth something only if it did
    /// not run meanwhile.
    fn sample_blocked(
        &mut self,
        tid: i32,
        at: Blocked,
        run_time: Option<[u64; 3]>,
    ) -> Option<Sample> {
        let mut copy = std::mem::take(&mut self.copy);
        let is_cut = self.copy_stack(at.sp, &mut copy);
        let thread = &self.threads.get(&tid)?.thread;
        let stayed = match run_time {
            Some(_) => thread.run_time() == run_time,
            // Where the kernel doesn't count, the same bytes twice have to do.
            None => {
                let mut again = Vec::new();
                self.current.mappings.copy_stack(self.process.pid, at.sp, &mut again);
                again == copy
            }
        };
        let unmoved = stayed && thread.whereabouts().ok() == Some(Whereabouts::Blocked(at));
        let sample = (unmoved && !copy.is_empty()).then(|| {
            self.counts.undisturbed += 1;
            let start = Start { pc: at.pc, sp: at.sp, fp: None, lr: 0 };
            let stack = self.walk(start, &copy, is_cut);
            Sample { stack, on_cpu: false, call: at.call.map(|call| call[0]) }
        });
        self.copy = copy;
        if let (Some(sample), Some(run_time), Some(watched)) =
            (&sample, run_time, self.threads.get_mut(&tid))
        {
            watched.asleep = Some(Asleep { run_time, sample: sample.clone() });
        }
        sample
    }

    fn sample_running(&mut self, tid: i32) -> Result<Sample, Missed> {
        let buffer = std::mem::take(&mut self.copy);
        let stopped = match self.stopper.stop(tid, &self.current.mappings, buffer) {
            Ok(stopped) => stopped,
            Err(NotStopped::Gone) => return Err(Missed::Gone),
            Err(NotStopped::Late) => return Err(Missed::Restless),
            Err(NotStopped::Refused(error)) => return Err(Missed::Refused(error)),
        };
        self.counts.stopped += 1;
        if self.counts.pauses.len() < PAUSES_MAX {
            self.counts.pauses.push(stopped.pause);
        }
        let stack = self.walk(stopped.registers.start, &stopped.stack, stopped.is_cut);
        self.copy = stopped.stack;
        // It was taken out of this call, which it had entered between the look and the stop.
        let call = stopped.registers.call.and_then(|(call, _)| u64::try_from(call).ok());
        Ok(Sample { stack, on_cpu: true, call })
    }

    fn walk(&mut self, start: Start, stack: &[u8], is_cut: bool) -> Arc<RawStack> {
        let mut walk = self.current.walker.walk(start, stack, is_cut);
        let is_known = |address: &u64| self.current.walker.place(*address).is_some();
        let known = walk.complete && walk.addresses.iter().all(is_known);
        if !known && self.refreshed.elapsed() > REFRESH && self.refresh() {
            walk = self.current.walker.walk(start, stack, is_cut);
        }
        let Walk { addresses, complete } = walk;
        Arc::new(RawStack { addresses, complete, epoch: self.past.len() })
    }

    /// Copies a stack; one in memory that is not known yet, after a look at what there is.
    fn copy_stack(&mut self, sp: u64, copy: &mut Vec<u8>) -> bool {
        let is_known = self.current.mappings.containing(sp).is_some();
        if !is_known && self.refreshed.elapsed() > REFRESH {
            self.refresh();
        }
        self.current.mappings.copy_stack(self.process.pid, sp, copy)
    }

    /// Reads the mappings again. Tells whether there are other modules.
    fn refresh(&mut self) -> bool {
        self.refreshed = Instant::now();
        let Ok(maps) = self.process.read("maps") else { return false };
        let mappings = Mappings::parse(&maps);
        let is_same = self.current.has_same_modules(&mappings);
        if is_same || self.past.len() + 1 >= EPOCHS_MAX {
            self.current.mappings = mappings;
            return false;
        }
        let modules = Modules::load(self.process.pid, &maps);
        self.past.push(std::mem::replace(&mut self.current, modules));
        true
    }

    /// The modules of all epochs, in order, and how it went.
    pub(crate) fn finish(self) -> (Vec<Modules>, Counts) {
        let mut epochs = self.past;
        epochs.push(self.current);
        (epochs, self.counts)
    }
}

/// A thread that has ended, or one that may not be looked at.
fn missed(error: io::Error) -> Missed {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => Missed::Refused(error),
        Some(libc::ESRCH | libc::ENOENT) => Missed::Gone,
        _ => Missed::Restless,
    }
}
