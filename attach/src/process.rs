//! A process that is to be looked at.

use std::fs::{self, File};
use std::io::{self, Read};

use crate::error::AttachError;
use crate::rights::Facts;

/// A process that exists, has a program, and may be looked at.
///
/// ```no_run
/// # fn main() -> Result<(), holdup_attach::AttachError> {
/// let process = holdup_attach::Process::open(4711)?;
/// let dump = holdup_attach::dump(&process)?;
/// for thread in &dump.threads {
///     let blame = thread.blame.and_then(|index| thread.frames.get(index));
///     println!("{}: {:?}", thread.name, blame.map(|frame| &frame.function));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Process {
    pub(crate) pid: i32,
}

/// What matters of a `status` file of `/proc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// The letter.
    pub(crate) state: char,
    /// Its process, and its parent.
    pub(crate) process: i32,
    pub(crate) parent: i32,
    pub(crate) tracer: i32,
    /// Effective.
    pub(crate) uid: u32,
    /// Effective, and what the process may have at most.
    pub(crate) capabilities: u64,
    /// 2 when system calls are filtered.
    pub(crate) seccomp: u8,
    /// Its id in its own namespace.
    pub(crate) inner_pid: Option<i32>,
    pub(crate) is_kernel: bool,
}

impl Status {
    pub(crate) fn read(path: &str) -> io::Result<Self> {
        fs::read(path).map(|text| Self::parse(&String::from_utf8_lossy(&text)))
    }

    fn parse(text: &str) -> Self {
        let mut status = Self::default();
        let mut has_memory = false;
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let mut words = value.split_ascii_whitespace();
            let number = || value.trim().parse().unwrap_or(0);
            match key {
                "State" => status.state = value.trim().chars().next().unwrap_or('?'),
                "Tgid" => status.process = number(),
                "PPid" => status.parent = number(),
                "TracerPid" => status.tracer = number(),
                "Uid" => status.uid = words.nth(1).and_then(|id| id.parse().ok()).unwrap_or(0),
                "CapEff" => {
                    status.capabilities = u64::from_str_radix(value.trim(), 16).unwrap_or(0);
                }
                "Seccomp" => status.seccomp = value.trim().parse().unwrap_or(0),
                "NSpid" => status.inner_pid = words.nth(1).and_then(|id| id.parse().ok()),
                "VmSize" => has_memory = true,
                _ => {}
            }
        }
        status.is_kernel = !has_memory && status.state != 'Z';
        status
    }
}

impl Process {
    /// Looks whether the process can be looked at. Nothing is done to it.
    ///
    /// # Errors
    ///
    /// When there is no such process, when it is this one, a kernel's thread or a zombie, when its
    /// program is for another machine, and when this user has no right.
    pub fn open(pid: i32) -> Result<Self, AttachError> {
        if u32::try_from(pid) == Ok(std::process::id()) {
            return Err(AttachError::Itself { pid });
        }
        let status = Status::read(&format!("/proc/{pid}/status"))
            .ok()
            .filter(|_| pid > 0)
            .ok_or(AttachError::Absent { pid })?;
        if status.process != pid {
            return Err(AttachError::Thread { tid: pid, pid: status.process });
        }
        match status.state {
            'Z' | 'X' => return Err(AttachError::Ended { pid, parent: status.parent }),
            _ if status.is_kernel => return Err(AttachError::Kernel { pid }),
            _ => {}
        }
        let process = Self { pid };
        // Needs the same right as all that follows.
        let memory =
            process.read("maps").and_then(|_| process.read(&format!("task/{pid}/syscall")));
        memory.map_err(|error| process.explain("its memory", error))?;
        process.check_machine()?;
        Ok(process)
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Makes an error of what the kernel said, that tells what to do.
    pub(crate) fn explain(&self, what: &str, source: io::Error) -> AttachError {
        let pid = self.pid;
        let status = Status::read(&format!("/proc/{pid}/status"));
        match (source.raw_os_error(), status) {
            (_, Err(_)) => AttachError::Absent { pid },
            (_, Ok(status)) if matches!(status.state, 'Z' | 'X') => {
                AttachError::Ended { pid, parent: status.parent }
            }
            (Some(libc::EPERM | libc::EACCES), Ok(status)) => {
                AttachError::Forbidden { pid, fix: Facts::of(pid, &status).fix() }
            }
            _ => AttachError::Read { pid, what: what.to_owned(), source },
        }
    }

    /// Refuses programs whose registers are others.
    fn check_machine(&self) -> Result<(), AttachError> {
        const MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
        let mut header = [0; 20];
        // If it can't be opened, its memory tells as much, later.
        let Ok(mut program) = File::open(format!("/proc/{}/exe", self.pid)) else { return Ok(()) };
        if program.read_exact(&mut header).is_err() {
            return Ok(());
        }
        let machine = u16::from_le_bytes([header[18], header[19]]);
        let kind = match (header[4], machine) {
            (1, _) => "of 32 bits".to_owned(),
            (_, machine) if machine != MACHINE => format!("for machine {machine} of ELF"),
            _ => return Ok(()),
        };
        Err(AttachError::Machine { pid: self.pid, kind })
    }

    /// The threads that there are, by number.
    pub(crate) fn threads(&self) -> io::Result<Vec<i32>> {
        let folder = fs::read_dir(format!("/proc/{}/task", self.pid))?;
        let numbers = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let mut numbers: Vec<i32> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(crate) fn read(&self, file: &str) -> io::Result<String> {
        let bytes = fs::read(format!("/proc/{}/{file}", self.pid))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) fn status(&self) -> io::Result<Status> {
        Status::read(&format!("/proc/{}/status", self.pid))
    }

    /// What stays as long as the process runs the same program: where its code and its first stack
    /// begin, and when it began. None when it has ended.
    pub(crate) fn image(&self) -> Option<[u64; 3]> {
        let stat = self.read("stat").ok()?;
        let mut words = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        // Numbered from 1, where the state is 3.
        let state = words.next()?;
        let mut words = words.map(|word| word.parse().unwrap_or(0));
        let (began, code, stack) = (words.nth(18)?, words.nth(3)?, words.nth(1)?);
        (state != "Z").then_some([began, code, stack])
    }

    /// The command line, for people.
    pub(crate) fn command(&self) -> String {
        let line = self.read("cmdline").unwrap_or_default();
        let line = line.trim_end_matches('\0').replace('\0', " ");
        line.chars().map(crate::thread::visible).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_understood() {
        let status = Status::parse(
            "Name:\ta\nState:\tS (sleeping)\nTgid:\t7\nPPid:\t1\nTracerPid:\t9\nUid:\t1\t2\t3\t4\n\
             NSpid:\t7\t1\nVmSize:\t10 kB\nCapEff:\t0000000000080000\nSeccomp:\t2\n",
        );
        let expected = Status {
            state: 'S',
            process: 7,
            parent: 1,
            tracer: 9,
            uid: 2,
            capabilities: 1 << 19,
            seccomp: 2,
            inner_pid: Some(1),
            is_kernel: false,
        };
        assert_eq!(status, expected);
        assert!(Status::parse("State:\tS\nTgid:\t2\n").is_kernel);
    }

    #[test]
    fn what_cannot_be_looked_at_is_told_with_a_reason() {
        let error = |pid: i32| Process::open(pid).unwrap_err().to_string();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(error(own).contains("this very command"), "{}", error(own));
        for absent in [0, -1, i32::MAX] {
            assert!(error(absent).contains("there is no process"), "{}", error(absent));
        }
        let (send, receive) = std::sync::mpsc::channel::<i32>();
        let other = std::thread::spawn(move || {
            let link = fs::read_link("/proc/thread-self").unwrap();
            let tid = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
            send.send(tid).unwrap();
            std::thread::park();
        });
        let tid = receive.recv().unwrap();
        assert!(error(tid).contains(&format!("name {own}")), "{}", error(tid));
        other.thread().unpark();
        other.join().unwrap();
    }

    #[test]
    fn a_child_that_has_ended_is_a_zombie() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let is_zombie = || Process { pid }.status().is_ok_and(|status| status.state == 'Z');
        while !is_zombie() {
            assert!(std::time::Instant::now() < deadline, "it doesn't end");
            std::thread::yield_now();
        }
        let error = Process::open(pid).unwrap_err().to_string();
        assert!(error.contains("is a zombie until its parent"), "{error}");
        assert!(child.wait().unwrap().success());
    }
}
