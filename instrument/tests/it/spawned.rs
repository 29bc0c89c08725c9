//! Tasks that nobody annotated, which only `--cfg tokio_unstable` shows.

use std::time::Duration;

use holdup::DetectBlocking;
use tokio::runtime::Builder;

use crate::session::{Session, assert_within, block};

fn here() -> u32 {
    line!()
}

#[test]
fn each_task_is_timed_under_the_place_where_it_was_spawned() {
    let session = Session::start();
    let mut took = Duration::ZERO;
    let mut builder = Builder::new_multi_thread();
    let runtime = holdup::watch_runtime(builder.worker_threads(2).enable_all()).build().unwrap();
    runtime.block_on(async {
        let slow = tokio::spawn(async { block(30) });
        took = slow.await.unwrap();
        // Innocents: one awaits, one is many short polls, one blocks where that is allowed.
        tokio::spawn(tokio::time::sleep(Duration::from_millis(40))).await.unwrap();
        let yields = async {
            for _ in 0..40 {
                std::thread::sleep(Duration::from_millis(1));
                tokio::task::yield_now().await;
            }
        };
        tokio::spawn(yields).await.unwrap();
        tokio::task::spawn_blocking(|| block(30)).await.unwrap();
    });
    let polls = session.finish();
    assert_eq!(polls.len(), 1, "{polls:?}");
    let (name, place) = (polls[0].function(), polls[0].text("holdup.task.spawned_at").unwrap());
    assert!(name.starts_with("task spawned at ") && name.contains("spawned.rs:"), "{name}");
    assert!(name.ends_with(&place), "{place}");
    assert_within(polls[0].own_ns(), took, took + Duration::from_millis(5));
    assert!(here() < polls[0].integer("code.line.number").unwrap().try_into().unwrap());
}

#[test]
fn what_is_annotated_in_a_task_has_its_own_time() {
    let session = Session::start();
    let mut builder = Builder::new_current_thread();
    let runtime = holdup::watch_runtime(&mut builder).build().unwrap();
    runtime.block_on(async {
        let inner = async { block(30) }.detect_blocking("it::inside a task");
        tokio::spawn(async move {
            block(15);
            inner.await;
        })
        .await
        .unwrap();
    });
    let receiver = session.end();
    let mut polls = receiver.polls();
    polls.sort_by_key(crate::receiver::Poll::own_ns);
    let names = polls.iter().map(crate::receiver::Poll::function).collect::<Vec<_>>();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("task spawned at"), "{names:?}");
    assert_eq!(names[1], "it::inside a task");
    assert_eq!(receiver.histograms(&names[0])[0].count, 1);
}

#[test]
fn a_task_that_panics_is_over() {
    let session = Session::start();
    let mut builder = Builder::new_multi_thread();
    let runtime = holdup::watch_runtime(builder.worker_threads(1).enable_all()).build().unwrap();
    let ended = runtime.block_on(async {
        let ended = tokio::spawn(async {
            block(15);
            panic!("on purpose");
        })
        .await;
        tokio::spawn(async {
            tokio::task::yield_now().await;
        })
        .await
        .unwrap();
        ended
    });
    assert!(ended.is_err());
    let polls = session.finish();
    assert_eq!(polls.len(), 1, "{polls:?}");
}
