//! What runs on the threads of the service, inside its polls.
//!
//! Nothing here allocates, takes a lock, logs, does I/O or panics, except where a thread is seen for
//! the first time. Nothing here knows of the exporter or of any thread that reads along: they read
//! the slots and take from the queue.

pub(crate) mod allow;
mod atomic;
pub(crate) mod attention;
pub(crate) mod clock;
#[cfg(test)]
mod concurrent;
pub(crate) mod debug;
mod innermost;
pub(crate) mod poll;
pub(crate) mod record;
mod runtime;
pub(crate) mod site;
pub(crate) mod slot;
#[cfg_attr(not(feature = "layer"), allow(dead_code))]
pub(crate) mod spans;
#[cfg_attr(not(feature = "layer"), allow(dead_code))]
pub(crate) mod subscribers;
pub(crate) mod switch;
pub(crate) mod tasks;
pub(crate) mod thread;
pub(crate) mod timed;
pub(crate) mod turn;
pub(crate) mod usage;
