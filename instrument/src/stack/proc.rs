//! What the kernel tells of a thread in `/proc`.

use std::fs::File;
use std::io::Read;

/// The file is a line; `status` has some sixty.
const BYTES_MAX: usize = 4096;

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// On a CPU, or waiting for one.
    Running,
    /// Off the CPU, of its own accord or in a page fault.
    Blocked(Blocked),
    /// The kernel doesn't say, or there is no such thread.
    Unknown,
}

/// Where a thread left for the kernel. The same twice does not mean that it stayed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocked {
    /// The system call and its arguments; none in a page fault.
    call: [u64; 7],
    pub(super) sp: u64,
    pub(super) pc: u64,
}

/// What a thread waits for in the system call `futex`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Futex {
    pub(super) address: u64,
    /// Whether its word is the id of the thread that holds it.
    pub(super) inherits: bool,
}

impl Blocked {
    /// Number and first argument of the system call; none in a page fault.
    pub(super) fn call(&self) -> Option<[u64; 2]> {
        let [number, first, ..] = self.call;
        (number != u64::MAX).then_some([number, first])
    }

    pub(super) fn futex(&self) -> Option<Futex> {
        let [number, address, operation, ..] = self.call;
        let commands =
            u64::from((libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME).cast_unsigned());
        let command = i32::try_from(operation & !commands).ok()?;
        let inherits = matches!(command, libc::FUTEX_LOCK_PI | libc::FUTEX_LOCK_PI2);
        let waits = inherits || matches!(command, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET);
        let is_futex = i64::try_from(number).ok()? == libc::SYS_futex;
        (is_futex && waits).then_some(Futex { address, inherits })
    }
}

/// The threads of this process; none when there are more.
pub(super) fn threads(most: usize) -> Option<Vec<i32>> {
    let folder = std::fs::read_dir("/proc/self/task").ok()?;
    let mut threads = Vec::new();
    for entry in folder {
        threads.push(entry.ok()?.file_name().to_str()?.parse().ok()?);
        if threads.len() > most {
            return None;
        }
    }
    Some(threads)
}

/// As the kernel has it: cut after fifteen bytes.
pub(super) fn name(tid: i32) -> String {
    let mut bytes = [0; BYTES_MAX];
    read(tid, "comm", &mut bytes).map(|name| name.trim_end().to_owned()).unwrap_or_default()
}

pub(super) fn whereabouts(tid: i32) -> Whereabouts {
    let mut bytes = [0; BYTES_MAX];
    read(tid, "syscall", &mut bytes).map_or(Whereabouts::Unknown, parse_syscall)
}

fn parse_syscall(line: &str) -> Whereabouts {
    if line.starts_with("running") {
        return Whereabouts::Running;
    }
    let mut words = [0_u64; 9];
    let mut count = 0;
    for word in line.split_ascii_whitespace() {
        let value = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse::<i64>().ok().map(i64::cast_unsigned),
        };
        let (Some(value), Some(place)) = (value, words.get_mut(count)) else {
            return Whereabouts::Unknown;
        };
        *place = value;
        count += 1;
    }
    let [call @ .., sp, pc] = words;
    match count {
        9 => Whereabouts::Blocked(Blocked { call, sp, pc }),
        3 => Whereabouts::Blocked(Blocked { call: [u64::MAX; 7], sp: words[1], pc: words[2] }),
        _ => Whereabouts::Unknown,
    }
}

/// How long the thread was on a CPU, how long it waited for one, and how often it got one. If it is
/// the same twice, the thread did not run in between. None where the kernel doesn't count.
pub(super) fn run_time(tid: i32) -> Option<[u64; 3]> {
    let mut bytes = [0; BYTES_MAX];
    let line = read(tid, "schedstat", &mut bytes)?;
    let mut words = line.split_ascii_whitespace().map(|word| word.parse().ok());
    Some([words.next()??, words.next()??, words.next()??])
}

/// What matters for signalling a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) is_running: bool,
    /// How often it gave up its CPU: it waited for something.
    pub(super) waits: u64,
    /// Signals that it doesn't take, by number from bit 0 for 1.
    blocked: u64,
    /// Signals that it was sent and didn't take yet.
    pending: u64,
}

impl Status {
    /// Whether it would take a signal at once.
    pub(super) fn takes(&self, signal: i32) -> bool {
        let bit = 1 << (signal - 1);
        (self.blocked | self.pending) & bit == 0
    }
}

pub(super) fn status(tid: i32) -> Option<Status> {
    let mut bytes = [0; BYTES_MAX];
    Some(parse_status(read(tid, "status", &mut bytes)?))
}

fn parse_status(text: &str) -> Status {
    let mut status = Status::default();
    let mask = |value: &str| u64::from_str_radix(value, 16).unwrap_or(u64::MAX);
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key {
            "State" => status.is_running = value.starts_with('R'),
            "SigBlk" => status.blocked = mask(value),
            "SigPnd" => status.pending = mask(value),
            "voluntary_ctxt_switches" => status.waits = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    status
}

fn read<'a>(tid: i32, file: &str, bytes: &'a mut [u8; BYTES_MAX]) -> Option<&'a str> {
    let mut file = File::open(format!("/proc/self/task/{tid}/{file}")).ok()?;
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(_) => return None,
        }
    }
    std::str::from_utf8(&bytes[..length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_lines_are_understood() {
        assert_eq!(parse_syscall("running\n"), Whereabouts::Running);
        let blocked = parse_syscall("202 0x1 0x80 0x0 0x0 0x0 0xffffffff 0x7ffc10 0x7f20\n");
        let call = [202, 1, 0x80, 0, 0, 0, 0xffff_ffff];
        assert_eq!(blocked, Whereabouts::Blocked(Blocked { call, sp: 0x7ffc10, pc: 0x7f20 }));
        let fault = parse_syscall("-1 0x10 0x20\n");
        let call = [u64::MAX; 7];
        assert_eq!(fault, Whereabouts::Blocked(Blocked { call, sp: 0x10, pc: 0x20 }));
        for line in ["", "1 2", "1 2 3 4 5 6 7 8 9 10", "a b c"] {
            assert_eq!(parse_syscall(line), Whereabouts::Unknown, "{line}");
        }
    }

    #[test]
    fn what_a_thread_waits_for_is_told_from_its_system_call() {
        let blocked = |operation| {
            let line = format!("{} 0x10 {operation:#x} 0x2 0x0 0x0 0x0 0x20 0x30", libc::SYS_futex);
            match parse_syscall(&line) {
                Whereabouts::Blocked(blocked) => blocked,
                other => panic!("{other:?}"),
            }
        };
        // As std waits for a mutex, as the C library does, to wake others, and with inheritance.
        let plain = Some(Futex { address: 0x10, inherits: false });
        assert_eq!(blocked(0x189).futex(), plain);
        assert_eq!(blocked(0x80).futex(), plain);
        assert_eq!(blocked(0x81).futex(), None);
        assert_eq!(blocked(0x86).futex(), Some(Futex { address: 0x10, inherits: true }));
        assert_eq!(blocked(0x80).call(), Some([libc::SYS_futex.unsigned_abs(), 0x10]));
    }

    #[test]
    fn a_thread_that_asks_of_itself_runs_and_takes_signals() {
        let tid = crate::stack::ffi::thread_id();
        let status = status(tid).unwrap();
        assert!(status.is_running && status.takes(libc::SIGRTMIN() + 7));
        let text = "State:\tS (sleeping)\nSigPnd:\t0\nSigBlk:\t0000000000000200\n\
                    voluntary_ctxt_switches:\t42\n";
        let parsed = parse_status(text);
        assert!(!parsed.is_running && parsed.waits == 42);
        assert!(!parsed.takes(10) && parsed.takes(9) && parsed.takes(64));
        assert!(run_time(tid).is_some_and(|[.., turns]| turns > 0));
        assert!(threads(1024).unwrap().contains(&tid) && threads(0).is_none());
        assert!(!name(tid).is_empty());
    }
}
