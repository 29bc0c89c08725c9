//! A poll that is timed allocates nothing, slow or not.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use allocation_counter::measure;
use holdup::DetectBlocking;
use tracing::Instrument;
use tracing_subscriber::prelude::*;

/// Polls until the future is done and returns the allocations of all polls but the first, in which
/// the thread gets its slot, and which is not slow.
fn allocations<F: Future<Output = ()>>(future: F) -> u64 {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    measure(|| while future.as_mut().poll(&mut context).is_pending() {}).count_total
}

async fn polls(count: u32, each: Duration) {
    for poll in 0..count {
        if poll > 0 && !each.is_zero() {
            std::thread::sleep(each);
        }
        let mut was_pending = false;
        std::future::poll_fn(|_| {
            let pending = !std::mem::replace(&mut was_pending, true);
            if pending { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
        })
        .await;
    }
}

#[test]
fn the_polling_path_allocates_nothing() {
    // Nobody listens there. The records stay in the queue and the batch, and are counted.
    let builder = holdup::builder().endpoint("http://127.0.0.1:9");
    let builder = builder.threshold(Duration::from_millis(1)).flush_timeout(Duration::ZERO);
    let guard = builder.install().unwrap();
    let slow = Duration::from_millis(2);
    assert_eq!(allocations(polls(10_000, Duration::ZERO).detect_blocking("fast")), 0);
    assert_eq!(allocations(polls(50, slow).detect_blocking("slow")), 0);

    assert_eq!(allocations(polls(10_000, Duration::ZERO).timed("timed")), 0);
    assert_eq!(allocations(polls(50, slow).timed("timed and slow")), 0);

    assert_ne!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 0);

    let subscriber = tracing_subscriber::registry().with(holdup::layer());
    let _default = tracing::subscriber::set_default(subscriber);
    let span = || tracing::info_span!("span");
    assert_eq!(allocations(polls(10_000, Duration::ZERO).instrument(span())), 0);
    assert_eq!(allocations(polls(50, slow).instrument(span())), 0);
    drop(guard);
}
