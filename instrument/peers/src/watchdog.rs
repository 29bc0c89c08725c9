//! `holdup-peers watchdog SCENE SECONDS`: what holdup's own threads take of a core while a service
//! polls, in percent: first the watchdog's, then the exporter's.

use std::fs;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;
use tokio::runtime::{Builder, Runtime};

use crate::Outcome;

/// What comes before the measurement: calibration, the first report, names of the first stacks.
const WARM_UP: Duration = Duration::from_secs(2);
/// Names of the threads as the OS keeps them.
const THREADS: [&str; 2] = ["holdup-watchdog", "holdup-export"];

/// Measures one scene.
pub(crate) fn run(scene: &str, seconds: f64) -> Outcome<()> {
    let builder = holdup::builder().endpoint("http://127.0.0.1:9");
    let _guard = builder.install()?;
    let _runtimes = begin(scene)?;
    thread::sleep(WARM_UP);
    let (before, began) = (cpu_ns()?, Instant::now());
    thread::sleep(Duration::from_secs_f64(seconds));
    let (after, took) = (cpu_ns()?, began.elapsed().as_secs_f64());
    let percent = |index: usize| (after[index] - before[index]) as f64 / took / 1e7;
    println!("{:.4} {:.4}", percent(0), percent(1));
    std::process::exit(0);
}

/// Has threads poll until their runtimes are dropped.
fn begin(scene: &str) -> Outcome<Vec<Runtime>> {
    match scene {
        "idle" => {
            let runtime = workers(2)?;
            runtime.block_on(async {}.detect_blocking("scene::once"));
            Ok(vec![runtime])
        }
        "short" => {
            let runtime = workers(2)?;
            runtime.spawn(repeat(micros(1_000), || spin(micros(100))));
            Ok(vec![runtime])
        }
        "blocks" => {
            static TURN: AtomicUsize = AtomicUsize::new(0);
            let runtime = workers(2)?;
            runtime.spawn(repeat(micros(250_000), || {
                match TURN.fetch_add(1, Ordering::Relaxed) % 2 {
                    0 => thread::sleep(micros(30_000)),
                    _ => spin(micros(30_000)),
                }
            }));
            Ok(vec![runtime])
        }
        "busy" => {
            let runtime = workers(2)?;
            for _ in 0..2 {
                runtime.spawn(repeat(Duration::ZERO, || spin(micros(100))));
            }
            Ok(vec![runtime])
        }
        "many" => {
            let runtimes = (0..64).map(|_| workers(1)).collect::<Outcome<Vec<_>>>()?;
            for runtime in &runtimes {
                runtime.spawn(repeat(micros(6_400), || spin(micros(10))));
            }
            Ok(runtimes)
        }
        other => Err(format!("no scene {other:?}").into()),
    }
}

fn workers(count: usize) -> Outcome<Runtime> {
    Ok(Builder::new_multi_thread().worker_threads(count).enable_time().build()?)
}

/// One poll after the other, with so much time from the start of one to the start of the next.
async fn repeat(every: Duration, work: impl Fn() + Send) {
    let poll = async {
        let mut next = tokio::time::Instant::now();
        loop {
            work();
            next += every;
            if every.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep_until(next).await;
            }
        }
    };
    poll.detect_blocking("scene::repeat").await
}

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn spin(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        spin_loop();
    }
}

/// CPU time of holdup's threads, in nanoseconds.
fn cpu_ns() -> Outcome<[u64; 2]> {
    let mut found = [0; 2];
    for task in fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        let name = fs::read_to_string(path.join("comm"))?;
        if let Some(index) = THREADS.iter().position(|thread| *thread == name.trim()) {
            let accounts = fs::read_to_string(path.join("schedstat"))?;
            let first = accounts.split_whitespace().next().unwrap_or_default();
            found[index] = first.parse()?;
        }
    }
    Ok(found)
}
