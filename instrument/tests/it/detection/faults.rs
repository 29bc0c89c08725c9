//! Ways to block, each in a function of its own that measures itself.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use holdup::DetectBlocking;
use memmap2::Mmap;
use rustix::time::{ClockId, clock_gettime};

use super::ffi;

/// Shares of the time that differ by less are equal.
const TIE: Duration = Duration::from_millis(1);
const PAGE: usize = 4096;
const FILE_PAGES: usize = 16 * 1024;
const FRESH_BYTES: usize = 16 << 20;

/// In place: the function that uses it is to blame, also while it reads the clock.
macro_rules! cpu_time {
    () => {{
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
    }};
}

/// How a thread is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Sleep,
    Spin,
    /// Held by a thread that waits for something itself.
    Mutex,
    /// Held by a thread that computes.
    BusyMutex,
    Condvar,
    File,
    Socket,
    FreshPages,
    FilePages,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Sleep,
        Self::Spin,
        Self::Mutex,
        Self::BusyMutex,
        Self::Condvar,
        Self::File,
        Self::Socket,
        Self::FreshPages,
        Self::FilePages,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Spin => "spin",
            Self::Mutex => "mutex, holder waits",
            Self::BusyMutex => "mutex, holder computes",
            Self::Condvar => "condvar",
            Self::File => "file write and fsync",
            Self::Socket => "socket read",
            Self::FreshPages => "fresh pages",
            Self::FilePages => "mapped file",
        }
    }

    /// The function to blame.
    pub(crate) fn function(self) -> &'static str {
        match self {
            Self::Sleep => "faults::sleeps",
            Self::Spin => "faults::spins",
            Self::Mutex | Self::BusyMutex => "faults::locks",
            Self::Condvar => "faults::waits",
            Self::File => "faults::writes",
            Self::Socket => "faults::reads",
            Self::FreshPages => "faults::touches_fresh",
            Self::FilePages => "faults::touches_file",
        }
    }

    /// The cause of the time off the CPU, and of that on it.
    pub(crate) fn causes(self) -> (&'static str, &'static str) {
        match self {
            Self::Sleep => ("sleep", "cpu"),
            Self::Spin => ("unknown", "cpu"),
            Self::Mutex | Self::BusyMutex | Self::Condvar => ("lock", "cpu"),
            Self::File => ("disk", "cpu"),
            Self::Socket => ("net", "cpu"),
            Self::FreshPages | Self::FilePages => ("page_fault", "page_fault"),
        }
    }

    /// What the innermost frame is called; none where it is the function itself.
    pub(crate) fn leaf(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Sleep => Some(&["nanosleep"]),
            Self::Mutex | Self::BusyMutex | Self::Condvar => Some(&["syscall", "futex"]),
            Self::File => Some(&["write", "fsync"]),
            Self::Socket => Some(&["recv", "read"]),
            Self::Spin | Self::FreshPages | Self::FilePages => None,
        }
    }

    pub(crate) fn has_holder(self) -> bool {
        matches!(self, Self::Mutex | Self::BusyMutex)
    }
}

/// What a block was, by its own account.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// None for what does not block.
    pub(crate) kind: Option<Kind>,
    pub(crate) thread: u32,
    /// Measured around the watched future, as [`outer`](Self::outer).
    pub(crate) start: SystemTime,
    /// Measured inside.
    pub(crate) inner: Duration,
    /// Measured around the watched future: what the fault itself can't see.
    pub(crate) outer: Duration,
    pub(crate) cpu: Duration,
    /// Ready, without a CPU: inside, and around the watched future.
    pub(crate) runqueue: Duration,
    pub(crate) outer_runqueue: Duration,
    /// The thread that held the lock.
    pub(crate) holder: Option<String>,
}

impl Truth {
    /// Time for which the code held its thread. What measures itself may block as well: it reads files.
    pub(crate) fn to_blame(&self) -> Duration {
        match self.kind {
            Some(_) => self.inner.saturating_sub(self.runqueue),
            None => self.outer.saturating_sub(self.outer_runqueue),
        }
    }

    /// Where most of the time went: more than one when they are as good as equal.
    pub(crate) fn causes(&self) -> Vec<&'static str> {
        let Some(kind) = self.kind else { return Vec::new() };
        let off = self.to_blame().saturating_sub(self.cpu);
        let (waiting, computing) = kind.causes();
        // What the thread waited for between the two clocks may have been a CPU.
        let late = self.outer.saturating_sub(self.inner);
        let runqueue = self.runqueue + late;
        let most = self.runqueue.max(off).max(self.cpu);
        let shares = [("runqueue", runqueue), (waiting, off), (computing, self.cpu)];
        let is_most = |(_, share): &(_, Duration)| *share + TIE >= most;
        shares.into_iter().filter(is_most).map(|(cause, _)| cause).collect()
    }
}

/// This thread's totals.
struct Start(Instant, SystemTime, Duration, Duration);

impl Start {
    fn here() -> Self {
        let (cpu, runqueue) = (cpu_time!(), runqueue());
        Self(Instant::now(), SystemTime::now(), cpu, runqueue)
    }

    fn end(self, kind: Option<Kind>) -> Truth {
        let inner = self.0.elapsed();
        Truth {
            kind,
            thread: rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs(),
            start: self.1,
            inner,
            outer: inner,
            cpu: cpu_time!().saturating_sub(self.2),
            runqueue: runqueue().saturating_sub(self.3),
            outer_runqueue: Duration::ZERO,
            holder: None,
        }
    }
}

/// For how long this thread has waited for a CPU.
pub(crate) fn runqueue() -> Duration {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(line.split(' ').nth(1).unwrap().parse().unwrap())
}

type Job = Box<dyn FnOnce() + Send>;

/// The helper's jobs are polls too, with a threshold that they never reach.
pub(crate) const HELPS: &str = "bench::helps";

fn help(jobs: &Receiver<Job>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for job in jobs {
        runtime.block_on(async { job() }.detect_blocking(HELPS));
    }
}

/// What one task blocks on, and the thread that lets it go on.
pub(crate) struct Stage {
    helper: Sender<Job>,
    helper_name: String,
    lock: Arc<Mutex<u64>>,
    flag: Arc<(Mutex<bool>, Condvar)>,
    socket: (TcpStream, Arc<TcpStream>),
    file: File,
    pages: File,
    mapped: Option<Mmap>,
}

impl Stage {
    /// With files in `folder`, which have no names when this returns.
    pub(crate) fn new(number: usize, folder: &Path) -> Self {
        let (helper, jobs): (Sender<Job>, Receiver<Job>) = channel();
        let helper_name = format!("helper-{number}");
        let thread = thread::Builder::new().name(helper_name.clone());
        thread.spawn(move || help(&jobs)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = Arc::new(listener.accept().unwrap().0);
        let mut pages = unnamed(folder, &format!("pages-{number}"));
        for _ in 0..FILE_PAGES {
            pages.write_all(&[1; PAGE]).unwrap();
        }
        pages.sync_all().unwrap();
        Self {
            helper,
            helper_name,
            lock: Arc::default(),
            flag: Arc::default(),
            socket: (near, far),
            file: unnamed(folder, &format!("file-{number}")),
            pages,
            mapped: None,
        }
    }

    fn helps(&self, job: impl FnOnce() + Send + 'static) {
        self.helper.send(Box::new(job)).unwrap();
    }

    /// What has to be so before the block begins. Returns what to call when it begins.
    pub(crate) fn prepare(&mut self, kind: Kind, time: Duration) -> Sender<()> {
        let (begin, begins) = channel::<()>();
        match kind {
            Kind::Mutex | Kind::BusyMutex => {
                let (lock, (locked, is_locked)) = (Arc::clone(&self.lock), channel());
                let computes = kind == Kind::BusyMutex;
                self.helps(move || holds(&lock, &locked, &begins, (time, computes)));
                is_locked.recv().unwrap();
            }
            Kind::Condvar => {
                let flag = Arc::clone(&self.flag);
                *flag.0.lock().unwrap() = false;
                self.helps(move || {
                    begins.recv().unwrap();
                    thread::sleep(time);
                    *flag.0.lock().unwrap() = true;
                    flag.1.notify_one();
                });
            }
            Kind::Socket => {
                let far = Arc::clone(&self.socket.1);
                self.helps(move || {
                    begins.recv().unwrap();
                    thread::sleep(time);
                    (&*far).write_all(b"!").unwrap();
                });
            }
            Kind::FilePages => {
                // What is mapped stays in memory.
                self.mapped = None;
                self.mapped = Some(ffi::cold(&self.pages));
            }
            _ => {}
        }
        begin
    }

    /// Blocks for about so long.
    pub(crate) fn block(&mut self, kind: Kind, time: Duration, begin: &Sender<()>) -> Truth {
        let start = Start::here();
        let _nobody_waits = begin.send(());
        match kind {
            Kind::Sleep => sleeps(time),
            Kind::Spin => spins(time),
            Kind::Mutex | Kind::BusyMutex => locks(&self.lock),
            Kind::Condvar => waits(&self.flag),
            Kind::File => writes(&mut self.file, time),
            Kind::Socket => reads(&mut self.socket.0),
            Kind::FreshPages => touches_fresh(time),
            Kind::FilePages => touches_file(self.mapped.as_ref().unwrap(), time),
        }
        let mut truth = start.end(Some(kind));
        truth.holder = kind.has_holder().then(|| self.helper_name.clone());
        truth
    }
}

/// Temporary folders may be in memory, where nothing is waited for.
fn unnamed(folder: &Path, name: &str) -> File {
    let path = folder.join(format!("detection-{}-{name}", std::process::id()));
    let mut options = File::options();
    let file = options.create(true).truncate(true).read(true).write(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file
}

/// What holds no thread for long: mostly microseconds, now and then some milliseconds.
pub(crate) fn innocent(random: u64) -> Truth {
    let start = Start::here();
    let part = |most: u64| Duration::from_micros((random >> 32) % most);
    match random % 100 {
        0 => spins(part(6_000)),
        1 => thread::sleep(part(5_000)),
        2..12 => thread::sleep(part(500)),
        12..27 => spins(part(500)),
        _ => spins(part(10)),
    }
    start.end(None)
}

#[inline(never)]
fn holds(
    lock: &Mutex<u64>,
    locked: &Sender<()>,
    begins: &Receiver<()>,
    (time, computes): (Duration, bool),
) {
    let mut guard = lock.lock().unwrap();
    locked.send(()).unwrap();
    begins.recv().unwrap();
    if computes {
        spins(time);
    } else {
        thread::sleep(time);
    }
    *guard += 1;
}

#[inline(never)]
fn sleeps(time: Duration) {
    thread::sleep(time);
    black_box(());
}

/// Until this thread was on a CPU for so long.
#[inline(never)]
fn spins(time: Duration) {
    let until = cpu_time!() + time;
    while cpu_time!() < until {
        let mut x = 1_u64;
        for _ in 0..200_000 {
            x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    black_box(());
}

#[inline(never)]
fn locks(lock: &Mutex<u64>) {
    *lock.lock().unwrap() += 1;
    black_box(());
}

#[inline(never)]
fn waits((flag, condition): &(Mutex<bool>, Condvar)) {
    drop(condition.wait_while(flag.lock().unwrap(), |flag| !*flag).unwrap());
    black_box(());
}

#[inline(never)]
fn writes(file: &mut File, time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        file.write_all(&[1; PAGE]).unwrap();
        file.sync_all().unwrap();
    }
    black_box(());
}

#[inline(never)]
fn reads(socket: &mut TcpStream) {
    socket.read_exact(&mut [0]).unwrap();
    black_box(());
}

#[inline(never)]
fn touches_fresh(time: Duration) {
    let until = cpu_time!() + time;
    while cpu_time!() < until {
        let mut memory = memmap2::MmapMut::map_anon(FRESH_BYTES).unwrap();
        memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        black_box(&memory);
    }
}

#[inline(never)]
fn touches_file(pages: &Mmap, time: Duration) {
    let start = Instant::now();
    for page in (0..FILE_PAGES).cycle() {
        // Without a pattern that the kernel could read ahead of.
        black_box(pages[(page * 7919) % FILE_PAGES * PAGE]);
        if start.elapsed() >= time {
            return;
        }
    }
}
