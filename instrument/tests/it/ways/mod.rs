//! Each way by which people look for blocking code, beside Holdup on the same run: what the one
//! reports, and what the other. The table that they make is in docs/ways.md.

mod naive;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use holdup::{DetectBlocking, Kind};
use tokio::runtime::Builder;
use tokio::task::yield_now;

use crate::cpu::{Load, compute};
use crate::handlers::Kept;
use crate::session::{Session, block, eventually, names, on_one_thread};
use naive::{
    CpuProfiler, Dumper, Heartbeat, Log, busy_time, debugged, decorated, timed,
    with_exception_handler,
};

const THRESHOLD: Duration = Duration::from_millis(100);

fn session() -> Session {
    Session::with(|builder| builder.threshold(THRESHOLD))
}

#[test]
fn an_async_sleep_is_no_block() {
    let (session, log) = (session(), Log::default());
    let waits = async { tokio::time::sleep(Duration::from_millis(600)).await };
    let waits = waits.detect_blocking("it::waits");
    on_one_thread(decorated(log.clone(), "waits", THRESHOLD, waits));
    assert_eq!(log.blamed(), ["waits"], "the decorator takes waiting for blocking");
    assert_eq!(names(&session.finish()), [""; 0]);
}

#[test]
fn the_victim_of_a_neighbour_is_not_blamed() {
    let (kept, log) = (Kept::default(), Log::default());
    let session = Session::with(|builder| builder.threshold(THRESHOLD).on_finding(kept.keep()));
    on_one_thread(async {
        let sleeps = tokio::time::sleep(Duration::from_millis(20)).timed("it::victim");
        let victim = tokio::spawn(decorated(log.clone(), "victim", THRESHOLD, sleeps));
        let blocks = async { block(400) }.detect_blocking("it::culprit");
        let culprit = tokio::spawn(blocks);
        victim.await.unwrap();
        culprit.await.unwrap();
    });
    let (name, took) = log.lines()[0];
    assert_eq!(name, "victim", "the decorator blames who waited");
    assert!(took >= Duration::from_millis(400), "with the other's time: {took:?}");
    let mut polls = session.finish();
    polls.retain(|poll| poll.scope == "holdup");
    assert_eq!(names(&polls), ["it::culprit"], "of a span each, one is of a poll");
    let of_victim = kept.of("it::victim");
    assert!(of_victim.iter().all(|finding| finding.kind == Kind::Starvation), "{of_victim:?}");
    let finding = of_victim.last().expect("it is told that it waited");
    assert_eq!(finding.held_by[0].function, "it::culprit", "and for whom");
    assert!(finding.starved >= THRESHOLD && finding.busy < THRESHOLD, "{finding:?}");
}

#[test]
fn ten_short_polls_in_one_turn_are_not_passed_over() {
    struct Mode;
    impl Drop for Mode {
        fn drop(&mut self) {
            holdup::debug::disable();
        }
    }
    let (kept, log) = (Kept::default(), Log::default());
    let session = Session::with(|builder| {
        builder.threshold(Duration::from_millis(400)).on_finding(kept.keep())
    });
    holdup::debug::enable();
    let _mode = Mode;
    on_one_thread(async {
        let tasks = (0..10).map(|_| {
            let part = async { block(15) }.detect_blocking("it::part");
            tokio::spawn(debugged(log.clone(), "part", Duration::from_millis(400), part))
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    assert_eq!(log.blamed(), [""; 0], "each callback is short");
    let together =
        || kept.of("it::part").into_iter().find(|finding| finding.kind == Kind::HeldTogether);
    eventually("what they hold together is told", || together().is_some());
    assert!(together().unwrap().busy >= THRESHOLD);
    assert_eq!(names(&session.finish()), [""; 0], "none of them is slow by itself");
}

#[test]
fn a_handler_is_called_for_slowness() {
    let (kept, log) = (Kept::default(), Log::default());
    let session = Session::with(|builder| builder.threshold(THRESHOLD).on_slow_poll(kept.keep()));
    let slow = async { block(200) }.detect_blocking("it::slow");
    on_one_thread(with_exception_handler(log.clone(), "slow", slow));
    assert_eq!(log.blamed(), [""; 0], "an exception handler is for exceptions");
    drop(session.finish());
    let findings = kept.of("it::slow");
    let ended = findings.iter().filter(|finding| !finding.ongoing).collect::<Vec<_>>();
    assert_eq!(ended.len(), 1, "{findings:?}");
    assert!(ended[0].busy >= THRESHOLD, "{findings:?}");
}

#[test]
fn many_polls_with_yields_between_are_not_one_block() {
    let (session, log) = (session(), Log::default());
    // A machine under load may give a thread no CPU for long, and then a poll did hold its thread.
    let delayed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&delayed);
    let yields = async move {
        for _ in 0..30 {
            if block(20) >= THRESHOLD - Duration::from_millis(5) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            yield_now().await;
        }
    };
    let yields = yields.detect_blocking("it::yields");
    on_one_thread(busy_time(log.clone(), "yields", THRESHOLD, yields));
    let (name, took) = log.lines()[0];
    assert_eq!(name, "yields", "a sum of busy time takes thirty short polls for a long one");
    assert!(took >= Duration::from_millis(600), "{took:?}");
    let found = names(&session.finish()).len();
    assert!(found <= delayed.load(Ordering::Relaxed), "no poll held the thread: {found}");
}

#[test]
fn a_block_that_fails_is_reported() {
    let (session, log) = (session(), Log::default());
    let fails = async {
        block(200);
        Err::<(), _>("refused")
    };
    let fails = fails.detect_blocking("it::fails");
    assert!(on_one_thread(timed(log.clone(), "fails", THRESHOLD, fails)).is_err());
    let panics = async {
        block(200);
        std::panic::resume_unwind(Box::new("by intent"));
    };
    let panics = decorated(log.clone(), "panics", THRESHOLD, panics.detect_blocking("it::panics"));
    on_one_thread(async { tokio::spawn(panics).await.unwrap_err() });
    assert_eq!(log.blamed(), [""; 0], "the wrapper never takes the second time");
    assert_eq!(names(&session.finish()), ["it::fails", "it::panics"]);
}

#[test]
fn a_block_that_is_cancelled_is_reported() {
    let (session, log) = (session(), Log::default());
    let cancelled = async {
        block(200);
        std::future::pending::<()>().await;
    };
    let cancelled = cancelled.detect_blocking("it::cancelled");
    let cancelled = decorated(log.clone(), "cancelled", THRESHOLD, cancelled);
    let timeout = tokio::time::timeout;
    on_one_thread(async { timeout(Duration::from_millis(10), cancelled).await.unwrap_err() });
    assert_eq!(log.blamed(), [""; 0], "the decorator never comes to its end");
    assert_eq!(names(&session.finish()), ["it::cancelled"]);
}

#[test]
fn a_hang_is_reported_while_it_lasts() {
    let (session, log) = (session(), Log::default());
    let (release, released) = channel::<()>();
    let hangs = async move { released.recv().is_err() }.detect_blocking("it::hangs");
    let hangs = debugged(log.clone(), "hangs", THRESHOLD, hangs);
    let hanging = thread::spawn(|| on_one_thread(hangs));
    let receiver = &session.receiver;
    eventually("the hang is reported", || !receiver.stalls().is_empty());
    assert_eq!(log.blamed(), [""; 0], "a debug mode that reads the clock afterwards never does");
    assert_eq!(receiver.stalls()[0].function(), "it::hangs");
    drop(release);
    assert!(hanging.join().unwrap());
    drop(session.finish());
}

#[test]
fn a_thread_without_a_cpu_is_not_blocked_by_its_task() {
    const SLOW: Duration = Duration::from_millis(25);
    let log = Log::default();
    let session = Session::with(|builder| builder.threshold(SLOW));
    let load = Load::start(4 * thread::available_parallelism().unwrap().get());
    on_one_thread(async {
        for _ in 0..20 {
            let short = async { compute(SLOW / 2) }.detect_blocking("it::short");
            debugged(log.clone(), "short", SLOW, short).await;
        }
    });
    drop(load);
    let found = names(&session.finish());
    let blamed = log.blamed().len();
    assert!(blamed >= 5, "by the clock on the wall many are slow: {blamed}");
    // Of a poll whose thread lost its CPU before the first look, the wait may not be known.
    assert!(found.len() <= 2, "{found:?}");
}

#[test]
fn a_block_that_sleeps_counts_like_one_that_computes() {
    let session = session();
    let profiler = CpuProfiler::start(Duration::from_millis(5));
    let on_thread = |name: &str, work: fn()| {
        let poll = move || on_one_thread(async move { work() }.detect_blocking("it::blocks"));
        thread::Builder::new().name(name.to_owned()).spawn(poll).unwrap()
    };
    let sleeps = on_thread("it-sleeps", || {
        block(500);
    });
    let computes = on_thread("it-computes", || compute(Duration::from_millis(500)));
    sleeps.join().unwrap();
    computes.join().unwrap();
    let (asleep, computing) = (profiler.samples("it-sleeps"), profiler.samples("it-computes"));
    assert!(asleep * 5 < computing, "threads off the CPU are not shown: {asleep}, {computing}");
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::blocks", "it::blocks"]);
    let of = |thread| polls.iter().find(|p| p.text("thread.name").as_deref() == Some(thread));
    let (sleeps, computes) = (of("it-sleeps").unwrap(), of("it-computes").unwrap());
    assert_eq!(sleeps.text("holdup.cause").as_deref(), Some("sleep"));
    assert!(sleeps.own_ns() >= 490_000_000 && computes.own_ns() >= 490_000_000);
}

#[test]
fn one_blocked_worker_of_two_is_found() {
    let session = session();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (release, released) = channel::<()>();
    let blocks = async move { released.recv().is_err() }.detect_blocking("it::one_of_two");
    let blocked = runtime.spawn(blocks);
    let heartbeat =
        Heartbeat::start(runtime.handle(), Duration::from_millis(20), Duration::from_secs(10));
    let receiver = &session.receiver;
    eventually("the blocked worker is reported", || !receiver.stalls().is_empty());
    assert!(heartbeat.answered() > 0, "the other worker answers");
    assert_eq!(heartbeat.late(), 0, "so all seems well");
    drop(release);
    assert!(runtime.block_on(blocked).unwrap());
    drop(heartbeat);
    assert_eq!(names(&session.finish()), ["it::one_of_two"]);
}

#[test]
fn a_dump_is_taken_while_the_runtime_is_blocked() {
    let session = session();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let dumper = Dumper::spawn(runtime.handle(), Duration::from_millis(10));
    let (release, released) = channel::<()>();
    let (blocks, is_blocked) = channel();
    let blocked = thread::spawn(move || {
        runtime.block_on(async {
            let waiting = holdup::spawn_named("it::waiting", std::future::pending::<()>());
            yield_now().await;
            blocks.send(()).unwrap();
            assert!(released.recv().is_err(), "nobody sends");
            waiting.abort();
        });
    });
    is_blocked.recv().unwrap();
    let before = dumper.dumps();
    assert!(before > 0, "while nothing blocks it dumps");
    let known = || holdup::tasks().tasks.into_iter().find(|task| task.name == "it::waiting");
    let during = thread::spawn(|| block(300));
    eventually("the waiting task is listed", || known().is_some());
    during.join().unwrap();
    assert_eq!(dumper.dumps(), before, "it can't while its runtime is blocked");
    drop(release);
    blocked.join().unwrap();
    drop(session.finish());
}

#[test]
fn work_off_the_runtime_is_told_from_the_way_to_it() {
    let (session, log) = (session(), Log::default());
    let mut runtime = Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).max_blocking_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let first = holdup::isolate_named("it::first", || block(250));
        let second = holdup::isolate_named("it::second", || block(20));
        decorated(log.clone(), "second", THRESHOLD, second).await.unwrap();
        first.await.unwrap();
    });
    assert_eq!(log.blamed(), ["second"], "short work that waited for a thread looks long");
    let receiver = session.end();
    assert_eq!(names(&receiver.polls()), [""; 0]);
    let sum = |metric| receiver.durations(metric, "it::second")[0].sum.unwrap();
    let (queue, run) = (sum("holdup.isolate.queue"), sum("holdup.isolate.run"));
    assert!(queue > 0.1 && run < queue, "{queue} s on the way, {run} s of work");
}
