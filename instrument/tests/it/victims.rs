//! Who waits while a worker is blocked.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;
use tokio::runtime::{Builder, Runtime};

use crate::receiver::Poll;
use crate::session::{Session, block, eventually};

fn two_workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn tasks_that_wait_for_blocked_workers_are_counted() {
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(50)));
    let runtime = two_workers();
    let (releases, blocked): (Vec<_>, Vec<_>) = (0..2)
        .map(|_| {
            let (release, is_released) = channel::<()>();
            let blocks = async move { is_released.recv().is_err() }.detect_blocking("it::all");
            (release, runtime.spawn(blocks))
        })
        .unzip();
    let receiver = &session.receiver;
    eventually("the watchdog has looked", || receiver.stalls().len() >= 2);
    let waiting = (0..10).map(|_| runtime.spawn(async {})).collect::<Vec<_>>();
    let counted = |poll: &Poll| poll.integer("holdup.victims") == Some(10);
    eventually("they are counted", || receiver.stalls().iter().any(counted));
    drop(releases);
    runtime.block_on(async {
        for task in blocked {
            task.await.unwrap();
        }
        for task in waiting {
            task.await.unwrap();
        }
    });
    drop(runtime);
    let polls = session.finish();
    assert_eq!(polls.len(), 2);
    assert!(polls.iter().all(|poll| poll.flag("holdup.runtime.stalled")), "{polls:?}");
    assert!(polls.iter().any(counted), "{polls:?}");
}

#[test]
fn a_runtime_with_a_worker_left_is_not_stalled() {
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(50)));
    let runtime = two_workers();
    runtime.block_on(async {
        let blocks = async { block(300) }.detect_blocking("it::one");
        runtime.spawn(blocks).await.unwrap();
    });
    drop(runtime);
    let polls = session.finish();
    assert!(!polls[0].flag("holdup.runtime.stalled"), "{polls:?}");
    assert_eq!(polls[0].integer("holdup.victims"), Some(0), "{polls:?}");
}

/// Linux alone tells where the other workers are.
#[cfg(target_os = "linux")]
#[test]
fn timers_that_wait_for_a_blocked_worker_are_told_of() {
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(50)));
    let runtime = two_workers();
    let (mut late, mut told, mut attempts) = (Vec::new(), Vec::new(), 0);
    let is_told = || {
        let polls = session.receiver.polls();
        polls.iter().any(|poll| poll.has("holdup.runtime.driver_idle"))
    };
    // Which worker has the driver when the block begins is up to tokio, and so is which of them
    // poll what is watched. Those that never did are not known.
    while attempts < 40 && !(late.contains(&true) && late.contains(&false) && is_told()) {
        attempts += 1;
        runtime.block_on(async {
            // Both workers have polled something that is watched, and are known.
            let known = (0..8).map(|_| async { block(1) }.detect_blocking("it::known"));
            for task in known.map(tokio::spawn).collect::<Vec<_>>() {
                task.await.unwrap();
            }
            let timer = tokio::spawn(async {
                let start = Instant::now();
                tokio::time::sleep(Duration::from_millis(60)).await;
                start.elapsed()
            });
            let early = Duration::from_millis(if attempts % 2 == 0 { 20 } else { 0 });
            let blocks = tokio::spawn(async move {
                tokio::time::sleep(early).await;
                async { block(400) }.detect_blocking("it::blocks").await;
            });
            if attempts % 3 == 0 {
                // A worker that is woken meanwhile takes the driver when it has nothing left to do.
                block(30);
                tokio::spawn(async {}).await.unwrap();
            }
            late.push(timer.await.unwrap() > Duration::from_millis(250));
            blocks.await.unwrap();
        });
    }
    drop(runtime);
    let polls = session.finish();
    told.extend(polls.iter().filter(|poll| poll.function() == "it::blocks").map(|poll| {
        poll.has("holdup.runtime.driver_idle").then(|| poll.flag("holdup.runtime.driver_idle"))
    }));
    let wrong = late.iter().zip(&told).filter(|(late, told)| told.is_some_and(|t| t != **late));
    assert!(wrong.count() * 10 <= late.len(), "{late:?} {told:?}");
    assert!(told.iter().any(Option::is_some), "{late:?} {told:?}");
}
