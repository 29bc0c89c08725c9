//! `.detect_blocking("name")` and `holdup::watch`.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;

use crate::session::{Session, assert_within, block, names, on_one_thread};

#[test]
fn a_slow_poll_is_reported_with_everything_that_is_known() {
    let session = Session::start();
    let line = line!() + 2;
    let outside = Instant::now();
    let future = async { block(30) }.detect_blocking("it::slow");
    let inside = on_one_thread(async { tokio::spawn(future).await.unwrap() });
    let outside = outside.elapsed();

    let polls = session.finish();
    assert_eq!(names(&polls), ["it::slow"]);
    let poll = &polls[0];
    assert_eq!(poll.scope, "holdup");
    assert_eq!(poll.span.name, "poll it::slow");
    assert_within(poll.own_ns(), inside, outside);
    assert_within(poll.duration_ns(), inside, outside);
    assert_eq!(poll.integer("holdup.threshold_ns"), Some(10_000_000));
    assert!(poll.text("code.file.path").unwrap().ends_with("it/wrapper.rs"));
    assert_eq!(poll.integer("code.line.number"), Some(u64::from(line)));
    assert!(poll.integer("holdup.task.id").unwrap() > 0);
    assert_eq!(poll.integer("holdup.poll.dropped"), Some(0));
    assert_eq!(poll.integer("holdup.worker"), Some(0), "a runtime of one thread is one worker");
    #[cfg(target_os = "linux")]
    assert!(poll.integer("thread.id").unwrap() > 0);
    assert_eq!(
        poll.text("thread.name").as_deref(),
        std::thread::current().name().map(|name| { &name[..name.len().min(31)] })
    );
    assert!(poll.span.parent_span_id.is_empty() && poll.span.links.is_empty());
    assert_eq!((poll.span.trace_id.len(), poll.span.span_id.len()), (16, 8));
    assert_eq!(poll.resource("service.name").as_deref(), Some("it"));
    assert_eq!(poll.resource("telemetry.sdk.language").as_deref(), Some("rust"));
    for key in ["service.instance.id", "process.pid", "host.name"] {
        assert!(poll.has_resource(key), "{key} is missing");
    }
}

#[test]
fn nested_polls_share_the_time_without_counting_it_twice() {
    let session = Session::start();
    let (inner, outer, all) = on_one_thread(async {
        let start = Instant::now();
        let (inner, outer) = async {
            let inner = async { block(40) }.detect_blocking("it::inner").await;
            (inner, block(20))
        }
        .detect_blocking("it::outer")
        .await;
        (inner, outer, start.elapsed())
    });
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::inner", "it::outer"]);
    let find = |name| polls.iter().find(|poll| poll.function() == name).unwrap();
    assert_within(find("it::inner").own_ns(), inner, all - outer);
    assert_within(find("it::outer").own_ns(), outer, all - inner);
    assert_within(find("it::outer").duration_ns(), inner + outer, all);
}

#[test]
fn an_outer_poll_that_only_awaits_a_blocking_one_is_not_blamed() {
    let session = Session::start();
    let inner = async { block(30) }.detect_blocking("it::culprit");
    on_one_thread(inner.detect_blocking("it::caller"));
    assert_eq!(names(&session.finish()), ["it::culprit"]);
}

#[test]
fn a_poll_that_panics_is_reported_and_leaves_no_trace() {
    let session = Session::start();
    let panics = async {
        async {
            block(30);
            panic!("on purpose");
        }
        .detect_blocking("it::panics")
        .await;
    };
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        on_one_thread(panics.detect_blocking("it::around"));
    }));
    assert!(panicked.is_err());
    let after = on_one_thread(async { block(30) }.detect_blocking("it::after"));
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::after", "it::panics"]);
    let last = polls.iter().find(|poll| poll.function() == "it::after").unwrap();
    assert_within(last.own_ns(), after, after + Duration::from_millis(10));
}

#[test]
fn a_future_that_is_cancelled_keeps_what_its_polls_cost() {
    let session = Session::start();
    on_one_thread(async {
        let future = async {
            block(30);
            std::future::pending::<()>().await;
        };
        let waited =
            tokio::time::timeout(Duration::from_millis(1), future.detect_blocking("it::cancelled"));
        assert!(waited.await.is_err());
    });
    assert_eq!(names(&session.finish()), ["it::cancelled"]);
}

#[test]
fn a_threshold_of_its_own_is_for_its_site_alone() {
    static PATIENT: holdup::Site =
        holdup::Site::new("it::patient", file!(), line!()).threshold(Duration::from_secs(5));
    static KEEN: holdup::Site =
        holdup::Site::new("it::keen", file!(), line!()).threshold(Duration::from_millis(2));
    let session = Session::start();
    on_one_thread(async {
        for _ in 0..3 {
            holdup::watch(&PATIENT, async { block(20) }).await;
            holdup::watch(&KEEN, async { block(4) }).await;
        }
    });
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::keen"; 3]);
    assert_eq!(polls[0].integer("holdup.threshold_ns"), Some(2_000_000));
}

#[test]
fn one_thread_runs_many_tasks_and_each_poll_counts_for_its_own() {
    let session = Session::start();
    on_one_thread(async {
        let quick = tokio::spawn(
            async {
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
            }
            .detect_blocking("it::quick"),
        );
        let slow = tokio::spawn(
            async {
                for _ in 0..3 {
                    block(15);
                    tokio::task::yield_now().await;
                }
            }
            .detect_blocking("it::slow"),
        );
        quick.await.unwrap();
        slow.await.unwrap();
    });
    assert_eq!(names(&session.finish()), ["it::slow"; 3]);
}
