//! A program on plain tokio with one function that blocks its thread and one that only waits.
//!
//! Start a collector on 127.0.0.1:4318, or none, and run it:
//! `cargo run -p holdup --example plain_tokio`

use std::time::Duration;

use holdup::DetectBlocking;
use tracing_subscriber::filter::LevelFilter;

/// Reported: the thread can do nothing else meanwhile.
#[holdup::detect_blocking]
async fn blocks(turn: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(50));
    turn
}

/// Never reported, however long it takes.
#[holdup::detect_blocking]
async fn waits() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr).init();
    let _guard = holdup::init();
    for turn in 0..5 {
        tokio::join!(blocks(turn), waits());
    }
    let sum = async { (0..20_000_000_u64).fold(0, u64::wrapping_add) };
    sum.detect_blocking("plain_tokio::sum").await;
}
