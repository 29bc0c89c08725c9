//! What watched runtimes report of themselves.

use std::time::Duration;

use holdup::DetectBlocking;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use tokio::runtime::Builder;

use crate::receiver::Receiver;
use crate::session::{Session, block, eventually};

const OFTEN: Duration = Duration::from_millis(100);

/// What was said of a runtime, oldest first.
fn said(receiver: &Receiver, metric: &str, runtime: &str) -> Vec<f64> {
    let points = receiver.numbers(metric).into_iter();
    points
        .filter(|(of, _)| of.as_deref() == Some(runtime))
        .map(|(_, point)| match point.value {
            Some(Value::AsInt(value)) => value as f64,
            Some(Value::AsDouble(value)) => value,
            None => panic!("{metric} without a value"),
        })
        .collect()
}

#[test]
fn workers_tasks_and_busy_time_are_reported() {
    let session = Session::with(|builder| builder.metrics_interval(OFTEN));
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).name("it-many");
    let runtime = holdup::watch_runtime(&mut builder).build().unwrap();
    let receiver = &session.receiver;
    let task = runtime.spawn(std::future::pending::<()>());
    eventually("a report", || said(receiver, "holdup.runtime.tasks", "it-many").contains(&1.0));
    assert_eq!(said(receiver, "holdup.runtime.workers", "it-many").pop(), Some(2.0));
    task.abort();
    runtime.block_on(async {
        // A thread is known to be of the runtime from the time that it parks after its first poll.
        for _ in 0..8 {
            tokio::spawn(async { block(60) }.detect_blocking("it::busy")).await.unwrap();
        }
    });
    eventually("the busy time", || {
        let busy = said(receiver, "holdup.runtime.busy", "it-many").iter().sum::<f64>();
        assert!(busy < 30.0, "{busy}");
        busy >= 0.47
    });
    assert!(said(receiver, "holdup.runtime.parks", "it-many").iter().sum::<f64>() >= 1.0);
    let coverage = said(receiver, "holdup.runtime.coverage", "it-many");
    assert!(coverage.iter().any(|share| *share > 0.5), "{coverage:?}");
    drop(session);
}

#[test]
fn a_runtime_that_does_not_answer_has_a_lag_that_grows() {
    let session = Session::with(|builder| builder.metrics_interval(OFTEN));
    let mut builder = Builder::new_current_thread();
    let runtime = holdup::watch_runtime(builder.name("it-blocked").enable_time()).build().unwrap();
    // The probe begins when the thread parks for the first time.
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
    let longest = |receiver: &Receiver| {
        said(receiver, "holdup.runtime.lag", "it-blocked").into_iter().fold(0.0, f64::max)
    };
    runtime.block_on(async {
        // Nobody awaits in here: the runtime stands still, and that is said while it does.
        eventually("a lag", || longest(&session.receiver) > 0.3);
    });
    drop(session);
}

#[test]
fn a_runtime_that_is_gone_is_forgotten() {
    let session = Session::with(|builder| builder.metrics_interval(OFTEN));
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).name("it-gone");
    let runtime = holdup::watch_runtime(&mut builder).build().unwrap();
    let receiver = &session.receiver;
    eventually("a report", || !said(receiver, "holdup.runtime.tasks", "it-gone").is_empty());
    drop(runtime);
    let reports = receiver.reports().len();
    eventually("later reports", || receiver.reports().len() >= reports + 3);
    let last = receiver.reports().pop().unwrap();
    let text = format!("{last:?}");
    assert!(!text.contains("it-gone"), "{text}");
    drop(session);
}

#[test]
fn each_runtime_of_one_builder_is_known() {
    let session = Session::with(|builder| builder.metrics_interval(OFTEN));
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).name("it-twin");
    let builder = holdup::watch_runtime(&mut builder);
    let twins = [builder.build().unwrap(), builder.build().unwrap()];
    let receiver = &session.receiver;
    eventually("both report", || {
        let reports = receiver.reports();
        reports.iter().any(|report| {
            let mut metrics = report.resource_metrics[0].scope_metrics[0].metrics.iter();
            let workers = metrics.find(|metric| metric.name.ends_with("workers"));
            format!("{workers:?}").matches("it-twin").count() == 2
        })
    });
    drop((twins, session));
}
