//! What the module finds around it.

pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
}

#[path = "../../../src/polling/innermost.rs"]
pub(crate) mod innermost;
mod scenes;
pub(crate) mod site;
