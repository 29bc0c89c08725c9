//! Child processes that never outlive this one.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::ffi;
use crate::interrupt::Interrupt;

/// How long a command has to end after SIGTERM before it is killed.
const COMMAND_STOP_TIME_MAX: Duration = Duration::from_secs(5);

/// A child in a process group of its own, so that Ctrl-C reaches it through this process, in order.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
}

impl Group {
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        command.process_group(0);
        ffi::end_with_parent(command);
        let child = command.spawn().with_context(|| {
            let program = command.get_program().to_string_lossy();
            format!("cannot run {program}")
        })?;
        Ok(Self { child })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The exit status, when it has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to end, waits, and kills the group when it doesn't.
    ///
    /// # Errors
    ///
    /// When it had to be killed.
    pub(crate) fn stop(&mut self, time: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = std::time::Instant::now() + time;
        while std::time::Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.signal(Signal::KILL);
        self.child.wait()?;
        bail!("it did not end in {time:?} and was killed")
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // An error means that the group is gone, which is what is wanted.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs a command to its end with this process's output; an interrupt ends it.
pub(crate) fn run(command: &mut Command, interrupt: &Interrupt) -> anyhow::Result<()> {
    let shown = shown(command);
    let mut group = Group::spawn(command.stdin(Stdio::null()))?;
    match interrupt.wait(Duration::from_secs(24 * 60 * 60), || group.ended()) {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => bail!("`{shown}` failed ({status})"),
        Ok(None) => bail!("`{shown}` took longer than a day"),
        Err(error) => {
            group.stop(COMMAND_STOP_TIME_MAX)?;
            Err(error)
        }
    }
}

/// True when the command is there and ends well; what it prints is thrown away.
pub(crate) fn works(command: &mut Command) -> anyhow::Result<bool> {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match quiet.status() {
        Ok(status) => Ok(status.success()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot run `{}`", shown(command))),
    }
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let mut text = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt;

    #[test]
    fn a_failure_is_told_with_the_command() {
        let interrupt = interrupt::watch().unwrap();
        run(&mut Command::new("true"), &interrupt).unwrap();
        let error = run(Command::new("sh").args(["-c", "exit 3"]), &interrupt).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` failed (exit status: 3)");
    }

    #[test]
    fn what_does_not_end_is_killed_with_its_children() {
        let script = "trap '' TERM; sleep 1000 & echo $!; wait";
        let mut command = Command::new("sh");
        let mut group = Group::spawn(command.args(["-c", script]).stdout(Stdio::piped())).unwrap();
        let mut stdout = std::io::BufReader::new(group.child().stdout.take().unwrap());
        let mut grandchild = String::new();
        std::io::BufRead::read_line(&mut stdout, &mut grandchild).unwrap();
        let status = format!("/proc/{}/status", grandchild.trim());
        assert!(std::path::Path::new(&status).exists());

        group.stop(Duration::from_millis(100)).unwrap_err();
        let interrupt = interrupt::watch().unwrap();
        let gone = || {
            Ok(std::fs::read_to_string(&status)
                .map_or(Some(()), |text| text.contains("State:\tZ").then_some(())))
        };
        assert!(interrupt.wait(Duration::from_secs(10), gone).unwrap().is_some());
    }

    #[test]
    fn an_absent_program_is_not_there() {
        assert!(!works(&mut Command::new("no-such-program-of-holdup")).unwrap());
        assert!(works(&mut Command::new("true")).unwrap());
    }
}
