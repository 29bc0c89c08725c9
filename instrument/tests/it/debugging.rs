//! Debug mode: what it finds beside slow polls.

use std::future::ready;
use std::time::{Duration, Instant};

use holdup::{DetectBlocking, Finding, Kind};
use tokio::task::yield_now;

use crate::handlers::Kept;
use crate::session::{Session, block, eventually, names, on_one_thread};

const MS: Duration = Duration::from_millis(1);

/// Switches it off again, also when a test fails.
struct Mode;

impl Mode {
    fn on() -> Self {
        holdup::debug::enable();
        Self
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        holdup::debug::disable();
    }
}

struct Found {
    kept: Kept,
    session: Session,
    _mode: Mode,
}

impl Found {
    fn with_threshold(threshold: Duration) -> Self {
        let kept = Kept::default();
        let session = Session::with(|builder| builder.threshold(threshold).on_finding(kept.keep()));
        Self { kept, session, _mode: Mode::on() }
    }

    fn of(&self, kind: Kind) -> Vec<Finding> {
        self.kept.all().into_iter().filter(|finding| finding.kind == kind).collect()
    }

    fn the(&self, kind: Kind) -> Finding {
        eventually(kind.name(), || !self.of(kind).is_empty());
        let mut found = self.of(kind);
        assert_eq!(found.len(), 1, "the same is said once: {found:?}");
        found.remove(0)
    }
}

fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[test]
fn ten_short_polls_in_one_turn_are_told_of_together() {
    let found = Found::with_threshold(400 * MS);
    let line = line!() + 6;
    let turn = async || {
        let tasks = (0..10)
            .map(|_| {
                let part = async { block(15) };
                // Each of them is far under the threshold.
                tokio::spawn(part.detect_blocking("it::part"))
            })
            .collect::<Vec<_>>();
        for task in tasks {
            task.await.unwrap();
        }
    };
    eventually("they are told of", || {
        // Where the thread had to wait for a CPU in between, it did not hold on for long enough.
        on_one_thread(turn());
        !found.of(Kind::HeldTogether).is_empty()
    });
    let finding = found.the(Kind::HeldTogether);
    assert_eq!((finding.function.as_str(), finding.line), ("it::part", line));
    assert!(finding.busy >= 100 * MS && finding.polls >= 4, "{finding:?}");
    assert!(finding.busy <= finding.elapsed + finding.elapsed / 20, "{finding:?}");
    assert!(finding.to_string().contains("short polls"), "{finding}");
    let polls = names(&found.session.finish());
    assert!(polls.is_empty(), "none of them is a block: {polls:?}");
}

#[test]
fn one_slow_poll_is_not_many_short_ones() {
    let found = Found::with_threshold(50 * MS);
    on_one_thread(async { block(300) }.detect_blocking("it::slow"));
    on_one_thread(async { drop(async {}.detect_blocking("it::mark")) });
    let _mark = found.the(Kind::NeverPolled);
    assert!(found.of(Kind::HeldTogether).is_empty(), "{:?}", found.kept.all());
    assert_eq!(names(&found.session.finish()), ["it::slow"]);
}

#[test]
fn a_future_that_nobody_polls_is_told_of_with_its_place() {
    let found = Found::with_threshold(400 * MS);
    let line = line!() + 1;
    drop(async {}.detect_blocking("it::forgotten"));
    let finding = found.the(Kind::NeverPolled);
    assert_eq!((finding.function.as_str(), finding.line), ("it::forgotten", line));
    assert!(finding.file.ends_with("it/debugging.rs"), "{finding:?}");
    assert!(!finding.sentence().is_empty() && finding.to_string().contains(finding.sentence()));
    // The same again is counted; another is told of.
    for _ in 0..5 {
        drop(async {}.detect_blocking("it::forgotten"));
    }
    on_one_thread(async {}.timed("it::polled"));
    on_one_thread(async {}.detect_blocking("it::polled"));
    drop(async {}.timed("it::timed"));
    eventually("the other one", || found.of(Kind::NeverPolled).len() >= 2);
    let told = found.of(Kind::NeverPolled);
    let functions = told.iter().map(|finding| finding.function.as_str()).collect::<Vec<_>>();
    assert_eq!(functions, ["it::forgotten", "it::timed"]);
}

#[test]
fn a_poll_that_computes_and_never_yields_is_told_of() {
    let found = Found::with_threshold(10 * MS);
    on_one_thread(
        async {
            yield_now().await;
            compute(400 * MS);
        }
        .detect_blocking("it::computes"),
    );
    // Where the machine gave it no CPU for most of that time, it is not the poll's fault.
    let session = found.session;
    let all = found.kept.clone();
    session.finish();
    let slow = all.of("it::computes");
    let computed = slow.iter().any(|f| f.cause == Some("cpu") && f.busy >= 100 * MS);
    let told = slow.iter().any(|finding| finding.kind == Kind::NeverYields);
    assert!(told || !computed, "{slow:?}");
    assert!(slow.iter().any(|finding| finding.kind == Kind::Blocking), "{slow:?}");
}

#[test]
fn a_task_of_one_long_poll_is_told_of() {
    let found = Found::with_threshold(10 * MS);
    on_one_thread(async { block(60) }.detect_blocking("it::one poll"));
    let finding = found.the(Kind::NeverYields);
    assert_eq!((finding.function.as_str(), finding.polls), ("it::one poll", 1));
    assert!(finding.busy >= 58 * MS, "{finding:?}");
}

#[test]
fn a_timed_future_of_one_long_poll_is_told_of() {
    let found = Found::with_threshold(10 * MS);
    on_one_thread(async { block(60) }.timed("it::one timed poll"));
    assert_eq!(found.the(Kind::NeverYields).function, "it::one timed poll");
}

#[test]
fn a_poll_that_uses_up_its_budget_is_told_of() {
    let found = Found::with_threshold(10 * MS);
    on_one_thread(async {
        let greedy = async {
            yield_now().await;
            let (sender, mut receiver) = tokio::sync::mpsc::channel::<()>(1000);
            for _ in 0..1000 {
                sender.try_send(()).unwrap();
            }
            block(30);
            for _ in 0..200 {
                receiver.recv().await.unwrap();
            }
        };
        tokio::spawn(greedy.detect_blocking("it::greedy")).await.unwrap();
    });
    let finding = found.the(Kind::NeverYields);
    assert_eq!(finding.function, "it::greedy");
    assert!(finding.message.as_deref().unwrap().contains("budget"), "{finding:?}");
}

#[test]
fn a_panic_that_nobody_looks_at_is_told_of() {
    async fn panics(message: &'static str) {
        yield_now().await;
        panic!("{message}");
    }
    let found = Found::with_threshold(400 * MS);
    let line = line!() + 4;
    on_one_thread(async {
        let looked_at = holdup::spawn_named("it::looked at", panics("seen")).await;
        assert!(looked_at.unwrap_err().is_panic());
        drop(holdup::spawn_named("it::dropped", panics("in the dark")));
        let late = holdup::spawn_named("it::late", panics("before its handle is dropped"));
        while !late.is_finished() {
            yield_now().await;
        }
        drop(late);
        let fine = holdup::spawn_named("it::fine", async { 7 });
        assert_eq!(fine.await.unwrap(), 7);
        drop(holdup::spawn_named("it::done", async {}));
        yield_now().await;
    });
    eventually("both are told of", || found.of(Kind::UnseenPanic).len() >= 2);
    let told = found.of(Kind::UnseenPanic);
    let functions = told.iter().map(|finding| finding.function.as_str()).collect::<Vec<_>>();
    assert_eq!(functions, ["it::dropped", "it::late"]);
    assert_eq!((told[0].message.as_deref(), told[0].line), (Some("in the dark"), line));
    assert!(told[0].to_string().contains("in the dark"), "{}", told[0]);
}

#[test]
fn without_it_nothing_of_this_is_told() {
    let kept = Kept::default();
    let session = Session::with(|builder| builder.on_finding(kept.keep()));
    assert!(!holdup::debug::is_enabled());
    drop(async {}.detect_blocking("it::forgotten"));
    on_one_thread(async { block(60) }.detect_blocking("it::one poll"));
    on_one_thread(ready(()).timed("it::timed"));
    session.finish();
    let kinds = kept.all().into_iter().map(|finding| finding.kind).collect::<Vec<_>>();
    assert!(kinds.iter().all(|kind| *kind == Kind::Blocking), "{kinds:?}");
}
