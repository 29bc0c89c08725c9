//! `fork` without `exec`, at any instant: the child has one thread, and locks that nobody unlocks.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use holdup::DetectBlocking;

use crate::fork_ffi::{ended, fork};
use crate::receiver::Receiver;
use crate::session::{alone, block, eventually, on_one_thread};

#[test]
fn a_child_goes_on_without_its_parents_threads() {
    let _alone = alone();
    let receiver = Receiver::start();
    let builder = holdup::builder().endpoint(&receiver.url).threshold(Duration::from_nanos(1));
    let guard = RefCell::new(Some(builder.report_descheduled(true).install().unwrap()));
    let over = AtomicBool::new(false);
    let polls = || {
        while !over.load(Ordering::Relaxed) {
            on_one_thread(async {}.detect_blocking("it::parent"));
        }
    };
    let in_child = || {
        // Slow polls, on this thread and on one that Holdup doesn't know, and the end.
        on_one_thread(async { block(2) }.detect_blocking("it::child"));
        let other = thread::spawn(|| on_one_thread(async { 7 }.detect_blocking("it::other")));
        assert_eq!(other.join().unwrap(), 7);
        for _ in 0..5_000 {
            on_one_thread(std::future::ready(()).detect_blocking("it::many"));
        }
        drop(guard.borrow_mut().take());
    };
    thread::scope(|scope| {
        scope.spawn(polls);
        scope.spawn(polls);
        on_one_thread(async {}.detect_blocking("it::first"));
        for _ in 0..12 {
            let child = fork(in_child);
            let mut status = None;
            eventually("the child ends", || {
                status = ended(child);
                status.is_some()
            });
            assert_eq!(status, Some(0));
        }
        over.store(true, Ordering::Relaxed);
    });
    drop(guard.take());
    let found = receiver.polls();
    assert!(found.iter().any(|poll| poll.function() == "it::parent"), "the parent goes on");
    assert!(!found.iter().any(|poll| poll.function() == "it::child"));
}
