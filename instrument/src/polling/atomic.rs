//! The atomics of what a model checker goes through, which puts its own in their place.

pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};
