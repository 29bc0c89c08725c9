//! Workers that are held by what nobody annotated.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::session::{Session, block, eventually};

fn many(name: &str) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).name(name).enable_all();
    holdup::watch_runtime(&mut builder).build().unwrap()
}

fn one(name: &str) -> Runtime {
    let mut builder = Builder::new_current_thread();
    holdup::watch_runtime(builder.name(name).enable_all()).build().unwrap()
}

async fn until_it_has_parked() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[test]
fn a_long_poll_without_annotation_is_found_with_its_cause() {
    for (runtime, name) in
        [(many("it-held"), "worker of it-held"), (one("it-one"), "worker of it-one")]
    {
        let session = Session::start();
        let took = runtime.block_on(async {
            until_it_has_parked().await;
            let took = tokio::spawn(async { block(400) }).await.unwrap();
            until_it_has_parked().await;
            took
        });
        let receiver = session.end();
        let (stalls, polls) = (receiver.stalls(), receiver.polls());
        assert!(!stalls.is_empty(), "it is reported while it lasts");
        assert_eq!(polls.len(), 1, "{polls:?}");
        let poll = &polls[0];
        assert_eq!(poll.function(), name);
        assert!(poll.flag("holdup.sampled"));
        assert_eq!(poll.text("holdup.cause").as_deref(), Some("sleep"));
        let measured = Duration::from_nanos(poll.duration_ns());
        assert!(measured > took / 2 && measured < took + Duration::from_millis(50), "{measured:?}");
    }
}

#[test]
fn many_short_polls_and_what_may_block_are_none() {
    let session = Session::start();
    let runtime = many("it-innocent");
    runtime.block_on(async {
        until_it_has_parked().await;
        let short = async {
            for _ in 0..400 {
                std::thread::sleep(Duration::from_millis(1));
                tokio::task::yield_now().await;
            }
        };
        tokio::spawn(short).await.unwrap();
        tokio::task::spawn_blocking(|| block(300)).await.unwrap();
        let in_place = tokio::spawn(async { tokio::task::block_in_place(|| block(300)) });
        in_place.await.unwrap();
        until_it_has_parked().await;
    });
    drop(runtime);
    let runtime = one("it-innocent");
    runtime.block_on(async {
        until_it_has_parked().await;
        for _ in 0..400 {
            std::thread::sleep(Duration::from_millis(1));
            tokio::task::yield_now().await;
        }
        until_it_has_parked().await;
    });
    let polls = session.finish();
    assert!(polls.is_empty(), "{polls:?}");
}

#[test]
fn a_worker_that_never_comes_back_is_reported() {
    let session = Session::start();
    let runtime = many("it-stuck");
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    runtime.block_on(until_it_has_parked());
    runtime.spawn(async move { wait.recv() });
    let receiver = &session.receiver;
    eventually("a report", || {
        receiver.stalls().iter().any(|p| p.function() == "worker of it-stuck")
    });
    drop(go_on);
    drop(runtime);
    drop(session);
}
