//! The stack of another thread of this process, while that thread is blocked.
//!
//! A [`Sampler`] takes raw stacks, [`resolve`] names their frames, tells the one to blame, and makes
//! a fingerprint of them. All of it runs on threads of Holdup's own. The one thing that a watched
//! thread does is to [`register`], once; and the one thing that may run on it is the handler in
//! `ffi`, which copies its registers and its stack.
//!
//! `docs/stacks.md` says how it works, what it costs, and where it ends.

mod binary;
mod calls;
mod dwarf;
mod ffi;
mod folders;
mod holder;
mod modules;
mod names;
mod origin;
mod outside;
mod proc;
mod registers;
mod resolve;
mod sampler;
mod signal;
mod signal_ffi;
mod symbols;
#[cfg(test)]
mod tests;
mod threads;
mod unwind;
mod verdict;

pub use self::binary::{Binary, BinaryError, Frame};
pub use self::ffi::Segment;
pub(crate) use self::holder::{Holder, Holding, name_holder};
pub use self::origin::{Root, can_be_blamed, root};
pub use self::outside::{OutsideModule, Place, Start, Walk, Walker};
pub(crate) use self::resolve::{Cache, Resolved, resolve};
pub(crate) use self::sampler::{PAUSE, RawStack, Sampler};
pub(crate) use self::threads::{Registered, Target, register, target};

/// The most that is copied of a stack, from its leaf.
const STACK_BYTES_MAX: usize = 64 * 1024;

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
