//! Polls that have not returned are reported while they last.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use holdup::DetectBlocking;

use crate::receiver::Poll;
use crate::session::{Session, assert_within, block, eventually, names, on_one_thread};

fn id(poll: &Poll) -> (&[u8], &[u8], u64) {
    (&poll.span.trace_id, &poll.span.span_id, poll.span.start_time_unix_nano)
}

#[test]
fn a_poll_is_reported_while_it_lasts_and_its_end_under_the_same_id() {
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(100)));
    on_one_thread(async { block(2_500) }.detect_blocking("it::lasts"));
    let stalls = session.receiver.stalls();
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::lasts"]);
    assert!(stalls.len() >= 3, "reports are sent when they are made: {}", stalls.len());
    assert!(stalls.iter().all(|stall| id(stall) == id(&polls[0])), "{stalls:?} {polls:?}");
    let passed = |stall: &Poll| (stall.own_ns() / 100_000_000).ilog2();
    let further = |pair: &[Poll]| passed(&pair[1]) > passed(&pair[0]);
    assert!(stalls.windows(2).all(further), "each has passed one more doubling: {stalls:?}");
    assert!(polls[0].own_ns() > stalls[stalls.len() - 1].own_ns());
    assert_within(stalls[0].own_ns(), Duration::from_millis(100), Duration::from_millis(450));
    assert_eq!(stalls[0].text("holdup.cause").as_deref(), Some("sleep"));
    assert_eq!(polls[0].text("holdup.cause").as_deref(), Some("sleep"));
}

#[test]
fn a_runtime_that_never_comes_back_is_reported() {
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(50)));
    let (never, release) = channel::<()>();
    let deadlocked = thread::spawn(move || {
        on_one_thread(async move { release.recv().is_err() }.detect_blocking("it::deadlocked"))
    });
    let receiver = &session.receiver;
    eventually("it is reported again and again", || receiver.stalls().len() >= 3);
    let stalls = receiver.stalls();
    assert!(stalls.iter().all(|stall| stall.function() == "it::deadlocked"));
    assert_eq!(stalls[2].text("holdup.cause").as_deref(), Some("lock"));
    assert!(stalls[2].flag("holdup.runtime.stalled"), "its only worker is blocked");
    assert_eq!(names(&receiver.polls()), [""; 0]);
    drop(never);
    assert!(deadlocked.join().unwrap());
    assert_eq!(names(&session.finish()), ["it::deadlocked"], "its end is told");
}
