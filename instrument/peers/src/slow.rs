//! `holdup-peers slow`: what the end of a slow poll costs its own thread, in nanoseconds, by the
//! clock around it: medians after a poll that computed, and after one that slept.

use std::cell::Cell;
use std::hint::spin_loop;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;

use crate::Outcome;

const POLLS: usize = 200;
/// Each poll takes twice the threshold.
const THRESHOLD: Duration = Duration::from_millis(10);

/// Notes when it returns.
struct Leaf {
    sleeps: bool,
    time: Duration,
    returned: Cell<Instant>,
}

impl Future for &Leaf {
    type Output = ();

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let began = Instant::now();
        if self.sleeps {
            thread::sleep(self.time);
        }
        while began.elapsed() < self.time {
            spin_loop();
        }
        self.returned.set(Instant::now());
        Poll::Pending
    }
}

/// Prints what the ends of slow polls cost over those of polls just under the threshold, which did
/// the same: after a sleep nothing is in the CPU's caches, whether or not the poll was slow.
pub(crate) fn run() -> Outcome<()> {
    let builder = holdup::builder().endpoint("http://127.0.0.1:9").threshold(THRESHOLD);
    let _guard = builder.install()?;
    let under = THRESHOLD * 4 / 5;
    let cost = |sleeps| median(sleeps, THRESHOLD * 2) - median(sleeps, under);
    println!("{:.0} {:.0}", cost(false), cost(true));
    std::process::exit(0);
}

fn median(sleeps: bool, time: Duration) -> f64 {
    let leaf = Leaf { sleeps, time, returned: Cell::new(Instant::now()) };
    let mut watched = Box::pin((&leaf).detect_blocking("slow::leaf"));
    let mut context = Context::from_waker(Waker::noop());
    let mut ends = (0..POLLS)
        .map(|_| {
            let _pending = watched.as_mut().poll(&mut context);
            leaf.returned.get().elapsed().as_secs_f64() * 1e9
        })
        .collect::<Vec<_>>();
    ends.sort_by(f64::total_cmp);
    ends[POLLS / 2]
}
