//! `holdup-peers WAY POLLS WORKERS`: polls a future that wakes itself so many times on each of so
//! many workers, watched in the given way, and prints the nanoseconds of one poll.
//!
//! `holdup-peers watchdog SCENE SECONDS`, `slow` and `memory` measure what else holdup costs.
//!
//! Run by `cargo xtask bench`, which takes the ways in turn.

mod memory;
mod slow;
mod watchdog;

use std::error::Error;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Instant;

use await_tree::InstrumentAwait;
use holdup::DetectBlocking;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tokio::runtime::{Builder, Runtime};
use tracing::Instrument;
use tracing_subscriber::prelude::*;

const USAGE: &str = "usage: holdup-peers WAY POLLS WORKERS, watchdog SCENE SECONDS, slow, or memory";

type Outcome<T> = Result<T, Box<dyn Error>>;
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Pending so many times, and wakes itself each time. Alone on its cache lines: two in one would slow
/// each other down, whatever watches them.
#[repr(align(128))]
struct Leaf(u64);

impl Future for Leaf {
    type Output = ();

    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0 = black_box(self.0) - 1;
        if self.0 == 0 {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

static MONITOR: LazyLock<tokio_metrics::TaskMonitor> =
    LazyLock::new(tokio_metrics::TaskMonitor::new);
static TREES: LazyLock<await_tree::Registry> =
    LazyLock::new(|| await_tree::Registry::new(await_tree::Config::default()));

/// Takes spans and does nothing with them.
#[derive(Debug)]
struct Nowhere;

impl SpanExporter for Nowhere {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        black_box(batch.len());
        Ok(())
    }
}

/// Switches on what the way needs in the whole process. What it returns has to live on.
fn prepare(way: &str) -> Outcome<Option<holdup::Guard>> {
    let installed = || holdup::builder().endpoint("http://127.0.0.1:9").install();
    match way {
        "holdup" => return Ok(Some(installed()?)),
        "holdup-layer" => {
            tracing_subscriber::registry().with(holdup::layer()).init();
            return Ok(Some(installed()?));
        }
        "tracing-opentelemetry" => {
            let provider = SdkTracerProvider::builder().with_batch_exporter(Nowhere).build();
            let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("peers"));
            tracing_subscriber::registry().with(layer).init();
            // Spans end long after this function.
            std::mem::forget(provider);
        }
        #[cfg(feature = "unstable")]
        "console-subscriber" => {
            let layer = console_subscriber::ConsoleLayer::builder()
                .server_addr(([127, 0, 0, 1], 0))
                .spawn();
            tracing_subscriber::registry().with(layer).init();
        }
        _ => {}
    }
    Ok(None)
}

fn task(way: &str, polls: u64) -> Outcome<Task> {
    let leaf = Leaf(polls);
    Ok(match way {
        "bare" | "console-subscriber" | "dial9" => Box::pin(leaf),
        "holdup" | "holdup-off" => Box::pin(leaf.detect_blocking("peers::leaf")),
        "holdup-layer" | "tracing-opentelemetry" => {
            Box::pin(leaf.instrument(tracing::info_span!("leaf")))
        }
        "tokio-metrics" => Box::pin(tokio_metrics::TaskMonitor::instrument(&MONITOR, leaf)),
        "async-backtrace" => Box::pin(async_backtrace::location!().frame(leaf)),
        "await-tree" => {
            let root = TREES.register_anonymous("root");
            Box::pin(root.instrument(leaf.instrument_await("leaf")))
        }
        other => return Err(format!("no way {other:?}").into()),
    })
}

/// Polls on every worker at once; ns a poll.
fn measure(runtime: &Runtime, way: &str, polls: u64, workers: u64) -> Outcome<f64> {
    let tasks = (0..workers).map(|_| task(way, polls)).collect::<Outcome<Vec<Task>>>()?;
    let began = Instant::now();
    runtime.block_on(async {
        let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
        for task in running {
            task.await?;
        }
        Ok::<(), tokio::task::JoinError>(())
    })?;
    Ok(began.elapsed().as_secs_f64() * 1e9 / polls as f64)
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [way, polls, workers] = match *arguments.as_slice() {
        ["watchdog", scene, seconds] => return watchdog::run(scene, seconds.parse()?),
        ["slow"] => return slow::run(),
        ["memory"] => return memory::run(),
        [way, polls, workers] => [way, polls, workers],
        _ => return Err(USAGE.into()),
    };
    let (polls, workers): (u64, u64) = (polls.parse()?, workers.parse()?);
    let _guard = prepare(way)?;
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(usize::try_from(workers)?).enable_time();
    #[cfg(feature = "unstable")]
    if way == "dial9" {
        use dial9::{Dial9HandleTokioExt, TokioAttachOptions};
        let recorder = dial9::recorder(dial9::MemoryBuffer::new(64 << 20)?).build();
        let attached =
            recorder.handle().attach_tokio_runtime(builder, TokioAttachOptions::default())?;
        measure(&attached, way, polls / 20 + 1, workers)?;
        println!("{:.3}", measure(&attached, way, polls, workers)?);
        // Its files are nobody's, and its shutdown is not what is measured.
        std::process::exit(0);
    }
    let runtime = builder.build()?;
    measure(&runtime, way, polls / 20 + 1, workers)?;
    println!("{:.3}", measure(&runtime, way, polls, workers)?);
    std::process::exit(0);
}
