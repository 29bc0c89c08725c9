//! Handlers that are called for slow polls.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdup::{DetectBlocking, Finding, Kind};
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use tracing::Instrument;
use tracing_subscriber::prelude::*;

use crate::session::{Session, block, eventually, names, on_one_thread};

/// Keeps what a handler was called with.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<Vec<Finding>>>);

impl Kept {
    pub(crate) fn keep(&self) -> impl Fn(&Finding) + Send + Sync + 'static {
        let kept = Arc::clone(&self.0);
        move |finding| kept.lock().unwrap().push(finding.clone())
    }

    pub(crate) fn all(&self) -> Vec<Finding> {
        self.0.lock().unwrap().clone()
    }

    /// Those about a function.
    pub(crate) fn of(&self, function: &str) -> Vec<Finding> {
        self.all().into_iter().filter(|finding| finding.function == function).collect()
    }
}

/// Something to block in until the sender is dropped.
fn until(release: Receiver<()>) -> impl FnOnce() {
    move || assert!(release.recv().is_err(), "nobody sends")
}

#[test]
fn a_slow_poll_comes_with_what_is_known_of_it() {
    let kept = Kept::default();
    let session = Session::with(|builder| builder.on_slow_poll(kept.keep()));
    let line = line!() + 1;
    on_one_thread(async { block(60) }.detect_blocking("it::handled"));
    assert_eq!(names(&session.finish()), ["it::handled"]);
    let findings = kept.of("it::handled");
    let ended = findings.iter().filter(|finding| !finding.ongoing).collect::<Vec<_>>();
    assert_eq!(ended.len(), 1, "{findings:?}");
    let finding = ended[0];
    assert_eq!((finding.kind, finding.polls, finding.line), (Kind::Blocking, 1, line));
    assert!(finding.file.ends_with("it/handlers.rs"), "{finding:?}");
    assert!(finding.busy >= Duration::from_millis(58), "{finding:?}");
    assert!(finding.elapsed >= finding.busy, "{finding:?}");
    assert_eq!((finding.idle, finding.starved), (Duration::ZERO, Duration::ZERO));
    assert_eq!(finding.threshold, Duration::from_millis(10));
    assert_eq!(finding.cause, Some("sleep"));
    #[cfg(target_os = "linux")]
    assert_eq!(finding.advice.unwrap().id, "thread-sleep");
    assert!(findings.iter().all(|other| other.id == finding.id), "{findings:?}");
}

#[test]
fn a_stall_is_told_while_it_lasts_and_its_end_too() {
    let (kept, stalls) = (Kept::default(), Kept::default());
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(50)));
    let _slow = holdup::on_slow_poll(kept.keep());
    let _stall = holdup::on_stall(stalls.keep());
    let (never, release) = channel::<()>();
    let hangs = std::thread::spawn(move || {
        let hang = until(release);
        on_one_thread(async move { hang() }.detect_blocking("it::hangs"));
    });
    eventually("it is told three times while it lasts", || stalls.of("it::hangs").len() >= 3);
    assert!(kept.of("it::hangs").iter().all(|finding| finding.ongoing), "it has not ended");
    drop(never);
    hangs.join().unwrap();
    session.finish();
    let told = kept.of("it::hangs");
    let (last, before) = told.split_last().unwrap();
    assert!(!last.ongoing && before.iter().all(|finding| finding.ongoing), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[1].busy > pair[0].busy), "{told:?}");
    assert!(told.iter().all(|finding| finding.id == last.id && finding.cause == Some("lock")));
    assert!(stalls.all().iter().all(|finding| finding.ongoing));
}

#[test]
fn every_way_to_watch_calls_them() {
    #[holdup::detect_blocking]
    async fn by_attribute() {
        block(30);
    }
    static SITE: holdup::Site = holdup::Site::new("it::by watch", "", 0);
    let kept = Kept::default();
    let session = Session::with(|builder| builder.on_slow_poll(kept.keep()));
    let subscriber = tracing_subscriber::registry().with(holdup::layer());
    tracing::subscriber::with_default(subscriber, || {
        on_one_thread(async {
            by_attribute().await;
            holdup::watch(&SITE, async { block(30) }).await;
            async { block(30) }.detect_blocking("it::by wrapper").await;
            let span = tracing::info_span!("by_layer");
            tokio::spawn(async { block(30) }.instrument(span)).await.unwrap();
        });
    });
    session.finish();
    let ends = kept.all().into_iter().filter(|finding| !finding.ongoing);
    let mut names = ends.map(|finding| finding.function).collect::<Vec<_>>();
    names.sort();
    let own = module_path!();
    let mut expected = [
        format!("{own}::by_layer"),
        format!("{own}::every_way_to_watch_calls_them::by_attribute"),
        "it::by watch".to_owned(),
        "it::by wrapper".to_owned(),
    ];
    expected.sort();
    assert_eq!(names, expected);
}

#[cfg(not(tokio_unstable))]
#[test]
fn a_worker_that_is_held_by_what_nobody_watches_calls_them() {
    let kept = Kept::default();
    let session = Session::with(|builder| builder.on_stall(kept.keep()));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().name("unwatched");
    let runtime = holdup::watch_runtime(&mut builder).build().unwrap();
    let (never, release) = channel::<()>();
    let hang = until(release);
    runtime.block_on(async {
        // A worker is known from the first time that it parks.
        tokio::spawn(tokio::time::sleep(Duration::from_millis(20))).await.unwrap();
    });
    let task = runtime.spawn(async move { hang() });
    eventually("the worker is reported", || !kept.of("worker of unwatched").is_empty());
    drop(never);
    runtime.block_on(task).unwrap();
    drop(runtime);
    session.finish();
    assert_eq!(kept.all()[0].runtime.as_deref(), Some("unwatched"));
}

#[test]
fn a_handler_that_panics_is_called_again_and_harms_nobody() {
    let kept = Kept::default();
    let session = Session::start();
    let panics = holdup::on_slow_poll(|_| panic!("on purpose"));
    let _beside = holdup::on_slow_poll(kept.keep());
    let told = |name: &str| kept.of(name).iter().any(|finding| !finding.ongoing);
    for name in ["it::first", "it::second"] {
        on_one_thread(async { block(20) }.detect_blocking(name));
        eventually("the other handler is called", || told(name));
    }
    eventually("it was called for both", || panics.panics() >= 2);
    assert_eq!(panics.panics(), panics.calls());
    assert_eq!(names(&session.finish()), ["it::first", "it::second"]);
}

#[test]
fn a_handler_that_hangs_harms_nobody_and_what_it_misses_is_counted() {
    let kept = Kept::default();
    // Of so short a poll it is not known that it had its CPU all the time.
    let session = Session::with(|builder| {
        builder.flush_timeout(Duration::from_secs(5)).report_descheduled(true)
    });
    let (never, release) = channel::<()>();
    let release = Mutex::new(release);
    let hangs = holdup::on_slow_poll(move |_| {
        assert!(release.lock().unwrap().recv().is_err(), "nobody sends");
    });
    let _beside = holdup::on_slow_poll(kept.keep());
    static KEEN: holdup::Site =
        holdup::Site::new("it::many", "", 0).threshold(Duration::from_nanos(1));
    let lost = || {
        on_one_thread(async {
            for _ in 0..50 {
                holdup::watch(&KEEN, async { std::hint::black_box(()) }).await;
            }
        });
        hangs.lost() > 0
    };
    eventually("its queue is full", lost);
    assert_eq!(hangs.calls(), 1, "it has not returned");
    on_one_thread(async { block(30) }.detect_blocking("it::beside"));
    eventually("the other handler is called", || !kept.of("it::beside").is_empty());
    let receiver = &session.receiver;
    let exported = || receiver.polls().iter().any(|poll| poll.function() == "it::beside");
    eventually("spans are sent", exported);
    drop(never);
    session.finish();
}

#[test]
fn a_handler_that_polls_and_blocks_is_not_told_of_itself() {
    let kept = Kept::default();
    let session = Session::start();
    let own = kept.keep();
    let handler = holdup::on_slow_poll(move |finding| {
        own(finding);
        on_one_thread(async { block(30) }.detect_blocking("it::in a handler"));
    });
    on_one_thread(async { block(30) }.detect_blocking("it::outside"));
    eventually("it is called", || handler.calls() >= 1);
    assert_eq!(names(&session.finish()), ["it::outside"]);
    assert!(kept.all().iter().all(|finding| finding.function == "it::outside"), "{:?}", kept.all());
}

#[test]
fn a_handler_is_not_called_after_its_guard_is_dropped() {
    let (gone, stays) = (Kept::default(), Kept::default());
    let session = Session::start();
    drop(holdup::on_slow_poll(gone.keep()));
    let _stays = holdup::on_slow_poll(stays.keep());
    on_one_thread(async { block(20) }.detect_blocking("it::after"));
    session.finish();
    assert!(gone.all().is_empty(), "{:?}", gone.all());
    assert!(!stays.of("it::after").is_empty());
}

#[test]
fn handlers_are_called_without_a_collector_and_with_a_provider() {
    let kept = Kept::default();
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
    let session = Session::with(|builder| {
        builder.tracer_provider(provider).threshold(Duration::from_millis(20))
    });
    let _handler = holdup::on_stall(kept.keep());
    let (never, release) = channel::<()>();
    let hangs = std::thread::spawn(move || {
        let hang = until(release);
        on_one_thread(async move { hang() }.detect_blocking("it::provider"));
    });
    eventually("it is told while it lasts", || kept.of("it::provider").len() >= 2);
    drop(never);
    hangs.join().unwrap();
    session.finish();
}

#[test]
fn findings_and_what_became_of_them_are_counted() {
    let session = Session::start();
    let panics = holdup::on_slow_poll(|_| panic!("on purpose"));
    on_one_thread(async { block(20) }.detect_blocking("it::counted"));
    eventually("the handler has panicked", || panics.panics() >= 1);
    let receiver = session.end();
    let count = |name: &str| {
        let points = receiver.numbers(name).into_iter();
        let value = |point: NumberDataPoint| match point.value {
            Some(Value::AsInt(count)) => count,
            other => panic!("{other:?}"),
        };
        points.map(|(_, point)| value(point)).sum::<i64>()
    };
    assert!(count("holdup.finding.blocking") >= 1);
    assert!(count("holdup.handler.panics") >= 1);
    assert_eq!(count("holdup.finding.starvation"), 0);
}
