//! In place of `stack`, where stacks can't be taken: without the feature `stacks`, and on systems
//! other than Linux on x86_64 or aarch64.

#![allow(dead_code, clippy::unused_self)]

use std::sync::Once;

/// Between two looks.
pub(crate) const PAUSE: std::time::Duration = std::time::Duration::from_micros(250);

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) signal: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { signal: true }
    }
}

/// Where a stack would be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) tid: i32,
    pub(crate) stack_high: u64,
}

/// Keeps nothing.
#[derive(Debug)]
pub(crate) struct Registered(());

/// Takes no stacks, and says so once.
#[derive(Debug)]
pub(crate) struct Sampler(());

/// Never made.
#[derive(Clone, Debug)]
pub(crate) struct RawStack {
    pub(crate) call: Option<[u64; 2]>,
}

/// Never made.
#[derive(Clone, Debug)]
pub(crate) struct Holding(());

/// Never made.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) thread: u32,
    pub(crate) thread_name: String,
    pub(crate) function: String,
    pub(crate) evidence: &'static str,
}

/// Remembers nothing.
#[derive(Debug, Default)]
pub(crate) struct Cache(());

/// Empty: there was no stack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    pub(crate) frames: Vec<String>,
    pub(crate) blame_function: String,
    pub(crate) blame_crate: String,
    pub(crate) id: u64,
}

pub(crate) fn register() -> Registered {
    Registered(())
}

pub(crate) fn target(_tid: i32) -> Option<Target> {
    None
}

impl Sampler {
    pub(crate) fn new(_settings: Settings) -> Self {
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            tracing::info!(
                target: "holdup",
                "stacks of blocked threads are not taken: that needs Linux on x86_64 or aarch64, \
                 and the feature `stacks`"
            );
        });
        Self(())
    }

    pub(crate) fn begin(&mut self, _target: &Target) -> Option<RawStack> {
        None
    }

    pub(crate) fn holder(&mut self, _waiter: &Target) -> Option<Holding> {
        None
    }

    pub(crate) fn is_asking(&self) -> bool {
        false
    }

    pub(crate) fn answered(&mut self) -> Option<(Target, RawStack)> {
        None
    }
}

pub(crate) fn name_holder(_: &mut Cache, _: &[String], _: &Holding) -> Option<Holder> {
    None
}

pub(crate) fn resolve(_cache: &mut Cache, _stacks: &[RawStack]) -> Resolved {
    Resolved::default()
}

/// Never made.
#[doc(hidden)]
#[derive(Debug)]
pub struct Binary(());

/// Why a file can't be used.
#[doc(hidden)]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// This build of the crate reads no files.
    #[error(
        "{path} can't be read: names are resolved on Linux on x86_64 or aarch64, and with the \
         feature `stacks`"
    )]
    Unsupported {
        /// The file.
        path: String,
    },
}

impl Binary {
    /// Refuses.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn open(path: &std::path::Path) -> Result<Self, BinaryError> {
        Err(BinaryError::Unsupported { path: path.display().to_string() })
    }

    /// None.
    pub fn build_id(&self) -> Option<String> {
        None
    }

    /// No.
    pub fn has_symbols(&self) -> bool {
        false
    }

    /// Nothing.
    pub fn describe(&self, _address: u64) -> Vec<String> {
        Vec::new()
    }
}
