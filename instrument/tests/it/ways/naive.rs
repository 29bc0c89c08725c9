//! Ways by which people look for blocking code, as they are built elsewhere.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// What a way reports: whom it blames, and for how long.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<(&'static str, Duration)>>>);

impl Log {
    fn add(&self, name: &'static str, time: Duration) {
        self.0.lock().unwrap().push((name, time));
    }

    pub(super) fn lines(&self) -> Vec<(&'static str, Duration)> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn blamed(&self) -> Vec<&'static str> {
        self.lines().into_iter().map(|(name, _)| name).collect()
    }
}

/// The decorator that takes the time before and after an await: `start = time.time(); await f();
/// log(time.time() - start)`, the first answer wherever it is asked how to find blocking code.
pub(super) async fn decorated<F: Future>(
    log: Log,
    name: &'static str,
    threshold: Duration,
    future: F,
) -> F::Output {
    let start = Instant::now();
    let output = future.await;
    let elapsed = start.elapsed();
    if elapsed >= threshold {
        log.add(name, elapsed);
    }
    output
}

/// The timing wrapper of services that handle errors with `?`: what fails leaves before the time is
/// taken.
pub(super) async fn timed<T, E>(
    log: Log,
    name: &'static str,
    threshold: Duration,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let start = Instant::now();
    let output = future.await?;
    let elapsed = start.elapsed();
    if elapsed >= threshold {
        log.add(name, elapsed);
    }
    Ok(output)
}

/// asyncio's debug mode, with `slow_callback_duration`: the clock is read around each callback of the
/// event loop, here each poll of a task, and the callback is named when it has returned.
pub(super) struct DebugMode<F> {
    future: Pin<Box<F>>,
    name: &'static str,
    slow_callback: Duration,
    log: Log,
}

pub(super) fn debugged<F: Future>(
    log: Log,
    name: &'static str,
    slow_callback: Duration,
    future: F,
) -> DebugMode<F> {
    DebugMode { future: Box::pin(future), name, slow_callback, log }
}

impl<F: Future> Future for DebugMode<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = Instant::now();
        let polled = self.future.as_mut().poll(context);
        let took = start.elapsed();
        if took >= self.slow_callback {
            self.log.add(self.name, took);
        }
        polled
    }
}

/// Busy time, summed up over all polls and held against a threshold when the future is gone: what
/// `tracing`'s `time.busy` and the warnings that are built on it do.
pub(super) struct BusyTime<F> {
    future: Pin<Box<F>>,
    name: &'static str,
    threshold: Duration,
    busy: Duration,
    log: Log,
}

pub(super) fn busy_time<F: Future>(
    log: Log,
    name: &'static str,
    threshold: Duration,
    future: F,
) -> BusyTime<F> {
    BusyTime { future: Box::pin(future), name, threshold, busy: Duration::ZERO, log }
}

impl<F: Future> Future for BusyTime<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = Instant::now();
        let polled = self.future.as_mut().poll(context);
        self.busy += start.elapsed();
        polled
    }
}

impl<F> Drop for BusyTime<F> {
    fn drop(&mut self) {
        if self.busy >= self.threshold {
            self.log.add(self.name, self.busy);
        }
    }
}

/// asyncio's `set_exception_handler`, where people register what should be told of slow callbacks:
/// it is called for what is raised.
pub(super) async fn with_exception_handler<F: Future>(
    log: Log,
    name: &'static str,
    future: F,
) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let start = Instant::now();
        let poll = AssertUnwindSafe(|| future.as_mut().poll(context));
        catch_unwind(poll).unwrap_or_else(|raised| {
            log.add(name, start.elapsed());
            resume_unwind(raised)
        })
    })
    .await
}

/// A thread that does something again and again until it is stopped.
struct Repeated {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Repeated {
    fn every(period: Duration, mut act: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                act();
                thread::sleep(period);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Repeated {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// The watchdog of some databases: a task that does nothing has to be run in time. Any free worker
/// runs it.
pub(super) struct Heartbeat {
    answers: Arc<[AtomicUsize; 2]>,
    _beat: Repeated,
}

impl Heartbeat {
    pub(super) fn start(runtime: &Handle, period: Duration, allowed: Duration) -> Self {
        let answers = Arc::<[AtomicUsize; 2]>::default();
        let (runtime, counted) = (runtime.clone(), Arc::clone(&answers));
        let beat = Repeated::every(period, move || {
            let (answer, answered) = std::sync::mpsc::channel();
            runtime.spawn(async move { answer.send(()) });
            let is_late = answered.recv_timeout(allowed).is_err();
            counted[usize::from(is_late)].fetch_add(1, Ordering::Relaxed);
        });
        Self { answers, _beat: beat }
    }

    pub(super) fn answered(&self) -> usize {
        self.answers[0].load(Ordering::Relaxed)
    }

    pub(super) fn late(&self) -> usize {
        self.answers[1].load(Ordering::Relaxed)
    }
}

/// A profiler as they are set by default: samples of the threads that are on a CPU.
pub(super) struct CpuProfiler {
    samples: Arc<Mutex<HashMap<String, usize>>>,
    _sampler: Repeated,
}

impl CpuProfiler {
    pub(super) fn start(period: Duration) -> Self {
        let samples = Arc::<Mutex<HashMap<String, usize>>>::default();
        let taken = Arc::clone(&samples);
        let sampler = Repeated::every(period, move || {
            for name in threads_on_cpu() {
                *taken.lock().unwrap().entry(name).or_default() += 1;
            }
        });
        Self { samples, _sampler: sampler }
    }

    /// Samples of the threads of that name.
    pub(super) fn samples(&self, thread: &str) -> usize {
        self.samples.lock().unwrap().get(thread).copied().unwrap_or(0)
    }
}

fn threads_on_cpu() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // A thread may end between the listing and the reading.
    let stats =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
            rest.trim_start().starts_with('R').then(|| name.to_owned())
        })
        .collect()
}

/// A monitor in the manner of aiomonitor: it dumps the tasks from a task of the runtime it looks at.
pub(super) struct Dumper(Arc<AtomicUsize>);

impl Dumper {
    pub(super) fn spawn(runtime: &Handle, period: Duration) -> Self {
        let dumps = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&dumps);
        runtime.spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(period).await;
            }
        });
        Self(dumps)
    }

    pub(super) fn dumps(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
