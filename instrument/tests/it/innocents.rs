//! What naive tools blame, and Holdup must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use holdup::DetectBlocking;
use tokio::task::{spawn_blocking, yield_now};

use crate::session::{Session, block, names, on_one_thread};

#[tracing::instrument]
fn synchronous_work() {
    block(60);
}

#[test]
fn the_innocent_are_never_reported() {
    use tracing_subscriber::prelude::*;

    const THRESHOLD: Duration = Duration::from_millis(100);
    let session = Session::with(|builder| builder.threshold(THRESHOLD));
    let subscriber = tracing_subscriber::registry().with(holdup::layer());
    let _default = tracing::subscriber::set_default(subscriber);
    // A machine under load may give a thread no CPU for longer than the threshold. That poll did
    // hold its thread, so it is not an error to report it.
    let delayed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&delayed);
    on_one_thread(async move {
        let waits = tokio::time::sleep(Duration::from_millis(600)).detect_blocking("it::waits");
        let yields = async move {
            for _ in 0..30 {
                if block(5) > THRESHOLD - Duration::from_millis(5) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                yield_now().await;
            }
        }
        .detect_blocking("it::yields");
        let isolates = async {
            spawn_blocking(|| block(250)).await.unwrap();
        };
        let starved = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        .detect_blocking("it::starved");
        let blocks = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            block(200);
        };
        let tasks = [
            tokio::spawn(waits),
            tokio::spawn(yields),
            tokio::spawn(isolates.detect_blocking("it::isolates")),
            tokio::spawn(starved),
            tokio::spawn(blocks.detect_blocking("it::culprit")),
        ];
        for task in tasks {
            task.await.unwrap();
        }
    });
    let mut found = names(&session.finish());
    let yields = found.iter().filter(|name| *name == "it::yields").count();
    assert!(yields <= delayed.load(Ordering::Relaxed), "{found:?}");
    found.retain(|name| name != "it::yields");
    assert_eq!(found, ["it::culprit"]);
}

#[test]
fn spans_outside_of_polls_are_no_polls() {
    use tracing_subscriber::prelude::*;

    let session = Session::start();
    let subscriber = tracing_subscriber::registry().with(holdup::layer());
    let dispatch = tracing::Dispatch::new(subscriber);
    tracing::dispatcher::with_default(&dispatch, || {
        synchronous_work();
        // The span outlives its only entry, as it does when it has children elsewhere.
        let outlives = tracing::info_span!("outlives");
        outlives.in_scope(|| block(60));
        tracing::info_span!("next").in_scope(|| ());
        drop(outlives);
    });
    let in_closure = dispatch.clone();
    on_one_thread(async {
        let closure = move || tracing::dispatcher::with_default(&in_closure, synchronous_work);
        spawn_blocking(closure).await.unwrap();
    });
    assert_eq!(names(&session.finish()), [""; 0]);
}
