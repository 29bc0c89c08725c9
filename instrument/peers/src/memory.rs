//! `holdup-peers memory`: bytes that a thread takes more of memory once it has polled more functions
//! than holdup tells apart on one thread.

use std::fs;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Waker};
use std::thread;

use holdup::DetectBlocking;

use crate::Outcome;

const THREADS: usize = 200;
const FUNCTIONS: usize = 200;

/// Measures what is resident before and after.
pub(crate) fn run() -> Outcome<()> {
    let names = (0..FUNCTIONS).map(|index| &*format!("memory::function {index}").leak());
    let names = names.collect::<Vec<&'static str>>();
    let _guard = holdup::builder().endpoint("http://127.0.0.1:9").install()?;
    let (begun, polled, measured) = (step(), step(), step());
    let grown = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                // What the thread takes without holdup: its stack as far as it is used.
                polls(&names, |name| {
                    let _ready = pin!(async move { name.len() }).poll(&mut context());
                });
                begun.wait();
                polls(&names, |name| {
                    let _ready =
                        pin!(async move { name.len() }.detect_blocking(name)).poll(&mut context());
                });
                polled.wait();
                measured.wait();
            });
        }
        begun.wait();
        let before = resident();
        polled.wait();
        let after = resident();
        measured.wait();
        Ok::<_, Box<dyn std::error::Error>>(after? - before?)
    })?;
    println!("{:.0}", grown / THREADS as f64);
    std::process::exit(0);
}

fn step() -> Barrier {
    Barrier::new(THREADS + 1)
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn polls(names: &[&'static str], poll: impl Fn(&'static str)) {
    names.iter().for_each(|name| poll(name));
}

fn resident() -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: f64 = line.ok_or("no VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024.0)
}
