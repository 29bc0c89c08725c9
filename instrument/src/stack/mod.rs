//! The stack of another thread of this process, while that thread is blocked.
//!
//! A [`Sampler`] takes raw stacks, [`resolve`] names their frames, tells the one to blame, and makes
//! a fingerprint of them. All of it runs on threads of Holdup's own. The one thing that a watched
//! thread does is to [`register`], once; and the one thing that may run on it is the handler in
//! `ffi`, which copies its registers and its stack.
//!
//! `docs/stacks.md` says how it works, what it costs, and where it ends.

// Nothing but tests and the watchdog calls in here.
#![allow(dead_code, unused_imports)]

mod ffi;
mod threads;

pub(crate) use self::threads::{Registered, Target, register, target};

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Whether a thread that runs may be interrupted by a signal. One that is blocked never is.
    pub(crate) signal: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { signal: true }
    }
}

/// Takes stacks of threads. Keeps what it learned of the program's modules.
#[derive(Debug)]
pub(crate) struct Sampler {
    settings: Settings,
}

/// One stack as it was found: addresses.
#[derive(Clone, Debug)]
pub(crate) struct RawStack {
    addresses: Vec<u64>,
}

/// What is known of names. Bounded.
#[derive(Debug, Default)]
pub(crate) struct Cache {}

/// What several stacks of one stall have to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    /// Leaf first; empty when there was no stack.
    pub(crate) frames: Vec<String>,
    pub(crate) blame_function: String,
    pub(crate) blame_crate: String,
    /// Fingerprint; 0 when there was no stack.
    pub(crate) id: u64,
}

impl Sampler {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The stack of a thread at this instant. None when it can't be had.
    pub(crate) fn sample(&mut self, _target: &Target) -> Option<RawStack> {
        None
    }
}

/// Names the frames of several stacks of one stall.
pub(crate) fn resolve(_cache: &mut Cache, _stacks: &[RawStack]) -> Resolved {
    Resolved::default()
}
