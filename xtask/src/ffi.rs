//! The one thing that std can't do without `unsafe`: run code between fork and exec.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

/// Makes the child end when this process does, in whichever way it ends.
///
/// The kernel ties this to the *thread* that spawns: spawn from one that lives as long as the
/// process.
pub(crate) fn end_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: the closure only makes two system calls and allocates nothing, so it is sound in a
    // child that was forked from a process with several threads.
    unsafe { command.pre_exec(move || arm(parent)) };
}

fn arm(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    // The parent may have ended before the line above.
    if getppid() == Some(parent) { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}
