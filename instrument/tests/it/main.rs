//! The crate against real parts: tokio's runtimes, tracing's subscribers, OTLP over loopback.

// What the tests share may stop at the first thing that is wrong, as a test may.
#![allow(clippy::unwrap_used, clippy::panic)]

mod advice;
mod allowed;
mod attribute;
mod blocks;
mod causes;
mod churn;
mod collectors;
mod cpu;
mod debugging;
#[cfg(target_os = "linux")]
#[allow(dead_code)]
mod detection;
mod environment;
mod examples;
mod export;
#[cfg(target_os = "linux")]
mod fork;
#[cfg(target_os = "linux")]
mod fork_ffi;
mod handlers;
#[cfg(not(tokio_unstable))]
mod held;
mod innocents;
mod interface;
mod isolated;
mod layer;
mod locks;
mod memory;
mod metrics;
mod opentelemetry;
mod receiver;
mod runtimes;
mod session;
#[cfg(tokio_unstable)]
mod spawned;
mod stacks;
mod stalls;
mod standstill;
mod tasks;
mod testing;
mod thresholds;
mod timed;
mod tls;
mod victims;
mod watched_runtimes;
#[cfg(target_os = "linux")]
mod ways;
mod wrapper;
