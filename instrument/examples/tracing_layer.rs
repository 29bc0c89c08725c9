//! Functions that have `#[tracing::instrument]` already need no other attribute.
//!
//! `cargo run -p holdup --example tracing_layer`

use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// Reported as `tracing_layer::checkout`; the time of `price` is part of it.
#[tracing::instrument]
async fn checkout(id: u64) -> u64 {
    let price = price(id);
    tokio::time::sleep(Duration::from_millis(10)).await;
    price
}

#[tracing::instrument]
fn price(id: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(30));
    id * 2
}

#[tokio::main]
async fn main() {
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = log.with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(log).with(holdup::layer()).init();
    let _guard = holdup::init();
    assert_eq!(checkout(21).await, 42);
}
