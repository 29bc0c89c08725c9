//! What the kernel tells of a thread of another process, without its help.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The files read are lines; `status` isn't among them.
const BYTES_MAX: usize = 1024;

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// On a CPU, or waiting for one.
    Running,
    /// Off the CPU, of its own accord or in a page fault.
    Blocked(Blocked),
}

/// Where a thread left for the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    /// The system call and its arguments; none in a page fault.
    pub(crate) call: Option<[u64; 7]>,
    pub(crate) sp: u64,
    pub(crate) pc: u64,
}

/// A thread's files in `/proc`, kept open: they stay this thread's, whoever gets its number next.
#[derive(Debug)]
pub(crate) struct Thread {
    folder: String,
    syscall: File,
    /// None where the kernel doesn't count.
    schedstat: Option<File>,
}

impl Thread {
    pub(crate) fn open(pid: i32, tid: i32) -> io::Result<Self> {
        let folder = format!("/proc/{pid}/task/{tid}");
        let syscall = File::open(format!("{folder}/syscall"))?;
        let schedstat = File::open(format!("{folder}/schedstat")).ok();
        Ok(Self { folder, syscall, schedstat })
    }

    /// Fails when the thread has ended, and when the kernel doesn't let this process look.
    pub(crate) fn whereabouts(&self) -> io::Result<Whereabouts> {
        let mut bytes = [0; BYTES_MAX];
        let line = read(&self.syscall, &mut bytes)?;
        // What has ended leaves an empty line, or zeroes.
        parse_syscall(line).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }

    /// How long the thread was on a CPU, how long it waited for one, and how often it got one. If it
    /// is the same twice, the thread did not run in between. None where the kernel doesn't count.
    pub(crate) fn run_time(&self) -> Option<[u64; 3]> {
        let mut bytes = [0; BYTES_MAX];
        let line = read(self.schedstat.as_ref()?, &mut bytes).ok()?;
        let mut words = line.split_ascii_whitespace().map(|word| word.parse().ok());
        let found = [words.next()??, words.next()??, words.next()??];
        (found[2] > 0).then_some(found)
    }

    pub(crate) fn name(&self) -> String {
        let name = std::fs::read(format!("{}/comm", self.folder)).unwrap_or_default();
        String::from_utf8_lossy(&name).trim_end().chars().map(visible).collect()
    }

    /// The letter of its state: R, S, D, T, t, Z, X, I.
    pub(crate) fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("{}/stat", self.folder)).ok()?;
        // The name before it may have any character in it.
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    }

    /// The function of the kernel in which it waits, where that is told.
    pub(crate) fn wait_channel(&self) -> Option<String> {
        let name = std::fs::read_to_string(format!("{}/wchan", self.folder)).ok()?;
        (!name.is_empty() && name != "0").then_some(name)
    }
}

/// A name must not be able to drive the terminal.
pub(crate) fn visible(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

fn read<'a>(file: &File, bytes: &'a mut [u8; BYTES_MAX]) -> io::Result<&'a str> {
    let length = file.read_at(bytes, 0)?;
    std::str::from_utf8(&bytes[..length]).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))
}

fn parse_syscall(line: &str) -> Option<Whereabouts> {
    if line.starts_with("running") {
        return Some(Whereabouts::Running);
    }
    let mut words = [0_u64; 9];
    let mut count = 0;
    for word in line.split_ascii_whitespace() {
        let value = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => word.parse::<i64>().ok()?.cast_unsigned(),
        };
        *words.get_mut(count)? = value;
        count += 1;
    }
    let [call @ .., sp, pc] = words;
    let blocked = match count {
        // A call of which the number is -1 is none.
        9 => Blocked { call: (call[0] != u64::MAX).then_some(call), sp, pc },
        3 => Blocked { call: None, sp: words[1], pc: words[2] },
        _ => return None,
    };
    (blocked.sp != 0).then_some(Whereabouts::Blocked(blocked))
}

/// The name of a system call in which threads wait; the number of another.
pub(crate) fn call_name(number: u64) -> String {
    let known = WAITING.iter().find(|(call, _)| u64::try_from(*call) == Ok(number));
    known.map_or_else(|| format!("call {number}"), |(_, name)| (*name).to_owned())
}

const WAITING: &[(libc::c_long, &str)] = &[
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "epoll_wait"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "poll"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, "select"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_stat, "stat"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pause, "pause"),
    (libc::SYS_accept, "accept"),
    (libc::SYS_accept4, "accept4"),
    (libc::SYS_clock_nanosleep, "clock_nanosleep"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_copy_file_range, "copy_file_range"),
    (libc::SYS_epoll_pwait, "epoll_pwait"),
    (libc::SYS_epoll_pwait2, "epoll_pwait2"),
    (libc::SYS_fallocate, "fallocate"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_futex, "futex"),
    (libc::SYS_getdents64, "getdents64"),
    (libc::SYS_io_getevents, "io_getevents"),
    (libc::SYS_io_uring_enter, "io_uring_enter"),
    (libc::SYS_ioctl, "ioctl"),
    (libc::SYS_madvise, "madvise"),
    (libc::SYS_mmap, "mmap"),
    (libc::SYS_msync, "msync"),
    (libc::SYS_munmap, "munmap"),
    (libc::SYS_nanosleep, "nanosleep"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_ppoll, "ppoll"),
    (libc::SYS_pread64, "pread64"),
    (libc::SYS_pselect6, "pselect6"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_read, "read"),
    (libc::SYS_readv, "readv"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_recvmmsg, "recvmmsg"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_restart_syscall, "restart_syscall"),
    (libc::SYS_rt_sigsuspend, "rt_sigsuspend"),
    (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait"),
    (libc::SYS_sched_yield, "sched_yield"),
    (libc::SYS_sendfile, "sendfile"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_splice, "splice"),
    (libc::SYS_statx, "statx"),
    (libc::SYS_sync, "sync"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_wait4, "wait4"),
    (libc::SYS_waitid, "waitid"),
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_understood() {
        assert_eq!(parse_syscall("running\n"), Some(Whereabouts::Running));
        let blocked = parse_syscall("202 0x1 0x80 0x0 0x0 0x0 0xffffffff 0x7ffc10 0x7f20\n");
        let call = Some([202, 1, 0x80, 0, 0, 0, 0xffff_ffff]);
        let expected = Blocked { call, sp: 0x7ffc10, pc: 0x7f20 };
        assert_eq!(blocked, Some(Whereabouts::Blocked(expected)));
        let fault = Blocked { call: None, sp: 0x10, pc: 0x20 };
        assert_eq!(parse_syscall("-1 0x10 0x20\n"), Some(Whereabouts::Blocked(fault)));
        for line in ["", "1 2", "1 2 3 4 5 6 7 8 9 10", "a b c", "0 0x0 0x0"] {
            assert_eq!(parse_syscall(line), None, "{line}");
        }
        assert_eq!(call_name(202), if cfg!(target_arch = "x86_64") { "futex" } else { "call 202" });
        assert_eq!(call_name(9999), "call 9999");
    }

    #[test]
    fn a_thread_that_looks_at_itself_is_in_that_call() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let link = std::fs::read_link("/proc/thread-self").unwrap();
        let tid = link.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let thread = Thread::open(pid, tid).unwrap();
        // It is in the call with which it asks.
        let Whereabouts::Blocked(at) = thread.whereabouts().unwrap() else { panic!("runs") };
        assert_eq!(at.call.map(|call| call_name(call[0])).unwrap(), "pread64");
        assert_eq!(thread.state(), Some('R'));
        assert!(thread.run_time().is_some() && !thread.name().is_empty());
    }
}
