//! Finds what is holding up an async service.
//!
//! Whenever one poll of a future keeps a tokio thread for longer than a threshold (10 ms), a *poll
//! span* with the function to blame is sent over OTLP, from a thread of Holdup's own. A function
//! that only awaits is never reported, however long it waits.
//!
//! ```no_run
//! #[holdup::detect_blocking]
//! async fn checkout(id: u64) -> u64 {
//!     std::thread::sleep(std::time::Duration::from_millis(50)); // found, and named
//!     id
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     let _guard = holdup::init();
//!     checkout(7).await;
//! }
//! ```
//!
//! Three ways to say which functions are watched, to be mixed as you like:
//! - the attribute [`detect_blocking`](macro@detect_blocking) on an async function or method,
//! - [`.detect_blocking("name")`](trait@DetectBlocking) on any future,
//! - [`layer()`], which covers every `#[tracing::instrument]` async function with no other change.
//!
//! # Features
//! | feature | default | |
//! |---|---|---|
//! | `otlp` | yes | detection and export; without it the crate is the module [`contract`] alone |
//! | `layer` | yes | [`layer()`] for `tracing-subscriber` |
//! | `stacks` | yes | the stack of a thread while it is blocked; Linux on x86_64 and aarch64 |
//! | `tls` | no | `https` to the collector |
//! | `tracing-opentelemetry` | no | poll spans found by the layer are children of their function's own span |
#![cfg_attr(not(feature = "layer"), allow(rustdoc::broken_intra_doc_links))]

pub mod advice;
pub mod contract;
#[cfg(feature = "otlp")]
pub mod debug;

#[cfg(feature = "otlp")]
mod allowed;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod findings;
#[cfg(all(feature = "otlp", target_os = "linux"))]
mod fork_ffi;
#[cfg(feature = "otlp")]
mod install;
#[cfg(feature = "otlp")]
mod isolate;
#[cfg(feature = "otlp")]
mod join;
#[cfg(feature = "layer")]
mod layer;
#[cfg(feature = "otlp")]
mod measure;
#[cfg(feature = "otlp")]
mod own_thread;
#[cfg(feature = "otlp")]
mod polling;
#[cfg(feature = "otlp")]
mod room;
#[cfg(feature = "otlp")]
mod runtime;
#[cfg(feature = "otlp")]
mod self_test;
#[cfg(feature = "otlp")]
mod settings;
#[cfg(feature = "otlp")]
mod spawn;
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod stack;
#[cfg(all(
    feature = "otlp",
    not(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))
))]
#[path = "stack/absent.rs"]
mod stack;
#[cfg(feature = "otlp")]
mod tasks;
#[cfg(feature = "otlp")]
pub mod testing;
#[cfg(feature = "otlp")]
mod thresholds;
#[cfg(feature = "otlp")]
mod timed;
#[cfg(feature = "otlp")]
mod watchdog;
#[cfg(feature = "otlp")]
mod watched;

/// Names for addresses in a file, and walks along the stacks of another process: what `holdup
/// symbolize`, `dump` and `record` use. Not part of the public interface.
#[cfg(feature = "otlp")]
#[doc(hidden)]
pub mod symbols {
    #[cfg(all(
        feature = "stacks",
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    pub use crate::stack::{
        Frame, OutsideModule, Place, Root, Segment, Start, Walk, Walker, can_be_blamed, root,
    };

    pub use crate::stack::{Binary, BinaryError};
}

#[cfg(feature = "layer")]
pub use crate::layer::{HoldupLayer, layer};
#[cfg(feature = "otlp")]
pub use crate::{
    allowed::{AllowBlocking, Scoped, allow_blocking, forbid_blocking},
    findings::{
        Blame, Finding, HandlerGuard, Holder, Kind, LockHolder, on_finding, on_slow_poll, on_stall,
    },
    install::{Builder, Guard, InstallError, builder, init},
    isolate::{Isolated, isolate, isolate_named},
    join::JoinHandle,
    polling::{site::Site, timed::Outcome},
    runtime::watch_runtime,
    self_test::{SelfTest, self_test},
    spawn::{spawn, spawn_named},
    tasks::{Task, TaskDump, TaskState, dump as tasks, settings::TaskDumps},
    thresholds::{Threshold, set_threshold},
    timed::{Spent, Timed, timed, timed_at},
    watched::{DetectBlocking, Watched, watch},
};
#[cfg(feature = "otlp")]
pub use holdup_macros::{detect_blocking, test};
