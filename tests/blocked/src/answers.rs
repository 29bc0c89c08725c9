//! Threads that would notice if somebody outside disturbed them: they count calls that were
//! interrupted and answers that are wrong.

use std::hint::black_box;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

const MILLISECOND: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
/// What `computes` finds each time.
const ROUNDS: u64 = 20_000;

/// What went wrong, and how much was done.
#[derive(Debug, Default)]
struct Seen {
    stop: AtomicBool,
    interrupted: AtomicU64,
    wrong: AtomicU64,
    rounds: AtomicU64,
}

/// Runs until standard input is closed, and prints `interrupted N wrong N rounds N`.
pub(crate) fn run(runtime: &tokio::runtime::Runtime) -> std::io::Result<()> {
    let seen = Arc::new(Seen::default());
    let (near, far) = connected()?;
    let threads = [
        start(&seen, until_stopped(waits_for_events))?,
        start(&seen, until_stopped(sleeps))?,
        start(&seen, until_stopped(computes))?,
        start(&seen, until_stopped(move |seen| asks(seen, &near)))?,
        // Ends when the one that asks has ended.
        start(&seen, move |seen| answers(seen, &far))?,
    ];
    let of_tasks = Arc::clone(&seen);
    let tasks = runtime.spawn(async move { ticks(&of_tasks).await });
    crate::say("ready")?;
    crate::until_closed()?;
    seen.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        // A thread that panicked has seen something wrong.
        let ended = thread.join();
        seen.wrong.fetch_add(u64::from(ended.is_err()), Ordering::Relaxed);
    }
    runtime.block_on(tasks).map_err(std::io::Error::other)?;
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    crate::say(&format!(
        "interrupted {} wrong {} rounds {}",
        count(&seen.interrupted),
        count(&seen.wrong),
        count(&seen.rounds)
    ))
}

fn start(
    seen: &Arc<Seen>,
    goes_on: impl Fn(&Seen) -> bool + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let seen = Arc::clone(seen);
    thread::Builder::new().spawn(move || {
        while goes_on(&seen) {
            seen.rounds.fetch_add(1, Ordering::Relaxed);
        }
    })
}

fn until_stopped(each: impl Fn(&Seen)) -> impl Fn(&Seen) -> bool {
    move |seen| {
        each(seen);
        !seen.stop.load(Ordering::Relaxed)
    }
}

impl Seen {
    fn note(&self, is_interrupted: bool, is_right: bool) {
        self.interrupted.fetch_add(u64::from(is_interrupted), Ordering::Relaxed);
        self.wrong.fetch_add(u64::from(!is_interrupted && !is_right), Ordering::Relaxed);
    }
}

/// `epoll_wait` ends with `EINTR` after a stop, where nobody makes it again.
fn waits_for_events(seen: &Seen) {
    let (Ok(poll), Ok(event)) =
        (epoll::create(epoll::CreateFlags::CLOEXEC), eventfd(0, EventfdFlags::CLOEXEC))
    else {
        return seen.note(false, false);
    };
    let added = epoll::add(&poll, &event, epoll::EventData::new_u64(1), epoll::EventFlags::IN);
    let mut events =
        [epoll::Event { flags: epoll::EventFlags::IN, data: epoll::EventData::new_u64(0) }];
    for _ in 0..20 {
        match epoll::wait(&poll, &mut events, Some(&MILLISECOND)) {
            Ok(count) => seen.note(false, count == 0 && added.is_ok()),
            Err(error) => seen.note(error == Errno::INTR, false),
        }
    }
}

fn sleeps(seen: &Seen) {
    use rustix::thread::{NanosleepRelativeResult, nanosleep};
    match nanosleep(&MILLISECOND) {
        NanosleepRelativeResult::Ok => {}
        NanosleepRelativeResult::Interrupted(_) => seen.note(true, false),
        NanosleepRelativeResult::Err(_) => seen.note(false, false),
    }
}

fn computes(seen: &Seen) {
    let sum = (0..ROUNDS).fold(0, |sum, number| black_box(sum + number));
    seen.note(false, sum == ROUNDS * (ROUNDS - 1) / 2);
    thread::yield_now();
}

fn connected() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
        // Linux doesn't make reads with a timeout again.
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    }
    Ok((near, far))
}

fn asks(seen: &Seen, mut stream: &TcpStream) {
    let question = seen.rounds.load(Ordering::Relaxed).to_le_bytes();
    let mut answer = [0; 8];
    let asked = stream.write_all(&question);
    match stream.read(&mut answer) {
        Ok(read) => seen.note(false, asked.is_ok() && read == 8 && answer == question),
        Err(error) => seen.note(error.kind() == ErrorKind::Interrupted, false),
    }
}

fn answers(seen: &Seen, mut stream: &TcpStream) -> bool {
    let mut question = [0; 8];
    match stream.read(&mut question) {
        Ok(0) => return false,
        Ok(read) => seen.note(false, read == 8 && stream.write_all(&question).is_ok()),
        Err(error) => seen.note(error.kind() == ErrorKind::Interrupted, false),
    }
    true
}

async fn ticks(seen: &Seen) {
    while !seen.stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let sum = tokio::spawn(async { black_box(20) + black_box(22) }).await;
        seen.note(false, sum.is_ok_and(|sum| sum == 42));
        seen.rounds.fetch_add(1, Ordering::Relaxed);
    }
}
