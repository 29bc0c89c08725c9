//! What can be wrong with a process that is to be looked at.

use std::io;

/// Why a process can't be looked at. Each text names what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// There is no such process.
    #[error(
        "there is no process {pid}: take its id from `ps -e` or `pgrep NAME`; a process in another \
         container has another id there, and is seen from the host or with `--pid=container:NAME`"
    )]
    Absent {
        /// What was asked for.
        pid: i32,
    },
    /// A process can't stop itself to look at itself.
    #[error("process {pid} is this very command: name the process that is to be looked at")]
    Itself {
        /// What was asked for.
        pid: i32,
    },
    /// The number is that of a thread.
    #[error("{tid} is a thread of process {pid}: name {pid}")]
    Thread {
        /// What was asked for.
        tid: i32,
        /// Its process.
        pid: i32,
    },
    /// The process has ended, and its parent has not asked how.
    #[error("process {pid} has ended (it is a zombie until its parent {parent} asks how)")]
    Ended {
        /// What was asked for.
        pid: i32,
        /// Whose child it was.
        parent: i32,
    },
    /// A thread of the kernel has no program.
    #[error("process {pid} is a thread of the kernel, which has no stack of a program")]
    Kernel {
        /// What was asked for.
        pid: i32,
    },
    /// Its registers mean something else.
    #[error("process {pid} runs a program {kind}: only {} is understood", std::env::consts::ARCH)]
    Machine {
        /// What was asked for.
        pid: i32,
        /// Of which kind it is.
        kind: String,
    },
    /// The kernel doesn't let this user look.
    #[error("no right to look at process {pid}: {fix}")]
    Forbidden {
        /// What was asked for.
        pid: i32,
        /// What is in the way, and what to do about it.
        fix: String,
    },
    /// Something else.
    #[error("process {pid} can't be looked at: {what}: {source}")]
    Read {
        /// What was asked for.
        pid: i32,
        /// What failed.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}
