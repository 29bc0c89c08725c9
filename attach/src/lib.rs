//! Stacks of any Linux process from outside, with no code of ours in it: what `holdup dump` and
//! `holdup record` do.
//!
//! [`Process::open`] looks whether a process may be looked at, [`dump()`] takes the stacks of all its
//! threads once, and [`record()`] many times a second. Threads that sleep are read without their
//! help; those that run are stopped for microseconds. Each stack is named, and tells what its thread
//! is for, whether that is inside of a task's poll, and which function is to blame.
//!
//! `docs/attach.md` says how it works, what it costs, and where it ends.

mod dump;
mod error;
mod ffi;
mod memory;
mod modules;
mod naming;
pub mod output;
mod process;
mod record;
mod rights;
mod role;
mod sampler;
mod stop;
mod thread;

pub use self::dump::{Dump, ThreadDump, dump};
pub use self::error::AttachError;
pub use self::naming::Frame;
pub use self::process::Process;
pub use self::record::{Cpu, Options, Profile, Progress, Recording, Stack, Stretch, Track, record};
pub use self::role::{Activity, Role};
pub use self::sampler::Counts;
pub use self::stop::Pause;
