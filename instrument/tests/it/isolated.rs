//! Work that was moved to a thread that may block.

use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Instant;

use holdup::{DetectBlocking, isolate, isolate_named};
use tokio::runtime::Builder;
use tracing::Subscriber;
use tracing::span::Id;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;

use crate::session::{Session, block, on_one_thread};

#[test]
fn isolated_work_is_not_reported_and_leaves_the_runtime_free() {
    let session = Session::start();
    let together = async {
        let start = Instant::now();
        let isolated = tokio::join!(isolate(|| block(150)), isolate(|| block(150)));
        assert!(isolated.0.unwrap() + isolated.1.unwrap() > start.elapsed(), "both at once");
    };
    on_one_thread(together.detect_blocking("it::together"));
    let many = Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let task = async { isolate(|| block(50)).await.unwrap() };
    many.block_on(async { tokio::spawn(task.detect_blocking("it::many")).await.unwrap() });
    assert!(session.finish().is_empty());
}

/// The threads on which spans were entered.
struct Entered(Arc<Mutex<Vec<ThreadId>>>);

impl<S: Subscriber> Layer<S> for Entered {
    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        self.0.lock().unwrap().push(thread::current().id());
    }
}

#[test]
fn the_callers_span_goes_along_and_is_no_poll_there() {
    let session = Session::start();
    let threads = Arc::new(Mutex::new(Vec::new()));
    let layers = holdup::layer().and_then(Entered(Arc::clone(&threads)));
    let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layers));
    on_one_thread(async {
        let span = tracing::info_span!("caller");
        // The second time the same thread enters the same span again, as a poll would.
        for _ in 0..2 {
            span.in_scope(|| isolate(|| block(40))).await.unwrap();
        }
    });
    let own = thread::current().id();
    let elsewhere = threads.lock().unwrap().iter().filter(|id| **id != own).count();
    assert_eq!(elsewhere, 2, "it was entered where the work ran");
    assert!(session.finish().is_empty());
}

#[test]
fn waiting_for_a_thread_is_told_from_running() {
    let session = Session::start();
    let runtime = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).build();
    let runtime = runtime.unwrap();
    let both = async {
        let first = isolate_named("it::first", || block(120));
        let second = isolate_named("it::second", || block(30));
        first.await.unwrap();
        second.await.unwrap();
        isolate(|| block(20)).await.unwrap();
    };
    runtime.block_on(async { tokio::spawn(both.detect_blocking("it::caller")).await.unwrap() });
    let receiver = session.end();
    let sum = |metric, name| receiver.durations(metric, name)[0].sum.unwrap();
    assert!(sum("holdup.isolate.run", "it::first") >= 0.118);
    let (waited, ran) =
        (sum("holdup.isolate.queue", "it::second"), sum("holdup.isolate.run", "it::second"));
    assert!(waited >= 0.1 && ran >= 0.029, "{waited} s in the queue, {ran} s on a thread");
    // Without a name of its own it has that of the function that called it.
    assert!(sum("holdup.isolate.run", "it::caller") >= 0.019);
}

#[test]
fn a_panic_comes_back_to_who_awaits() {
    on_one_thread(async {
        let error = isolate(|| -> u32 { std::panic::resume_unwind(Box::new("gone")) }).await;
        let panic = error.unwrap_err().into_panic();
        assert_eq!(*panic.downcast::<&str>().unwrap(), "gone");
    });
}
