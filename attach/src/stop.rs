//! A thread that runs is made to stand still for microseconds: its registers and its stack are
//! copied, and it runs on.
//!
//! Only a thread of this process's own traces, and only while one copy lasts. The kernel releases
//! what a thread has traced as soon as that thread ends, in whatever way: so a target that does not
//! stop in time is given up by ending the thread, and a tool that is killed leaves nothing behind.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::ffi::{self, Registers, Waited};
use crate::memory::Mappings;

/// How often the thread that waits is woken then, until it has ended.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a stop took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// From the request until the thread was released: at least as long as it stood still. On a
    /// machine without a free CPU the thread spends most of it waiting for one, as it would have.
    pub whole: Duration,
    /// From when the kernel told that it stands still until it was released.
    pub held: Duration,
}

/// What a stop brought.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) registers: Registers,
    /// The stack from the stack pointer on.
    pub(crate) stack: Vec<u8>,
    pub(crate) is_cut: bool,
    pub(crate) pause: Pause,
}

/// Why there was no stop.
#[derive(Debug)]
pub(crate) enum NotStopped {
    /// It has ended.
    Gone,
    /// It did not stop in time.
    Late,
    /// The kernel doesn't let this process trace it.
    Refused(io::Error),
}

struct Request {
    tid: i32,
    mappings: Mappings,
    buffer: Vec<u8>,
}

type Outcome = Result<Stopped, NotStopped>;

#[derive(Debug)]
struct Worker {
    requests: Sender<Request>,
    outcomes: Receiver<Outcome>,
    given_up: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// Stops threads of one process, one at a time.
#[derive(Debug)]
pub(crate) struct Stopper {
    pid: i32,
    /// How long a thread is waited for. One that doesn't stop by then waits for a disk, or for a
    /// CPU: it doesn't stand still meanwhile.
    patience: Duration,
    worker: Option<Worker>,
}

impl Stopper {
    pub(crate) fn new(pid: i32, patience: Duration) -> Self {
        Self { pid, patience, worker: None }
    }

    /// Copies the registers and the stack of a thread. `buffer` is reused for the stack.
    pub(crate) fn stop(&mut self, tid: i32, mappings: &Mappings, buffer: Vec<u8>) -> Outcome {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(self.pid).map_err(NotStopped::Refused)?,
        };
        let request = Request { tid, mappings: mappings.clone(), buffer };
        // If it has ended, there is no answer either.
        let _ended = worker.requests.send(request);
        match worker.outcomes.recv_timeout(self.patience) {
            Ok(outcome) => {
                self.worker = Some(worker);
                outcome
            }
            Err(_) => {
                worker.give_up();
                Err(NotStopped::Late)
            }
        }
    }
}

impl Worker {
    fn start(pid: i32) -> io::Result<Self> {
        ffi::listen_to_wake()?;
        let (requests, receive) = channel::<Request>();
        let (send, outcomes) = channel();
        let given_up = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&given_up);
        let run = move || {
            ffi::be_urgent();
            for Request { tid, mappings, buffer } in receive {
                let Some(outcome) = stop(pid, tid, &mappings, buffer, &flag) else { return };
                if send.send(outcome).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("holdup-tracer".to_owned()).spawn(run)?;
        Ok(Self { requests, outcomes, given_up, thread })
    }

    /// Ends the thread, which releases what it has traced.
    fn give_up(self) {
        drop(self.requests);
        self.given_up.store(true, Ordering::Release);
        while !self.thread.is_finished() {
            // It may be on its way into the wait: so not once, but until it has ended.
            ffi::wake(&self.thread);
            thread::sleep(PAUSE);
        }
    }
}

/// None when it was given up.
fn stop(
    pid: i32,
    tid: i32,
    mappings: &Mappings,
    mut stack: Vec<u8>,
    given_up: &AtomicBool,
) -> Option<Outcome> {
    let asked = Instant::now();
    if let Err(error) = ffi::seize(tid) {
        return Some(Err(refused(error)));
    }
    // It fails for a thread that is about to end, which the wait tells.
    let _asked = ffi::interrupt(tid);
    let signal = match wait(tid, given_up)? {
        Waited::Stopped { signal } => signal,
        Waited::Ended | Waited::NotYet => return Some(Err(NotStopped::Gone)),
    };
    let held = Instant::now();
    let registers = ffi::registers(tid);
    let mut is_cut = false;
    if let Ok(registers) = &registers {
        make_again(tid, registers);
        is_cut = mappings.copy_stack(pid, registers.start.sp, &mut stack);
    }
    let released = ffi::detach(tid, signal);
    let pause = Pause { whole: asked.elapsed(), held: held.elapsed() };
    Some(match (registers, released) {
        (Ok(registers), Ok(())) => Ok(Stopped { registers, stack, is_cut, pause }),
        (Err(error), Ok(())) => Err(refused(error)),
        // It was killed meanwhile. It has to be waited for, so that its own parent learns of it.
        (_, Err(_)) => {
            wait(tid, given_up)?;
            Err(NotStopped::Gone)
        }
    })
}

fn wait(tid: i32, given_up: &AtomicBool) -> Option<Waited> {
    while !given_up.load(Ordering::Acquire) {
        match ffi::wait(tid) {
            Ok(Waited::NotYet) => {}
            Ok(waited) => return Some(waited),
            Err(_) => return Some(Waited::Ended),
        }
    }
    None
}

fn refused(error: io::Error) -> NotStopped {
    match error.raw_os_error() {
        Some(libc::ESRCH) => NotStopped::Gone,
        _ => NotStopped::Refused(error),
    }
}

/// Calls that end with `EINTR` when their thread is stopped, though no signal came (`signal(7)`), and
/// that can be made again as they were.
const NOT_MADE_AGAIN: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_io_uring_enter,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_io_getevents,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
];

/// A thread that entered such a call in the moment between the look at it and the stop would see
/// `EINTR`. The kernel's own code for "make it again, unless a handler runs" is put in its place.
fn make_again(tid: i32, registers: &Registers) {
    const ERESTARTNOHAND: i64 = 514;
    let Some((call, result)) = registers.call else { return };
    if result == -i64::from(libc::EINTR) && NOT_MADE_AGAIN.contains(&call) {
        // If it fails, the thread has been killed.
        let _killed = ffi::set_result(tid, -ERESTARTNOHAND);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::{Child, Command, Stdio};

    use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

    use super::*;

    /// Runs `waits` of this test program in a process of its own.
    fn child() -> (Child, BufReader<std::process::ChildStdout>) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "stop::tests::waits", "--ignored", "--nocapture"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("waits in ") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended");
        }
        (child, out)
    }

    /// Waits for events until its input is closed; tells how often that was interrupted.
    #[test]
    #[ignore = "is the child of the other test"]
    fn waits() {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        epoll::add(&poll, &event, epoll::EventData::new_u64(1), epoll::EventFlags::IN).unwrap();
        let waiter = thread::spawn(move || {
            let link = std::fs::read_link("/proc/thread-self").unwrap();
            println!("\nwaits in {}", link.file_name().unwrap().to_str().unwrap());
            let place =
                epoll::Event { flags: epoll::EventFlags::IN, data: epoll::EventData::new_u64(0) };
            let (mut events, mut interrupted) = ([place], 0);
            let time = Timespec { tv_sec: 600, tv_nsec: 0 };
            loop {
                match epoll::wait(&poll, &mut events, Some(&time)) {
                    Ok(_) => return interrupted,
                    Err(error) => interrupted += u32::from(error == rustix::io::Errno::INTR),
                }
            }
        });
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        rustix::io::write(&event, &1_u64.to_le_bytes()).unwrap();
        println!("\ninterrupted {}", waiter.join().unwrap());
    }

    #[test]
    fn a_wait_for_events_is_not_interrupted_by_stops_in_its_midst() {
        let (mut child, mut out) = child();
        let pid = i32::try_from(child.id()).unwrap();
        let mut stopper = Stopper::new(pid, Duration::from_secs(20));
        let mappings =
            Mappings::parse(&std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap());
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let mut tids = threads.map(|t| t.unwrap().file_name().to_str().unwrap().parse().unwrap());
        // The one that was started last.
        let tid = tids.by_ref().max().unwrap();
        let mut inside = 0;
        for _ in 0..200 {
            let stopped = stopper.stop(tid, &mappings, Vec::new()).unwrap();
            assert!(!stopped.stack.is_empty());
            inside += u32::from(stopped.registers.call.is_some());
            thread::sleep(Duration::from_millis(1));
        }
        assert!(cfg!(not(target_arch = "x86_64")) || inside > 150, "{inside} in a call");
        child.stdin.take().unwrap().flush().unwrap();
        let mut said = String::new();
        out.read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(said.contains("interrupted 0\n"), "{said}");
    }

    #[test]
    fn a_thread_that_has_ended_is_gone_and_another_can_be_stopped_after() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut stopper = Stopper::new(pid, Duration::from_secs(20));
        let mappings = Mappings::default();
        let absent = stopper.stop(i32::MAX, &mappings, Vec::new());
        assert!(matches!(absent, Err(NotStopped::Gone)), "{absent:?}");
        assert!(stopper.stop(pid, &mappings, Vec::new()).is_ok());
        child.kill().unwrap();
        child.wait().unwrap();
        let ended = stopper.stop(pid, &mappings, Vec::new());
        assert!(matches!(ended, Err(NotStopped::Gone)), "{ended:?}");
    }
}
