//! What is found of a thousand blocks among a hundred thousand innocent polls.
//!
//! `cargo bench -p holdup --bench detection [-- [--seed N] [--blocks N] [--innocents N]]`. Fails when
//! a block is missed, a duration is off by more than a millisecond, more than one in a hundred has
//! the wrong leaf or cause, or an innocent poll is reported.

// It stops at the first thing that is wrong, as a test may.
#![allow(clippy::unwrap_used, clippy::panic)]
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[cfg(target_os = "linux")]
use detection::{Plan, Verdict};
#[cfg(target_os = "linux")]
use receiver::Receiver;

#[path = "../tests/it/cpu.rs"]
#[allow(dead_code)]
mod cpu;
#[cfg(target_os = "linux")]
#[allow(dead_code)]
#[path = "../tests/it/detection/mod.rs"]
mod detection;
#[path = "../tests/it/receiver.rs"]
#[allow(dead_code)]
mod receiver;

/// What is wrong in detail, of which so much is shown of each kind.
const SHOWN_MAX: usize = 40;

#[cfg(target_os = "linux")]
fn plan() -> Option<Plan> {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let threshold = Duration::from_millis(10);
    let (blocks, innocents, tasks, longest) = (1_000, 100_000, 4, 50.0);
    let mut plan = Plan { seed: now, blocks, innocents, tasks, threshold, longest, load: cores };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut number = || arguments.next()?.parse::<usize>().ok();
        match name.as_str() {
            "--seed" => plan.seed = number()? as u64,
            "--blocks" => plan.blocks = number()?.max(1),
            "--innocents" => plan.innocents = number()?,
            "--tasks" => plan.tasks = number()?.max(1),
            "--load" => plan.load = number()?,
            // What cargo passes to every bench.
            "--bench" => {}
            _ => return None,
        }
    }
    Some(plan)
}

/// Elsewhere neither causes nor stacks are known.
#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout();
    let Some(plan) = plan() else {
        writeln!(
            io::stderr(),
            "usage: [--seed N] [--blocks N] [--innocents N] [--tasks N] [--load N]"
        )?;
        return Ok(ExitCode::from(2));
    };
    writeln!(out, "{plan:?}")?;
    let receiver = Receiver::start();
    let guard = plan
        .configure(holdup::builder())
        .service_name("detection")
        .endpoint(&receiver.url)
        .reports_per_minute(1_000_000)
        .flush_timeout(Duration::from_secs(60))
        .install()
        .map_err(io::Error::other)?;
    let start = Instant::now();
    let truths = plan.run();
    let took = start.elapsed();
    drop(guard);
    let verdict = Verdict::of(&truths, &receiver.polls(), plan.threshold);
    for wrong in [&verdict.faults, &verdict.invented] {
        for fault in wrong.iter().take(SHOWN_MAX) {
            writeln!(out, "{fault}")?;
        }
    }
    writeln!(out, "\n{verdict}took {took:.0?}")?;
    let misses = verdict.misses();
    for miss in &misses {
        writeln!(out, "MISSED: {miss}")?;
    }
    Ok(if misses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
