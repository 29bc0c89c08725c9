//! What Holdup keeps when nobody takes it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;

use crate::churn::resident_bytes;
use crate::session;

const THREADS: usize = 16;
const POLLS: usize = 400;
/// Calls within calls, for stacks that are long.
const DEPTH: usize = 60;
/// What all that is kept may take. The threads have their own.
const GROWTH_BYTES_MAX: u64 = (16 << 20) + THREADS as u64 * (64 << 10);

#[inline(never)]
fn deep(left: usize, time: Duration) -> usize {
    if left > 0 {
        return std::hint::black_box(deep(left - 1, time)) + 1;
    }
    thread::sleep(time);
    0
}

fn polls(count: usize) {
    let poll = || std::future::poll_fn(|_| Poll::Ready(deep(DEPTH, Duration::from_millis(3))));
    for _ in 0..count {
        let future = pin!(poll().detect_blocking("it::flood"));
        assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}

#[test]
fn a_flood_of_slow_polls_with_no_collector_takes_no_more_than_its_bound() {
    let _alone = session::alone();
    // It takes connections, and nothing ever answers.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let guard = holdup::builder()
        .endpoint(format!("http://{}", dead.local_addr().unwrap()))
        .threshold(Duration::from_millis(1))
        .reports_per_minute(1_000_000)
        .flush_timeout(Duration::ZERO)
        .install()
        .unwrap();
    static NAMED: AtomicBool = AtomicBool::new(false);
    static RELEASED: AtomicBool = AtomicBool::new(false);
    // One that hangs keeps what it has been given.
    let hangs = holdup::on_slow_poll(|finding| {
        let knew = NAMED.fetch_or(!finding.stack.is_empty(), Ordering::Relaxed);
        while knew && !RELEASED.load(Ordering::Relaxed) {
            thread::park_timeout(Duration::from_millis(10));
        }
    });
    // The names of the stack's frames are found once: their files are what they are.
    let begun = Instant::now();
    while !NAMED.load(Ordering::Relaxed) && begun.elapsed() < Duration::from_secs(60) {
        thread::scope(|scope| drop(scope.spawn(|| polls(20))));
    }
    let before = resident_bytes();
    thread::scope(|scope| {
        (0..THREADS).for_each(|_| drop(scope.spawn(|| polls(POLLS))));
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while hangs.lost() == 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let grown = resident_bytes().saturating_sub(before);
    RELEASED.store(true, Ordering::Relaxed);
    drop(guard);
    assert!(hangs.lost() > 0, "there was more than could be kept");
    assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more, {GROWTH_BYTES_MAX} at most");
    println!("{grown} bytes more after {} slow polls", THREADS * POLLS);
}
