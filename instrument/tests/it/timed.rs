//! `.timed("name")`: busy, idle and starved, each a finding of its own.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use holdup::{DetectBlocking, Finding, Kind, Outcome};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::handlers::Kept;
use crate::session::{Session, block, names, on_one_thread};

const MS: Duration = Duration::from_millis(1);
/// What a busy machine may add to a time that a test is about.
const SLACK: Duration = Duration::from_millis(400);

/// What is found with thresholds of 50 ms for polls and 90 ms for waits.
fn found(scene: impl Future<Output = ()>) -> (Vec<Finding>, Vec<String>) {
    let kept = Kept::default();
    let session = Session::with(|builder| {
        let builder = builder.threshold(50 * MS).slow_await(90 * MS).starved(90 * MS);
        builder.on_finding(kept.keep())
    });
    on_one_thread(scene);
    let mut polls = session.finish();
    polls.retain(|poll| poll.scope == "holdup");
    let polls = names(&polls);
    let ended = kept.all().into_iter().filter(|finding| !finding.ongoing);
    (ended.collect(), polls)
}

fn of<'a>(findings: &'a [Finding], function: &str) -> Vec<&'a Finding> {
    findings.iter().filter(|finding| finding.function == function).collect()
}

fn kinds(findings: &[&Finding]) -> Vec<Kind> {
    let mut kinds = findings.iter().map(|finding| finding.kind).collect::<Vec<_>>();
    kinds.sort();
    kinds
}

fn whole(finding: &Finding) {
    assert_eq!(finding.elapsed, finding.busy + finding.idle + finding.starved, "{finding:?}");
}

#[test]
fn a_future_that_awaits_long_is_a_slow_await_and_blocks_nobody() {
    let (findings, polls) = found(async { sleep(600 * MS).timed("it::awaits").await });
    assert!(polls.is_empty(), "{polls:?}");
    // A timer that fires late on a busy machine may starve it as well.
    let findings = of(&findings, "it::awaits");
    assert_eq!(kinds(&findings)[0], Kind::SlowAwait);
    let finding = findings[0];
    assert!(finding.idle >= 590 * MS && finding.busy < 50 * MS, "{finding:?}");
    assert_eq!(finding.outcome, Some(Outcome::Finished));
    whole(finding);
}

#[test]
fn a_victim_is_starved_and_its_neighbour_is_named() {
    let (findings, polls) = found(async {
        let victim = tokio::spawn(sleep(20 * MS).timed("it::victim"));
        yield_now().await;
        let blocker = tokio::spawn(async { block(700) }.detect_blocking("it::neighbour"));
        blocker.await.unwrap();
        victim.await.unwrap();
    });
    assert_eq!(polls, ["it::neighbour"]);
    let found = of(&findings, "it::victim");
    let starved = found.iter().find(|finding| finding.kind == Kind::Starvation).unwrap();
    // Its timer fires once the thread is free.
    assert!(starved.starved >= 600 * MS && starved.busy < 50 * MS, "{starved:?}");
    assert!(starved.idle < 50 * MS + SLACK, "{starved:?}");
    assert_eq!(starved.held_by[0].function, "it::neighbour", "{starved:?}");
    whole(starved);
}

/// Wakes the victim from a thread of its own, so that the wake does not wait for the blocker.
async fn woken_beside(blocker: &'static str, milliseconds: u64) {
    let (wake, woken) = tokio::sync::oneshot::channel();
    let victim = async { woken.await.unwrap() }.timed("it::woken");
    let victim = tokio::spawn(victim);
    yield_now().await;
    let waker = std::thread::spawn(move || {
        std::thread::sleep(20 * MS);
        wake.send(()).unwrap();
    });
    tokio::spawn(async move { block(milliseconds) }.detect_blocking(blocker)).await.unwrap();
    victim.await.unwrap();
    waker.join().unwrap();
}

#[test]
fn who_was_ready_and_not_polled_is_starved_by_whom() {
    let (findings, polls) = found(woken_beside("it::holds", 400));
    assert_eq!(polls, ["it::holds"]);
    let found = of(&findings, "it::woken");
    // The thread that wakes it may be late on a busy machine.
    let starved = found.iter().filter(|finding| finding.kind == Kind::Starvation);
    let starved = starved.collect::<Vec<_>>();
    assert_eq!(starved.len(), 1, "{found:?}");
    let finding = starved[0];
    assert!(finding.starved >= 200 * MS, "{finding:?}");
    assert!(finding.busy < 50 * MS && finding.idle < 50 * MS + SLACK, "{finding:?}");
    let holder = finding.held_by.first().expect("who held the thread is known");
    assert_eq!((holder.function.as_str(), holder.same_thread), ("it::holds", true));
    assert!(holder.held <= finding.starved, "{finding:?}");
    #[cfg(target_os = "linux")]
    assert!(holder.blame.as_deref().unwrap().ends_with("session::block"), "{finding:?}");
    whole(finding);
}

#[test]
fn without_a_watched_blocker_it_is_said_to_be_unknown() {
    let (findings, _) = found(async {
        let (wake, woken) = tokio::sync::oneshot::channel();
        let victim = tokio::spawn(async { woken.await.unwrap() }.timed("it::alone"));
        yield_now().await;
        wake.send(()).unwrap();
        block(200);
        victim.await.unwrap();
    });
    let found = of(&findings, "it::alone");
    assert_eq!(kinds(&found), [Kind::Starvation], "{findings:?}");
    assert!(found[0].held_by.is_empty(), "{found:?}");
    assert!(found[0].to_string().contains("held up by nobody known"), "{}", found[0]);
}

#[test]
fn a_block_is_no_await_however_it_ends() {
    let (findings, _) = found(async {
        async { block(120) }.timed("it::finishes").await;
        let fails: Result<(), ()> = async {
            block(120);
            Err(())
        }
        .timed("it::fails")
        .await;
        assert!(fails.is_err());
        let panics = async {
            block(120);
            panic!("on purpose");
        };
        tokio::spawn(panics.timed("it::panics")).await.unwrap_err();
        let never = async {
            block(120);
            std::future::pending::<()>().await;
        };
        timeout(MS, never.timed("it::is cancelled")).await.unwrap_err();
    });
    for function in ["it::finishes", "it::fails", "it::panics", "it::is cancelled"] {
        let found = of(&findings, function);
        assert_eq!(kinds(&found), [Kind::Blocking], "{function}: {found:?}");
        assert!(found[0].busy >= 118 * MS, "{found:?}");
    }
}

#[test]
fn its_time_is_known_however_it_ends() {
    async fn parts() {
        sleep(100 * MS).await;
        block(20);
    }
    let (findings, _) = found(async {
        parts().timed("it::finishes").await;
        let fails: Result<(), ()> = async {
            parts().await;
            Err(())
        }
        .timed("it::fails")
        .await;
        assert!(fails.is_err());
        let panics = async {
            parts().await;
            panic!("on purpose");
        };
        tokio::spawn(panics.timed("it::panics")).await.unwrap_err();
        let never = async {
            parts().await;
            std::future::pending::<()>().await;
        };
        timeout(250 * MS, never.timed("it::is cancelled")).await.unwrap_err();
    });
    for (function, outcome) in [
        ("it::finishes", Outcome::Finished),
        ("it::fails", Outcome::Finished),
        ("it::panics", Outcome::Panicked),
        ("it::is cancelled", Outcome::Cancelled),
    ] {
        let found = of(&findings, function);
        let slow = found.iter().find(|finding| finding.kind == Kind::SlowAwait).unwrap();
        assert_eq!(slow.outcome, Some(outcome), "{slow:?}");
        assert!(slow.idle >= 98 * MS && slow.busy >= 19 * MS, "{slow:?}");
        whole(slow);
    }
}

#[test]
fn thirty_short_blocks_with_yields_are_no_finding() {
    let (findings, polls) = found(
        async {
            for _ in 0..30 {
                block(3);
                yield_now().await;
            }
        }
        .timed("it::yields"),
    );
    assert!(polls.is_empty() && of(&findings, "it::yields").is_empty(), "{findings:?}");
}

#[test]
fn the_attribute_asks_for_it_and_never_is_never() {
    #[holdup::detect_blocking(slow_await = "70ms", starved = "1m")]
    async fn waits(milliseconds: u64) {
        sleep(Duration::from_millis(milliseconds)).await;
    }
    let (findings, _) = found(async {
        waits(120).await;
        sleep(120 * MS).timed("it::never").slow_await(Duration::ZERO).await;
    });
    let slow = findings.iter().filter(|finding| finding.kind == Kind::SlowAwait);
    let slow = slow.collect::<Vec<_>>();
    assert_eq!(slow.len(), 1, "{findings:?}");
    assert!(slow[0].function.ends_with("::waits"), "{slow:?}");
    assert_eq!(slow[0].threshold, 70 * MS);
}

#[test]
fn one_that_goes_on_is_told_of_at_doubling_times() {
    let kept = Kept::default();
    let session = Session::with(|builder| {
        builder.slow_await(20 * MS).starved(Duration::ZERO).on_finding(kept.keep())
    });
    on_one_thread(
        async {
            for _ in 0..10 {
                sleep(15 * MS).await;
            }
        }
        .timed("it::long"),
    );
    session.finish();
    let told = kept.of("it::long");
    let (last, before) = told.split_last().unwrap();
    assert!(!last.ongoing && before.len() >= 2, "{told:?}");
    assert!(before.iter().all(|finding| finding.ongoing && finding.id == last.id), "{told:?}");
    assert!(before.windows(2).all(|pair| pair[1].idle >= 2 * pair[0].idle), "{told:?}");
}

#[test]
fn it_is_sent_as_a_span_that_is_no_poll() {
    let session = Session::with(|builder| builder.slow_await(50 * MS));
    let outside = Instant::now();
    on_one_thread(async { sleep(100 * MS).timed("it::sent").await });
    let outside = outside.elapsed();
    let sent = session.finish();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let span = &sent[0];
    assert_eq!(
        (span.scope.as_str(), span.span.name.as_str()),
        ("holdup.await", "slow_await it::sent")
    );
    let part = |name: &str| span.integer(name).unwrap();
    let parts = part("holdup.busy_ns") + part("holdup.idle_ns") + part("holdup.starved_ns");
    assert_eq!(parts, span.duration_ns());
    assert!(Duration::from_nanos(parts) <= outside + outside / 50, "{parts} of {outside:?}");
}

#[test]
fn a_future_that_panics_leaves_the_thread_as_it_was() {
    let session = Session::start();
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        on_one_thread(async { panic!("on purpose") }.timed("it::panics").timed("it::around"))
    }));
    assert!(panicked.is_err());
    on_one_thread(async { block(30) }.timed("it::after"));
    assert_eq!(names(&session.finish()), ["it::after"]);
}
