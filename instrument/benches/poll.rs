//! What timing a poll costs, in nanoseconds over a bare one, ours beside others'.
//!
//! `cargo bench -p holdup --bench poll`, with nothing else running beside it.
//! Each round runs every way once, in turn, so that a machine that gets slower does so for all;
//! the median of the rounds is printed.

use std::fmt;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use holdup::DetectBlocking;
use opentelemetry::trace::TracerProvider;
use tokio::runtime::Runtime;
use tokio_metrics::TaskMonitor;
use tracing::{Dispatch, Instrument};
use tracing_subscriber::prelude::*;

const ROUNDS: usize = 15;
const POLLS: u64 = 300_000;

static SITE: holdup::Site = holdup::Site::new("bench::leaf", file!(), line!());
static MONITOR: LazyLock<TaskMonitor> = LazyLock::new(TaskMonitor::new);

/// Pending for a number of polls. `wakes` itself, for a runtime.
struct Leaf {
    left: u64,
    wakes: bool,
}

impl Future for Leaf {
    type Output = ();

    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.left = black_box(self.left) - 1;
        if self.left == 0 {
            return Poll::Ready(());
        }
        if self.wakes {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Bare,
    Disabled,
    Wrapper,
    Nested,
    Instant,
    NoLayer,
    Layer,
    TokioMetrics,
    OpenTelemetry,
}

const WAYS: [Way; 9] = [
    Way::Bare,
    Way::Disabled,
    Way::Wrapper,
    Way::Nested,
    Way::Instant,
    Way::NoLayer,
    Way::Layer,
    Way::TokioMetrics,
    Way::OpenTelemetry,
];

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bare => "bare",
            Self::Disabled => "holdup, switched off",
            Self::Wrapper => "holdup, wrapper or attribute",
            Self::Nested => "holdup, three wrappers nested",
            Self::Instant => "two Instant::now",
            Self::NoLayer => "tracing span, registry alone",
            Self::Layer => "tracing span, holdup::layer()",
            Self::TokioMetrics => "tokio-metrics instrument",
            Self::OpenTelemetry => "tracing-opentelemetry",
        })
    }
}

struct Timed<F>(F);

impl<F: Future + Unpin> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = Instant::now();
        let result = Pin::new(&mut self.0).poll(context);
        black_box(start.elapsed());
        result
    }
}

impl Way {
    fn task(self, wakes: bool) -> Task {
        let leaf = Leaf { left: POLLS, wakes };
        match self {
            Self::Bare => Box::pin(leaf),
            Self::Disabled | Self::Wrapper => Box::pin(holdup::watch(&SITE, leaf)),
            Self::Nested => {
                Box::pin(leaf.detect_blocking("a").detect_blocking("b").detect_blocking("c"))
            }
            Self::Instant => Box::pin(Timed(leaf)),
            Self::NoLayer | Self::Layer | Self::OpenTelemetry => {
                Box::pin(leaf.instrument(tracing::info_span!("leaf")))
            }
            Self::TokioMetrics => Box::pin(TaskMonitor::instrument(&MONITOR, leaf)),
        }
    }

    fn subscriber(self) -> Dispatch {
        let registry = tracing_subscriber::registry();
        match self {
            Self::NoLayer => Dispatch::new(registry),
            Self::Layer => Dispatch::new(registry.with(holdup::layer())),
            Self::OpenTelemetry => {
                let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
                let tracer = provider.tracer("bench");
                Dispatch::new(registry.with(tracing_opentelemetry::layer().with_tracer(tracer)))
            }
            _ => Dispatch::none(),
        }
    }

    /// Nanoseconds a poll: in a loop, and as a task that wakes itself.
    fn measure(self, runtime: &Runtime) -> [f64; 2] {
        let off = [Self::Bare, Self::Disabled].contains(&self);
        let builder = holdup::builder().endpoint("http://127.0.0.1:9");
        let guard = (!off).then(|| builder.flush_timeout(Duration::ZERO).install());
        let measured = tracing::dispatcher::with_default(&self.subscriber(), || {
            let mut task = black_box(self.task(false));
            let mut context = Context::from_waker(Waker::noop());
            let start = Instant::now();
            while task.as_mut().poll(&mut context).is_pending() {}
            let raw = nanoseconds_each(start);
            let task = self.task(true);
            let start = Instant::now();
            let ended = runtime.block_on(async { tokio::spawn(task).await.is_ok() });
            assert!(ended);
            [raw, nanoseconds_each(start)]
        });
        drop(guard);
        measured
    }
}

fn nanoseconds_each(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / POLLS as f64
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[allow(clippy::print_stdout)]
fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut rounds = vec![[[0.0; 2]; ROUNDS]; WAYS.len()];
    for round in 0..ROUNDS {
        for (way, measured) in WAYS.iter().zip(&mut rounds) {
            measured[round] = way.measure(&runtime);
        }
    }
    println!("nanoseconds a poll over bare, median of {ROUNDS} rounds of {POLLS} polls\n");
    println!("| {:<30} | {:>6} | {:>6} | {:>14} |", "way", "loop", "tokio", "x of wrapper");
    println!("|{:-<32}|{:->8}|{:->8}|{:->16}|", "", ":", ":", ":");
    // Over the bare poll of the same round.
    let over = |way: usize, kind: usize| {
        let bare = &rounds[0];
        let mut all = (0..ROUNDS)
            .map(|round| rounds[way][round][kind] - bare[round][kind])
            .collect::<Vec<_>>();
        median(&mut all)
    };
    let wrapper = WAYS.iter().position(|way| *way == Way::Wrapper).map_or(1.0, |way| over(way, 1));
    for (index, way) in WAYS.iter().enumerate().skip(1) {
        let (raw, tokio) = (over(index, 0), over(index, 1));
        println!("| {way:<30} | {raw:>6.1} | {tokio:>6.1} | {:>14.1} |", tokio / wrapper);
    }
    Ok(())
}
