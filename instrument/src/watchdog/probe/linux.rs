//! What a thread does at this instant, by the system call that it is in.

use std::fs::{self, File};
use std::io::Read;

use libc::c_long;

use crate::watchdog::cause::{Cause, Doing, Work};

/// Longest line of interest.
const LINE_BYTES_MAX: usize = 512;

/// What a thread does. None when it has ended, or when the kernel does not let us look.
pub(super) fn doing(thread: u32) -> Option<Doing> {
    let mut line = [0; LINE_BYTES_MAX];
    match read(thread, "syscall", &mut line).and_then(system_call) {
        Some(Call::None) => Some(Doing::Running),
        Some(Call::Outside) => outside(thread),
        Some(Call::Number { number, first }) => Some(of_call(thread, number, first)),
        // Refused when the process may not be traced: its state is for everyone.
        None => by_state(thread),
    }
}

/// What a worker does. None when it has ended, or when the kernel does not let us look.
pub(super) fn work(thread: u32) -> Option<Work> {
    #[cfg(target_arch = "x86_64")]
    const OLD_WAIT: c_long = libc::SYS_epoll_wait;
    #[cfg(not(target_arch = "x86_64"))]
    const OLD_WAIT: c_long = libc::SYS_epoll_pwait;
    const WAITS: [c_long; 3] = [OLD_WAIT, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2];
    let mut line = [0; LINE_BYTES_MAX];
    Some(match read(thread, "syscall", &mut line).and_then(system_call)? {
        Call::None => Work::Runs,
        Call::Number { number, .. } if WAITS.contains(&number) => Work::Drives,
        Call::Number { number: libc::SYS_futex, .. } => Work::Parked,
        Call::Outside | Call::Number { .. } => Work::Other,
    })
}

/// Page faults of a thread: those that needed no disk, and those that did.
pub(super) fn faults(thread: u32) -> Option<[u64; 2]> {
    let mut line = [0; LINE_BYTES_MAX];
    let mut fields = after_name(read(thread, "stat", &mut line)?)?.split(' ').skip(7);
    Some([fields.next()?.parse().ok()?, fields.nth(1)?.parse().ok()?])
}

#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// It runs, or is about to.
    None,
    /// Blocked, and not by a call: in a page fault.
    Outside,
    Number {
        number: c_long,
        first: u64,
    },
}

fn read<'a>(thread: u32, file: &str, line: &'a mut [u8; LINE_BYTES_MAX]) -> Option<&'a str> {
    let mut file = File::open(format!("/proc/self/task/{thread}/{file}")).ok()?;
    let length = file.read(line).ok()?;
    std::str::from_utf8(line.get(..length)?).ok()
}

fn system_call(line: &str) -> Option<Call> {
    let mut fields = line.split_ascii_whitespace();
    match fields.next()? {
        "running" => Some(Call::None),
        "-1" => Some(Call::Outside),
        number => {
            let number = number.parse().ok()?;
            let first = fields.next()?.trim_start_matches("0x");
            Some(Call::Number { number, first: u64::from_str_radix(first, 16).ok()? })
        }
    }
}

/// The fields of `stat` from the state on: the name before may contain anything.
fn after_name(line: &str) -> Option<&str> {
    line.rsplit_once(") ").map(|(_, fields)| fields)
}

fn state(thread: u32) -> Option<char> {
    let mut line = [0; LINE_BYTES_MAX];
    after_name(read(thread, "stat", &mut line)?)?.chars().next()
}

fn outside(thread: u32) -> Option<Doing> {
    match state(thread)? {
        'D' => Some(Doing::Waiting(Cause::PageFault)),
        'T' | 't' => Some(Doing::Stopped),
        'R' => Some(Doing::Running),
        _ => Some(Doing::Waiting(Cause::Unknown)),
    }
}

fn by_state(thread: u32) -> Option<Doing> {
    match state(thread)? {
        'R' => Some(Doing::Running),
        'D' => Some(Doing::Waiting(Cause::Disk)),
        'T' | 't' => Some(Doing::Stopped),
        'S' => Some(Doing::Waiting(Cause::Unknown)),
        _ => None,
    }
}

/// What a thread does that is in a system call with this number and first argument.
pub(super) fn doing_in(thread: u32, [number, first]: [u64; 2]) -> Doing {
    of_call(thread, c_long::try_from(number).unwrap_or(-1), first)
}

fn of_call(thread: u32, number: c_long, first: u64) -> Doing {
    if let Some(cause) = cause_of(number) {
        return Doing::Waiting(cause);
    }
    if is_on_descriptor(number) {
        return Doing::Waiting(cause_of_descriptor(first));
    }
    match state(thread) {
        Some('T' | 't') => Doing::Stopped,
        // Everything else that waits without a chance of being interrupted waits for a device.
        Some('D') => Doing::Waiting(Cause::Disk),
        _ => Doing::Waiting(Cause::Unknown),
    }
}

/// Calls whose number tells what they wait for.
fn cause_of(number: c_long) -> Option<Cause> {
    const SLEEP: &[c_long] = &[libc::SYS_nanosleep, libc::SYS_clock_nanosleep];
    const LOCK: &[c_long] =
        &[libc::SYS_futex, libc::SYS_futex_waitv, libc::SYS_flock, libc::SYS_semtimedop];
    const NET: &[c_long] = &[
        libc::SYS_connect,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_recvmmsg,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
        libc::SYS_shutdown,
        libc::SYS_ppoll,
        libc::SYS_pselect6,
        libc::SYS_epoll_pwait,
        libc::SYS_epoll_pwait2,
    ];
    const DISK: &[c_long] = &[
        libc::SYS_fsync,
        libc::SYS_fdatasync,
        libc::SYS_sync,
        libc::SYS_syncfs,
        libc::SYS_sync_file_range,
        libc::SYS_msync,
        libc::SYS_openat,
        libc::SYS_statx,
        libc::SYS_newfstatat,
        libc::SYS_fstat,
        libc::SYS_getdents64,
        libc::SYS_renameat2,
        libc::SYS_unlinkat,
        libc::SYS_mkdirat,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_copy_file_range,
        libc::SYS_readahead,
    ];
    const MEMORY: &[c_long] = &[
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_mremap,
    ];
    let kinds = [
        (SLEEP, Cause::Sleep),
        (LOCK, Cause::Lock),
        (NET, Cause::Net),
        (DISK, Cause::Disk),
        (MEMORY, Cause::PageFault),
    ];
    let found = kinds.iter().find(|(numbers, _)| numbers.contains(&number));
    found.map(|(_, cause)| *cause).or_else(|| cause_of_old_call(number))
}

/// Calls that only x86_64 still has.
#[cfg(target_arch = "x86_64")]
fn cause_of_old_call(number: c_long) -> Option<Cause> {
    const NET: &[c_long] = &[libc::SYS_poll, libc::SYS_select, libc::SYS_epoll_wait];
    const DISK: &[c_long] = &[
        libc::SYS_open,
        libc::SYS_stat,
        libc::SYS_lstat,
        libc::SYS_rename,
        libc::SYS_unlink,
        libc::SYS_mkdir,
    ];
    if NET.contains(&number) {
        return Some(Cause::Net);
    }
    DISK.contains(&number).then_some(Cause::Disk)
}

#[cfg(not(target_arch = "x86_64"))]
fn cause_of_old_call(_: c_long) -> Option<Cause> {
    None
}

/// Calls whose first argument is a descriptor of anything.
fn is_on_descriptor(number: c_long) -> bool {
    const ANY: &[c_long] = &[
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_preadv,
        libc::SYS_pwritev,
        libc::SYS_preadv2,
        libc::SYS_pwritev2,
        libc::SYS_sendfile,
        libc::SYS_splice,
    ];
    ANY.contains(&number)
}

fn cause_of_descriptor(descriptor: u64) -> Cause {
    let Ok(link) = fs::read_link(format!("/proc/self/fd/{descriptor}")) else {
        return Cause::Unknown;
    };
    match link.to_str() {
        Some(name) if name.starts_with("socket:") => Cause::Net,
        Some(name) if name.starts_with('/') && !name.starts_with("/dev/") => Cause::Disk,
        // A pipe or a terminal: somebody else's silence has no name among the causes.
        _ => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    #[test]
    fn lines_of_the_kernel_are_read() {
        assert_eq!(system_call("running\n"), Some(Call::None));
        assert_eq!(system_call("-1 0x7ffc 0x7f12\n"), Some(Call::Outside));
        let call = Call::Number { number: 230, first: 0x1f };
        assert_eq!(system_call("230 0x1f 0x0 0x7ffc 0x7f12\n"), Some(call));
        assert_eq!(system_call(""), None);
        assert_eq!(after_name("7 (a) b) S 1 2"), Some("S 1 2"));
    }

    #[test]
    fn this_thread_runs_and_one_that_waits_is_told_apart() {
        let own = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        assert_eq!(state(own), Some('R'));
        assert!(faults(own).is_some());
        let (send, receive) = channel::<()>();
        let (tell, told) = channel();
        let waits = thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()).unwrap();
            receive.recv()
        });
        let thread = told.recv().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while doing(thread) != Some(Doing::Waiting(Cause::Lock)) {
            assert!(std::time::Instant::now() < deadline, "{:?}", doing(thread));
            thread::yield_now();
        }
        drop(send);
        assert!(waits.join().unwrap().is_err());
    }
}
