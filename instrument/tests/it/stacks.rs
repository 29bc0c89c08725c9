//! Poll spans with the stack of what held them up.

use std::hint::black_box;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;

use crate::receiver::Poll;
use crate::session::{Session, block, on_one_thread};

#[inline(never)]
fn computes(time: Duration) -> u64 {
    let (start, mut x) = (Instant::now(), 1_u64);
    while start.elapsed() < time {
        for _ in 0..10_000 {
            x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    x
}

fn find(polls: &[Poll], function: &str) -> [String; 4] {
    let poll = polls.iter().find(|poll| poll.function() == function).unwrap();
    let names =
        ["code.stacktrace", "holdup.blame.function", "holdup.blame.crate", "holdup.stack.id"];
    names.map(|name| poll.text(name).unwrap_or_default())
}

#[test]
fn the_crate_that_blocks_is_to_blame_and_not_its_caller() {
    let session = Session::start();
    let ledger = ledger::Ledger::open().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let posts = async move {
        for _ in 0..4 {
            ledger.post("rent", -120_000).unwrap();
        }
    };
    let task = runtime.spawn(posts.detect_blocking("it::posts"));
    runtime.block_on(task).unwrap();
    let [stack, function, blamed, id] = find(&session.finish(), "it::posts");
    assert_eq!(blamed, "ledger", "{stack}");
    assert!(function.starts_with("ledger::disk::"), "{function} in {stack}");
    assert!(stack.contains("ledger::journal::append at demo/ledger/src/journal.rs:"), "{stack}");
    assert!(id.len() == 16 && id != "0000000000000000", "{id}");
}

#[test]
fn what_computes_is_to_blame_as_is_what_sleeps() {
    let session = Session::start();
    let computing = async {
        computes(Duration::from_millis(300));
    };
    on_one_thread(computing.detect_blocking("it::computing"));
    let sleeping = async {
        block(300);
    };
    on_one_thread(sleeping.detect_blocking("it::sleeping"));
    let polls = session.finish();
    let [stack, function, blamed, first] = find(&polls, "it::computing");
    assert_eq!((function.as_str(), blamed.as_str()), ("it::stacks::computes", "it"), "{stack}");
    let [stack, function, blamed, second] = find(&polls, "it::sleeping");
    assert_eq!((function.as_str(), blamed.as_str()), ("it::session::block", "it"), "{stack}");
    assert!(stack.lines().next().unwrap().contains("nanosleep"), "{stack}");
    assert_ne!(first, second);
}
