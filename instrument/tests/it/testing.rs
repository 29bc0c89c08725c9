//! Tests that fail when they block, beside everything else that a machine may do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use holdup::DetectBlocking;
use holdup::testing::{Guard, Limits};

use crate::cpu::{Load, compute};
use crate::session::{alone, block, on_one_thread};

#[holdup::test(max_poll = "50ms")]
async fn a_test_that_awaits_passes() {
    tokio::time::sleep(Duration::from_millis(80)).await;
    compute(Duration::from_millis(5));
}

#[holdup::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_of_many_threads_gives_its_result() -> Result<(), std::io::Error> {
    let task = tokio::spawn(async { holdup::isolate(|| block(80)).await.unwrap() });
    assert!(task.await? >= Duration::from_millis(79));
    Ok(())
}

#[holdup::test(max_poll = "50ms")]
#[should_panic(expected = "std::thread::sleep puts the whole worker to sleep")]
async fn a_test_that_blocks_fails_and_says_what_to_write() {
    block(120);
}

#[holdup::test(max_poll = "20ms", flavor = "multi_thread")]
#[should_panic(expected = "it::testing::blocks_in_a_task")]
async fn what_a_test_spawns_counts() {
    tokio::spawn(blocks_in_a_task()).await.unwrap();
}

#[holdup::detect_blocking]
async fn blocks_in_a_task() {
    block(80);
}

#[holdup::test(max_poll = "20ms", allow = "it::testing::blocks_in_a_task")]
async fn what_is_allowed_passes() {
    blocks_in_a_task().await;
    holdup::allow_blocking("on purpose", || block(60));
}

#[holdup::test]
#[should_panic(expected = "its own words")]
async fn a_test_s_own_panic_goes_first() {
    block(120);
    panic!("its own words");
}

#[test]
fn beside_eight_spinners_innocents_pass_and_a_blocker_fails() {
    let _alone = alone();
    let _load = Load::start(8);
    for _ in 0..3 {
        let guard = Guard::start(Limits::new(Duration::from_millis(50)));
        let innocent = async {
            for _ in 0..4 {
                // On a CPU that others want as well this takes several times as long.
                compute(Duration::from_millis(15));
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(60)).await;
        };
        on_one_thread(innocent.detect_blocking("it::innocent beside spinners"));
        let blocked = guard.finish();
        assert!(blocked.is_empty(), "{blocked:?}");
    }
    let guard = Guard::start(Limits::new(Duration::from_millis(50)));
    on_one_thread(async { block(150) }.detect_blocking("it::blocker beside spinners"));
    let failed = catch_unwind(AssertUnwindSafe(|| guard.check())).unwrap_err();
    let text = failed.downcast_ref::<String>().unwrap();
    for part in ["it::blocker beside spinners", "tokio::time::sleep", "docs/advice.md#thread-sleep"]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(text.contains("it::session::block"), "no stack in {text}");
}

#[test]
fn a_guard_that_is_dropped_fails_too_and_allows_what_its_limits_say() {
    let _alone = alone();
    let blocks = || on_one_thread(async { block(60) }.detect_blocking("it::guarded"));
    let failed = catch_unwind(|| {
        let _guard = Guard::start(Limits::new(Duration::from_millis(20)));
        blocks();
    });
    assert!(failed.is_err());
    let limits = Limits::new(Duration::from_millis(20)).allow("it::guarded");
    let guard = Guard::start(limits);
    blocks();
    guard.check();
}

#[test]
fn the_self_test_tells_whether_detection_is_armed() {
    let _alone = alone();
    let off = holdup::self_test();
    assert!(!off.is_armed() && !off.installed, "{off}");
    let guard = Guard::start(Limits::new(Duration::from_millis(20)));
    let on = holdup::self_test();
    assert!(on.is_armed() && on.stack && on.cause && on.advice, "{on}");
    assert!(guard.finish().is_empty(), "nobody else is told");
    let guard = Guard::start(Limits::new(Duration::from_secs(3)));
    assert!(!holdup::self_test().installed, "its threshold is too long for a test");
    guard.check();
}
