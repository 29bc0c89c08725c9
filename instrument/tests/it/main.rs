//! The crate against real parts: tokio's runtimes, tracing's subscribers, OTLP over loopback.

mod attribute;
mod environment;
mod export;
mod innocents;
mod layer;
mod opentelemetry;
mod receiver;
mod runtimes;
mod session;
mod wrapper;
