//! Blocks its runtime in the way that its argument names, until its standard input is closed. Has
//! nothing of Holdup in it. Prints `ready` when it has begun to block.

mod answers;

use std::hint::black_box;
use std::io::{Read, Write};
use std::sync::Mutex;
use std::time::Duration;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3600);

static ACCOUNTS: Mutex<u64> = Mutex::new(0);

fn main() -> std::io::Result<()> {
    let scene = std::env::args().nth(1).unwrap_or_default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match scene.as_str() {
        "sleeps" => drop(runtime.spawn(pays(asks_bank))),
        "spins" => drop(runtime.spawn(pays(mines))),
        "deadlocks" => drop(runtime.spawn(pays(locks_twice))),
        "pool" => drop(runtime.spawn_blocking(|| black_box(archives()))),
        "answers" => return answers::run(&runtime),
        other => return Err(std::io::Error::other(format!("there is no scene {other:?}"))),
    }
    say("ready")?;
    until_closed()?;
    // Its threads never end of themselves.
    runtime.shutdown_background();
    Ok(())
}

/// Prints a line.
pub(crate) fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Waits until whoever started this program closes its standard input, or ends.
pub(crate) fn until_closed() -> std::io::Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new()).map(drop)
}

async fn pays(how: fn() -> u64) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    black_box(how());
}

#[inline(never)]
fn asks_bank() -> u64 {
    std::thread::sleep(LONG);
    black_box(1)
}

#[inline(never)]
fn mines() -> u64 {
    let mut hash = 1_u64;
    loop {
        hash = black_box(hash.wrapping_mul(31) ^ 7);
        if hash == 0 {
            return hash;
        }
    }
}

#[inline(never)]
fn locks_twice() -> u64 {
    let first = ACCOUNTS.lock();
    let second = ACCOUNTS.lock();
    black_box(u64::from(first.is_ok()) + u64::from(second.is_ok()))
}

#[inline(never)]
fn archives() -> u64 {
    std::thread::sleep(LONG);
    black_box(2)
}
