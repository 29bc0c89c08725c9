//! `holdup::layer()` on spans of `tracing`.

use std::time::{Duration, Instant};

use holdup::DetectBlocking;
use tracing::Instrument;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::prelude::*;

use crate::session::{Session, assert_within, block, names, on_one_thread};

fn with_layer() -> DefaultGuard {
    tracing::subscriber::set_default(tracing_subscriber::registry().with(holdup::layer()))
}

#[tracing::instrument]
async fn blocks_at_once() {
    block(20);
}

#[tracing::instrument]
async fn blocks_twice() {
    block(20);
    tokio::time::sleep(Duration::from_millis(30)).await;
    block(20);
}

#[tracing::instrument]
async fn blocks_and_waits_on() {
    block(20);
    std::future::pending::<()>().await;
}

#[tracing::instrument]
async fn only_awaits() {
    blocks_twice().await;
    tokio::time::sleep(Duration::from_millis(60)).await;
}

#[tracing::instrument]
fn synchronous(milliseconds: u64) -> Duration {
    block(milliseconds)
}

#[tracing::instrument]
async fn calls_synchronous() -> Duration {
    synchronous(30)
}

#[tracing::instrument]
async fn calls_many() {
    for _ in 0..4 {
        synchronous(6);
    }
}

#[test]
fn each_instrumented_function_is_covered_with_no_other_change() {
    let session = Session::start();
    let _default = with_layer();
    on_one_thread(async {
        blocks_at_once().await;
        tokio::spawn(only_awaits()).await.unwrap();
        async { block(20) }.instrument(tracing::info_span!("by hand")).await;
    });
    let polls = session.finish();
    let all = [
        "it::layer::blocks_at_once",
        "it::layer::blocks_twice",
        "it::layer::blocks_twice",
        "it::layer::by hand",
    ];
    assert_eq!(names(&polls), all);
    assert!(polls[0].text("code.file.path").unwrap().ends_with("it/layer.rs"));
    assert!(polls[0].integer("code.line.number").unwrap() > 0);
}

#[test]
fn workers_and_the_root_future_are_covered() {
    let session = Session::start();
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(holdup::layer()));
    let of_workers = dispatch.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || {
            std::mem::forget(tracing::dispatcher::set_default(&of_workers));
        })
        .build()
        .unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        runtime.block_on(async {
            tokio::spawn(blocks_at_once()).await.unwrap();
            blocks_twice().await;
        });
    });
    drop(runtime);
    let all = ["it::layer::blocks_at_once", "it::layer::blocks_twice", "it::layer::blocks_twice"];
    assert_eq!(names(&session.finish()), all);
}

#[test]
fn a_slow_poll_is_sent_while_the_task_waits_and_the_thread_does_nothing() {
    let session = Session::start();
    let receiver = &session.receiver;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _default = with_layer();
            on_one_thread(async {
                let task = tokio::spawn(blocks_and_waits_on());
                ended.await.unwrap();
                task.abort();
            });
        });
        crate::session::eventually("the poll arrives", || !receiver.polls().is_empty());
        end.send(()).unwrap();
    });
    assert_eq!(names(&session.finish()), ["it::layer::blocks_and_waits_on"]);
}

#[test]
fn the_time_of_a_synchronous_function_belongs_to_the_poll_around_it() {
    let session = Session::start();
    let _default = with_layer();
    let outside = Instant::now();
    let inside = on_one_thread(calls_synchronous());
    let outside = outside.elapsed();
    on_one_thread(calls_many());
    on_one_thread(async { synchronous(20) }.detect_blocking("it::wrapped"));
    let polls = session.finish();
    let all = ["it::layer::calls_many", "it::layer::calls_synchronous", "it::wrapped"];
    assert_eq!(names(&polls), all);
    let poll = polls.iter().find(|poll| poll.function().ends_with("calls_synchronous")).unwrap();
    assert_within(poll.own_ns(), inside, outside);
}

#[holdup::detect_blocking]
#[tracing::instrument]
async fn attribute_first() {
    block(20);
}

#[tracing::instrument]
#[holdup::detect_blocking]
async fn attribute_last() {
    block(20);
}

#[test]
fn attribute_and_layer_on_one_function_count_once() {
    let session = Session::start();
    let _default = with_layer();
    on_one_thread(async {
        attribute_first().await;
        attribute_last().await;
    });
    let all = ["it::layer::attribute_first", "it::layer::attribute_last"];
    assert_eq!(names(&session.finish()), all);
}

#[test]
fn a_span_entered_across_an_await_does_no_harm() {
    let session = Session::start();
    let _default = with_layer();
    on_one_thread(async {
        let careless = async {
            let span = tracing::info_span!("careless");
            let _entered = span.enter();
            tokio::time::sleep(Duration::from_millis(60)).await;
        };
        // With a poll around it, and with none.
        careless.instrument(tracing::info_span!("around")).await;
        let careless = async {
            let span = tracing::info_span!("careless");
            let _entered = span.enter();
            tokio::time::sleep(Duration::from_millis(60)).await;
        };
        let local = tokio::task::LocalSet::new();
        local.run_until(async { tokio::task::spawn_local(careless).await.unwrap() }).await;
        blocks_at_once().await;
    });
    assert_eq!(names(&session.finish()), ["it::layer::blocks_at_once"]);
}

#[test]
fn a_span_may_be_entered_again_within_itself_and_left_elsewhere() {
    let session = Session::start();
    let _default = with_layer();
    let span = tracing::info_span!("twice");
    on_one_thread(
        async {
            let again = tracing::Span::current();
            again.in_scope(|| block(2));
            block(20);
        }
        .instrument(span.clone()),
    );
    // Left on a thread that it was not entered on.
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    let id = span.id().unwrap();
    dispatch.enter(&id);
    let there = dispatch.clone();
    std::thread::spawn(move || there.exit(&id)).join().unwrap();
    on_one_thread(blocks_at_once());
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::layer::blocks_at_once", "it::layer::twice"]);
}

#[test]
fn nesting_deeper_than_the_stack_is_part_of_the_deepest() {
    fn nest(depth: u32) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        let span = tracing::info_span!("level");
        Box::pin(
            async move {
                if depth == 0 {
                    block(20);
                } else {
                    nest(depth - 1).await;
                }
            }
            .instrument(span),
        )
    }
    let session = Session::start();
    let _default = with_layer();
    on_one_thread(nest(200));
    on_one_thread(blocks_at_once());
    let all = ["it::layer::blocks_at_once", "it::layer::level"];
    assert_eq!(names(&session.finish()), all);
}
