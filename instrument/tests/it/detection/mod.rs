//! Blocks of every kind and length in random order among innocent polls, on a machine whose CPUs
//! all have work; and what of it was told.
//!
//! The integration test runs some of them, `cargo bench -p holdup --bench detection` a thousand.

mod faults;
mod ffi;
mod verdict;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use holdup::DetectBlocking;
use tokio::runtime::Builder;

use crate::cpu::Load;
use faults::{HELPS, Kind, Stage, Truth, runqueue};
pub(crate) use verdict::Verdict;

/// What is to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) blocks: usize,
    pub(crate) innocents: usize,
    /// Tasks that block at the same time, each on a worker.
    pub(crate) tasks: usize,
    pub(crate) threshold: Duration,
    /// The longest block, in thresholds.
    pub(crate) longest: f64,
    /// Threads that only compute.
    pub(crate) load: usize,
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

impl Plan {
    /// All kinds equally often, in random order; short ones more often than long ones.
    fn blocks(&self) -> Vec<(Kind, Duration)> {
        let mut random = Random(self.seed);
        let mut blocks = (0..self.blocks)
            .map(|index| {
                let multiple = self.longest.powf(random.share());
                (Kind::ALL[index % Kind::ALL.len()], self.threshold.mul_f64(multiple))
            })
            .collect::<Vec<_>>();
        for last in (1..blocks.len()).rev() {
            let other = usize::try_from(random.next() % (last as u64 + 1)).unwrap();
            blocks.swap(last, other);
        }
        blocks
    }

    /// What an installation needs for it.
    pub(crate) fn configure(&self, builder: holdup::Builder) -> holdup::Builder {
        builder.threshold(self.threshold).threshold_for(HELPS, Duration::from_secs(3600))
    }

    /// Does it all, under an installation of Holdup's with this threshold.
    pub(crate) fn run(&self) -> Vec<Truth> {
        let load = Load::start(self.load);
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let (blocks, truths) = (Arc::new(Mutex::new(self.blocks())), Arc::default());
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(self.tasks).thread_name("worker").build().unwrap();
        let tasks = (0..self.tasks).map(|number| {
            let task = Task { plan: *self, number, folder: folder.clone() };
            runtime.spawn(task.run(Arc::clone(&blocks), Arc::clone(&truths)))
        });
        let tasks = tasks.collect::<Vec<_>>();
        runtime.block_on(async {
            for task in tasks {
                task.await.unwrap();
            }
        });
        drop(load);
        std::mem::take(&mut *truths.lock().unwrap())
    }
}

struct Task {
    plan: Plan,
    number: usize,
    folder: PathBuf,
}

impl Task {
    async fn run(self, blocks: Arc<Mutex<Vec<(Kind, Duration)>>>, truths: Arc<Mutex<Vec<Truth>>>) {
        let mut random = Random(self.plan.seed ^ (self.number as u64 + 1));
        let mut stage = Stage::new(self.number, &self.folder);
        let mut told = Vec::new();
        let between = self.plan.innocents / self.plan.blocks;
        loop {
            let next = blocks.lock().unwrap().pop();
            for _ in 0..between {
                let number = random.next();
                let innocent = async move { faults::innocent(number) };
                told.push(timed(innocent.detect_blocking("bench::innocent")).await);
                tokio::task::yield_now().await;
            }
            let Some((kind, time)) = next else { break };
            let begin = stage.prepare(kind, time);
            let blocks = async { stage.block(kind, time, &begin) };
            told.push(timed(blocks.detect_blocking(kind.name())).await);
            tokio::task::yield_now().await;
        }
        truths.lock().unwrap().append(&mut told);
    }
}

/// What a future that is ready at its first poll tells of itself, and what is so around it.
async fn timed(future: impl Future<Output = Truth>) -> Truth {
    let (waited, start, clock) = (runqueue(), SystemTime::now(), Instant::now());
    let truth = future.await;
    let outer = clock.elapsed();
    Truth { start, outer, outer_runqueue: runqueue().saturating_sub(waited), ..truth }
}
