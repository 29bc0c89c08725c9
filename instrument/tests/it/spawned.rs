//! Tasks that nobody annotated, which only `--cfg tokio_unstable` shows.

use std::time::Duration;

use holdup::{DetectBlocking, TaskState};
use tokio::runtime::Builder;

use crate::session::{Session, assert_within, block, eventually};

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

/// Waits for that many tasks which were spawned in this file at a line to be in a state.
fn wait_for(line: u32, state: TaskState, count: usize) {
    let name = format!("task spawned at {}:{line}:", file!());
    eventually(&format!("{count} times {name} {}", state.name()), || {
        let dump = holdup::tasks();
        let named = dump.tasks.iter().filter(|task| task.name.starts_with(&name));
        named.filter(|task| task.state == state && task.id.is_some()).count() == count
    });
}

#[test]
fn the_dump_lists_each_task_once_though_none_is_instrumented() {
    let session = Session::start();
    let mut builder = Builder::new_current_thread();
    let runtime = holdup::watch_runtime(builder.enable_all()).build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let tasks = runtime.block_on(async {
            let mut tasks = Vec::new();
            for _ in 0..3 {
                tasks.push(tokio::spawn(std::future::pending::<()>()));
            }
            let idle = line!() - 2;
            let own = holdup::spawn_named("it::own", std::future::pending::<()>());
            let done = tokio::spawn(tokio::task::yield_now());
            let done_at = line!() - 1;
            done.await.unwrap();
            tasks.push(own.into_inner());
            tasks.push(tokio::spawn(async move { released.recv().unwrap_or(()) }));
            let holds = line!() - 1;
            tasks.push(tokio::spawn(async {}));
            let ready = line!() - 1;
            tell.send([idle, done_at, holds, ready]).unwrap();
            tokio::task::yield_now().await;
            tasks
        });
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        drop(runtime);
    });
    let [idle, done, holds, ready] = told.recv().unwrap();
    wait_for(holds, TaskState::Running, 1);
    wait_for(idle, TaskState::Idle, 3);
    wait_for(ready, TaskState::Ready, 1);
    for state in [TaskState::Running, TaskState::Ready, TaskState::Idle] {
        wait_for(done, state, 0);
    }
    let dump = holdup::tasks();
    let own = dump.tasks.iter().filter(|task| task.name == "it::own").collect::<Vec<_>>();
    let [own] = &own[..] else { panic!("{dump}") };
    assert!(own.state == TaskState::Idle && own.polls == 1, "{dump}");
    let same = dump.tasks.iter().filter(|task| task.id == own.id);
    assert_eq!(same.count(), 1, "{dump}");
    let waits = dump.tasks.iter().find(|task| task.line == idle).unwrap();
    assert!(waits.polls == 1 && waits.file == file!(), "{dump}");
    release.send(()).unwrap();
    thread.join().unwrap();
    let left = holdup::tasks();
    assert!(left.tasks.iter().all(|task| task.file != file!()), "aborted ones are gone: {left}");
    drop(session);
}
