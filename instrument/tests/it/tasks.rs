//! Dumps of the live tasks.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use holdup::{DetectBlocking, Task, TaskDump, TaskDumps, TaskState};
use tokio::runtime::Builder;
use tokio::sync::Notify;

use crate::session::{Session, block, eventually};

fn find(dump: &TaskDump, name: &str) -> Option<Task> {
    dump.tasks.iter().find(|task| task.name == name).cloned()
}

/// Waits for a task to be in a state, and gives the dump that shows it.
fn dump_with(name: &str, state: TaskState) -> (TaskDump, Task) {
    let mut found = None;
    eventually(&format!("{name} is {}", state.name()), || {
        let dump = holdup::tasks();
        found = find(&dump, name).filter(|task| task.state == state).map(|task| (dump, task));
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_blocked_runtime_can_t_keep_the_dump_back() {
    let session = Session::start();
    let mut builder = Builder::new_current_thread();
    let runtime = holdup::watch_runtime(builder.enable_all()).build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let waits = Arc::new(Notify::new());
    let notify = Arc::clone(&waits);
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            let idle = holdup::spawn_named("it::idle", std::future::pending::<()>());
            let ready = holdup::spawn_named("it::ready", async move { waits.notified().await });
            let unknown = tokio::spawn(std::future::pending::<()>());
            tokio::time::sleep(Duration::from_millis(5)).await;
            // Woken behind the blocker's back, or before it: it can't be polled.
            let blocker = holdup::spawn_named("it::blocker", async move {
                tokio::task::yield_now().await;
                let _ = released.recv();
            });
            blocker.await.unwrap();
            ready.await.unwrap();
            idle.abort();
            unknown.abort();
        });
    });
    dump_with("it::idle", TaskState::Idle);
    dump_with("it::blocker", TaskState::Running);
    notify.notify_one();
    let (dump, ready) = dump_with("it::ready", TaskState::Ready);
    assert!(ready.woken.is_some() && ready.polls >= 1 && ready.id.is_some(), "{ready}");
    let idle = find(&dump, "it::idle").unwrap();
    assert_eq!((idle.state, idle.file.as_str()), (TaskState::Idle, file!()), "{dump}");
    let blocker = find(&dump, "it::blocker").unwrap();
    assert!(blocker.state == TaskState::Running && blocker.polls == 1, "{dump}");
    assert_eq!(dump.tasks.first().unwrap().state, TaskState::Running, "{dump}");
    assert!(dump.unknown.is_some(), "a watched runtime tells how many tasks there are");
    let text = dump.to_string();
    assert!(text.contains("it::ready (instrument/tests/it/tasks.rs:"), "{text}");
    release.send(()).unwrap();
    thread.join().unwrap();
    drop(session);
    let left = holdup::tasks();
    assert!(!left.tasks.iter().any(|task| task.name.starts_with("it::")), "{left}");
}

#[test]
fn futures_that_are_watched_in_place_are_known_once_they_wait() {
    let session = Session::start();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let inner = async { tokio::time::sleep(Duration::from_secs(60)).await };
    let outer = inner.detect_blocking("it::nested wait").detect_blocking("it::outer wait");
    let task = runtime.spawn(outer);
    let (dump, outer) = dump_with("it::outer wait", TaskState::Idle);
    assert!(find(&dump, "it::nested wait").is_none(), "one entry for one task: {dump}");
    assert!(outer.id.is_some() && outer.polls >= 1 && outer.woken.is_none(), "{outer}");
    // In its first poll.
    let (release, released) = mpsc::channel::<()>();
    let first = async move { released.recv().unwrap_or(()) };
    let first = runtime.spawn(first.detect_blocking("it::first poll"));
    dump_with("it::first poll", TaskState::Running);
    drop(release);
    runtime.block_on(first).unwrap();
    task.abort();
    eventually("the task is gone", || find(&holdup::tasks(), "it::outer wait").is_none());
    drop(session);
}

fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_endpoint_answers_locally_while_the_runtime_is_blocked() {
    let _alone = crate::session::alone();
    let guard = holdup::builder()
        .tracer_provider(opentelemetry_sdk::trace::SdkTracerProvider::builder().build())
        .task_dumps(TaskDumps::default().listen("127.0.0.1:0"))
        .install()
        .unwrap();
    let address = guard.tasks_address().unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let blocks = async move { released.recv().unwrap_or(()) };
        runtime.block_on(blocks.detect_blocking("it::holds everything"));
    });
    dump_with("it::holds everything", TaskState::Running);
    let host = format!("Host: {address}\r\n\r\n");
    let text = ask(address, &format!("GET /tasks HTTP/1.1\r\n{host}"));
    assert!(text.starts_with("HTTP/1.1 200 OK") && text.contains("it::holds everything"), "{text}");
    let json = ask(address, &format!("GET /tasks HTTP/1.1\r\nAccept: application/json\r\n{host}"));
    let body = json.split_once("\r\n\r\n").unwrap().1;
    let read = serde_json::from_str::<serde_json::Value>(body).unwrap();
    assert_eq!(read["tasks"][0]["state"], "running", "{body}");
    let foreign = ask(address, "GET /tasks HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    let other = ask(address, &format!("GET / HTTP/1.1\r\n{host}"));
    assert!(other.starts_with("HTTP/1.1 404"), "{other}");
    drop(release);
    thread.join().unwrap();
    drop(guard);
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    let refused = holdup::builder().task_dumps(TaskDumps::default().listen("0.0.0.0:0")).install();
    assert!(refused.unwrap_err().to_string().contains("HOLDUP_TASKS_LISTEN"));
}

#[test]
fn dumps_are_sent_as_logs_periodically_on_a_stall_and_on_a_signal() {
    let dumps = TaskDumps::default()
        .every(Duration::from_millis(300))
        .on_stall()
        .on_signal(signal_hook::consts::SIGUSR1);
    let session = Session::with(|builder| builder.task_dumps(dumps));
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let idle = {
        let _inside = runtime.enter();
        holdup::spawn_named("it::sent", std::future::pending::<()>())
    };
    let blocker = runtime.spawn(async { block(400) }.detect_blocking("it::stalls"));
    signal_hook::low_level::raise(signal_hook::consts::SIGUSR1).unwrap();
    for reason in ["periodic", "stall", "signal"] {
        eventually(&format!("a dump: {reason}"), || {
            let mut logs = session.receiver.logs().into_iter();
            logs.any(|log| log.text("holdup.dump.reason").as_deref() == Some(reason))
        });
    }
    runtime.block_on(blocker).unwrap();
    let logs = session.receiver.logs();
    let named = |name: &str| {
        logs.iter().find(|log| log.text("holdup.task.name").as_deref() == Some(name)).unwrap()
    };
    let sent = named("it::sent");
    assert_eq!(sent.event, "holdup.task");
    assert_eq!(sent.text("holdup.task.state").as_deref(), Some("idle"));
    assert_eq!(sent.text("code.file.path").as_deref(), Some(file!()));
    assert!(sent.has("holdup.task.since_ns"));
    assert_eq!(sent.text("holdup.dump.id").unwrap().len(), 16);
    idle.abort();
    drop(session);
}

#[test]
fn a_task_that_waits_for_too_long_is_found_once() {
    let dumps = TaskDumps::default().stuck_after(Duration::from_millis(300));
    let (tell, told) = mpsc::channel();
    let session = Session::with(|builder| {
        builder.task_dumps(dumps).on_finding(move |finding| {
            if finding.kind == holdup::Kind::SlowAwait && finding.function == "it::stuck" {
                let _ = tell.send(finding.clone());
            }
        })
    });
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stuck = {
        let _inside = runtime.enter();
        holdup::spawn_named("it::stuck", std::future::pending::<()>())
    };
    let finding = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(finding.ongoing && finding.idle >= Duration::from_millis(300), "{finding}");
    assert!(finding.task.is_some() && finding.file == file!(), "{finding:?}");
    // It looks once a second.
    assert!(told.recv_timeout(Duration::from_millis(2_500)).is_err(), "it is told once");
    stuck.abort();
    drop(session);
}

#[test]
fn every_task_that_waits_for_too_long_is_found_however_many_there_are() {
    const TASKS: usize = 150;
    let dumps = TaskDumps::default().stuck_after(Duration::from_millis(200));
    let (tell, told) = mpsc::channel();
    let session = Session::with(|builder| {
        builder.task_dumps(dumps).on_finding(move |finding| {
            if finding.function == "it::one_of_many" {
                let _ = tell.send(finding.task);
            }
        })
    });
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let inside = runtime.enter();
    let spawn = |_| holdup::spawn_named("it::one_of_many", std::future::pending::<()>());
    let stuck = (0..TASKS).map(spawn).collect::<Vec<_>>();
    let mut found = HashSet::new();
    eventually("all are found", || {
        found.extend(told.try_iter());
        found.len() == TASKS
    });
    stuck.into_iter().for_each(|task| task.abort());
    drop((inside, session));
}

#[test]
fn timed_futures_are_among_the_tasks() {
    let session = Session::start();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let task = runtime.spawn(holdup::timed("it::timed_task", std::future::pending::<()>()));
    let (_, known) = dump_with("it::timed_task", TaskState::Idle);
    assert!(known.polls == 1 && known.id.is_some(), "{known}");
    task.abort();
    let gone = || find(&holdup::tasks(), "it::timed_task").is_none();
    eventually("its entry is given back", gone);
    drop(session);
}
