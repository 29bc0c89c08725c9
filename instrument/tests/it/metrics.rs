//! What is measured of polls that are not slow.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use holdup::DetectBlocking;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use crate::session::{Session, block, eventually, on_one_thread};

/// Takes a number of polls, the last of which is slow.
struct Polls {
    left: u32,
}

impl Future for Polls {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        self.left -= 1;
        if self.left > 0 {
            return Poll::Pending;
        }
        block(20);
        Poll::Ready(())
    }
}

fn run(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    while future.as_mut().poll(&mut context).is_pending() {}
}

/// Seconds at which a bucket begins.
fn begins(scale: i32, index: i32) -> f64 {
    (f64::from(index) / f64::from(1_i32 << scale)).exp2()
}

#[test]
fn every_poll_of_every_thread_is_in_the_histogram() {
    let session = Session::with(|builder| builder.metrics_interval(Duration::from_millis(300)));
    let body = || run(Polls { left: 1_000 }.detect_blocking("it::counted"));
    let threads = [std::thread::spawn(body), std::thread::spawn(body)];
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    body();
    let receiver = session.end();
    let points = receiver.histograms("it::counted");
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), 3_000);
    let seconds = points.iter().map(|point| point.sum.unwrap()).sum::<f64>();
    assert!((0.06..1.0).contains(&seconds), "{seconds}");
    let mut slow = 0;
    for point in &points {
        let positive = point.positive.as_ref().unwrap();
        let counts = &positive.bucket_counts;
        assert_eq!(point.zero_count + counts.iter().sum::<u64>(), point.count);
        assert!(point.start_time_unix_nano < point.time_unix_nano);
        let indices = (positive.offset..).zip(counts);
        slow += indices
            .filter(|(index, _)| begins(point.scale, *index) > 0.016)
            .map(|(_, count)| count)
            .sum::<u64>();
    }
    assert_eq!(slow, 3, "polls of 20 ms or more");
    let captured = receiver.numbers("holdup.poll.captured");
    assert_eq!(captured.iter().map(|(_, point)| integer(point.value)).sum::<i64>(), 3);
    let dropped = receiver.numbers("holdup.poll.dropped");
    assert_eq!(dropped.iter().map(|(_, point)| integer(point.value)).sum::<i64>(), 0);
}

fn integer(value: Option<Value>) -> i64 {
    match value {
        Some(Value::AsInt(integer)) => integer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_nested_poll_has_its_own_time_and_the_outer_one_the_rest() {
    let session = Session::start();
    let inner = async { block(30) }.detect_blocking("it::inner of two");
    on_one_thread(inner.detect_blocking("it::outer of two"));
    let receiver = session.end();
    let sum = |name| receiver.histograms(name)[0].sum.unwrap();
    assert!(sum("it::inner of two") >= 0.029);
    assert!(sum("it::outer of two") < 0.01, "{}", sum("it::outer of two"));
}

#[test]
fn a_service_in_which_nothing_happens_says_that_it_is_there() {
    let session = Session::with(|builder| builder.metrics_interval(Duration::from_millis(100)));
    eventually("two reports", || session.receiver.reports().len() >= 2);
    let receiver = session.end();
    let report = &receiver.reports()[0].resource_metrics[0];
    let attributes = &report.resource.as_ref().unwrap().attributes;
    let keys = attributes.iter().map(|attribute| attribute.key.as_str()).collect::<Vec<_>>();
    assert!(keys.contains(&"service.name") && keys.contains(&"service.instance.id"), "{keys:?}");
    assert_eq!(report.scope_metrics[0].scope.as_ref().unwrap().name, "holdup");
    // One report begins where the one before it ended.
    let points = receiver.numbers("holdup.poll.captured");
    for pair in points.windows(2) {
        assert_eq!(pair[0].1.time_unix_nano, pair[1].1.start_time_unix_nano);
    }
}

#[test]
fn a_report_that_was_turned_away_is_sent_again_and_nothing_counts_twice() {
    let session = Session::with(|builder| builder.metrics_interval(Duration::from_millis(100)));
    session.receiver.answer_first_metrics_with(503);
    run(Polls { left: 100 }.detect_blocking("it::again"));
    eventually("the refusal", || session.receiver.has_answered());
    run(Polls { left: 10 }.detect_blocking("it::again"));
    let receiver = session.end();
    let points = receiver.histograms("it::again");
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), 110);
}

#[test]
fn metrics_can_be_switched_off() {
    let session = Session::with(|builder| builder.metrics_interval(Duration::ZERO));
    run(Polls { left: 2 }.detect_blocking("it::silent"));
    let receiver = session.end();
    assert!(receiver.reports().is_empty());
    assert_eq!(receiver.polls().len(), 1);
}
