//! The way to the collector, and what happens when there is none.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdup::{DetectBlocking, InstallError};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::receiver::Receiver;
use crate::session::{Session, alone, block, eventually, names, on_one_thread};

/// What Holdup says of itself, and not of the service: level and text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events(pub(crate) Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let is_finding = event.metadata().fields().field("finding").is_some();
        if event.metadata().target() == "holdup" && !is_finding {
            let mut text = Text(event.metadata().level().to_string());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.push_str(&format!(" {value:?}"));
        }
    }
}

/// The export thread has no thread-local subscriber: its events reach the global one.
fn global_events() -> Events {
    static EVENTS: std::sync::OnceLock<Events> = std::sync::OnceLock::new();
    let events = EVENTS.get_or_init(|| {
        let events = Events::default();
        let subscriber = tracing_subscriber::registry().with(events.clone());
        tracing::subscriber::set_global_default(subscriber).unwrap();
        events
    });
    events.0.lock().unwrap().clear();
    events.clone()
}

fn slow_poll(name: &'static str) {
    on_one_thread(async { block(15) }.detect_blocking(name));
}

#[test]
fn without_a_collector_the_service_runs_and_there_is_one_warning() {
    let _alone = alone();
    let events = global_events();
    // A port that was free an instant ago refuses connections.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let builder = holdup::builder().endpoint(format!("http://127.0.0.1:{port}"));
    let guard = builder.install().unwrap();
    slow_poll("it::nobody listens");
    eventually("the warning", || !events.0.lock().unwrap().is_empty());
    slow_poll("it::nobody listens");
    let start = Instant::now();
    drop(guard);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    let events = events.0.lock().unwrap();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("WARN") && events[0].contains(&port.to_string()), "{events:?}");
    assert!(events[0].contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{events:?}");
}

#[test]
fn a_collector_that_never_answers_does_not_hold_the_end_up() {
    let _alone = alone();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let timeout = Duration::from_millis(300);
    let builder = holdup::builder().endpoint(url).flush_timeout(timeout);
    let guard = builder.install().unwrap();
    slow_poll("it::black hole");
    let start = Instant::now();
    drop(guard);
    let took = start.elapsed();
    assert!(took >= timeout && took < timeout + Duration::from_secs(2), "{took:?}");

    // Its thread still hangs, and must not take what the next installation finds.
    let receiver = Receiver::start();
    let guard = holdup::builder().endpoint(&receiver.url).install().unwrap();
    slow_poll("it::next");
    drop(guard);
    assert_eq!(names(&receiver.polls()), ["it::next"]);
}

#[test]
fn what_a_collector_can_not_take_at_once_is_sent_again() {
    let session = Session::start();
    let events = global_events();
    session.receiver.answer_first_with(503);
    slow_poll("it::again");
    eventually("it arrives", || !session.receiver.polls().is_empty());
    eventually("the all-clear", || events.0.lock().unwrap().len() == 2);
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::again"]);
    let events = events.0.lock().unwrap();
    assert!(events[0].starts_with("WARN") && events[0].contains("503"), "{events:?}");
    assert!(events[1].starts_with("INFO"), "{events:?}");
}

#[test]
fn what_a_collector_refuses_for_good_is_counted() {
    let session = Session::start();
    session.receiver.answer_first_with(400);
    slow_poll("it::refused");
    eventually("the refusal", || session.receiver.has_answered());
    slow_poll("it::taken");
    let receiver = &session.receiver;
    eventually("the next one arrives", || !receiver.polls().is_empty());
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::taken"]);
    assert_eq!(polls[0].integer("holdup.poll.dropped"), Some(1));
}

/// Whether all polls of a flood arrive or are counted as dropped.
fn accounts_for_a_flood() -> bool {
    const POLLS: u64 = 20_000;
    let with = |builder: holdup::Builder| {
        builder.threshold(Duration::from_nanos(1)).report_descheduled(true)
    };
    let session = Session::with(with);
    on_one_thread(async {
        for _ in 0..POLLS {
            std::future::ready(()).detect_blocking("it::flood").await;
        }
    });
    // The count of what was dropped last goes with the next span.
    let (mut arrived, mut dropped) = (0, 0);
    let receiver = &session.receiver;
    let deadline = Instant::now() + Duration::from_secs(10);
    while arrived + dropped < POLLS && Instant::now() < deadline {
        on_one_thread(std::future::ready(()).detect_blocking("it::next"));
        std::thread::sleep(Duration::from_millis(10));
        let polls = receiver.polls();
        arrived = polls.iter().filter(|poll| poll.function() == "it::flood").count() as u64;
        dropped = polls.iter().filter_map(|poll| poll.integer("holdup.poll.dropped")).sum();
    }
    session.finish();
    assert!(dropped > 0, "the queue is bounded");
    assert!(arrived > 0);
    arrived + dropped >= POLLS
}

#[test]
fn what_does_not_fit_is_dropped_and_the_count_travels() {
    // Polls during which the whole machine stood still for some milliseconds are nobody's.
    assert!((0..5).any(|_| accounts_for_a_flood()), "not everything is accounted for");
}

#[test]
fn one_installation_at_a_time() {
    let session = Session::start();
    let second = holdup::builder().install().unwrap_err();
    assert!(matches!(second, InstallError::AlreadyInstalled), "{second}");
    let events = Events::default();
    let subscriber = tracing_subscriber::registry().with(events.clone());
    tracing::subscriber::with_default(subscriber, || drop(holdup::init()));
    assert_eq!(events.0.lock().unwrap().len(), 1, "{events:?}");
    slow_poll("it::once");
    let (sent, next) = session.again(|| slow_poll("it::off"));
    assert_eq!(names(&sent), ["it::once"], "the first goes on, and alone");
    assert_eq!(names(&next.finish()), [""; 0], "nothing is recorded between two");
}

#[test]
fn settings_that_can_not_be_used_are_refused() {
    let _alone = alone();
    let zero = holdup::builder().threshold(Duration::ZERO).install().unwrap_err();
    assert!(matches!(zero, InstallError::ThresholdIsZero), "{zero}");
    let endpoint = holdup::builder().endpoint("not a url").install().unwrap_err();
    assert!(matches!(endpoint, InstallError::Exporter { .. }), "{endpoint}");
    assert!(endpoint.to_string().contains("not a url"), "{endpoint}");
    drop(Receiver::start());
    drop(holdup::builder().flush_timeout(Duration::ZERO).install().unwrap());
}
