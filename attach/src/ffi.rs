//! What needs `unsafe`: tracing calls, and reading the memory of another process.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::thread::JoinHandleExt;
use std::ptr;
use std::thread::JoinHandle;

use holdup::symbols::Start;

/// What waiting for a thread found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// It has not stopped yet, and this thread was woken.
    NotYet,
    /// It stands still. With a signal that it was about to take: that has to be given back.
    Stopped {
        /// The signal; 0 for none.
        signal: i32,
    },
    /// It has ended.
    Ended,
}

/// What the registers of a thread that stands still say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) start: Start,
    /// The system call that the stop took it out of, with its result so far.
    pub(crate) call: Option<(i64, i64)>,
}

/// Calls `ptrace` with a plain number as data.
fn trace(request: libc::c_uint, tid: i32, address: usize, data: usize) -> io::Result<()> {
    let address = ptr::without_provenance_mut::<libc::c_void>(address);
    let data = ptr::without_provenance_mut::<libc::c_void>(data);
    // SAFETY: the requests that are passed here take numbers, and touch no memory of this process.
    let result = unsafe { libc::ptrace(request, tid, address, data) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Becomes the tracer of a thread, which runs on. Without `PTRACE_O_EXITKILL`: when this thread ends,
/// however it does, the traced one runs on without it.
pub(crate) fn seize(tid: i32) -> io::Result<()> {
    trace(libc::PTRACE_SEIZE, tid, 0, 0)
}

/// Asks a traced thread to stand still, without a signal.
pub(crate) fn interrupt(tid: i32) -> io::Result<()> {
    trace(libc::PTRACE_INTERRUPT, tid, 0, 0)
}

/// Lets a thread that stands still run on, untraced, with the signal that it was about to take.
pub(crate) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    trace(libc::PTRACE_DETACH, tid, 0, usize::try_from(signal).unwrap_or(0))
}

/// Waits for a traced thread to stop or to end; or until this thread is [`wake`]d.
pub(crate) fn wait(tid: i32) -> io::Result<Waited> {
    let mut status = 0;
    // SAFETY: the status is written to memory that is ours.
    let result = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) };
    if result == -1 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::Interrupted => Ok(Waited::NotYet),
            _ => Err(error),
        };
    }
    if !libc::WIFSTOPPED(status) {
        return Ok(Waited::Ended);
    }
    // An event of ptrace, such as the stop that was asked for, stands above the signal.
    let is_event = status >> 16 != 0;
    Ok(Waited::Stopped { signal: if is_event { 0 } else { libc::WSTOPSIG(status) } })
}

/// What wakes a thread of this process out of a wait. The C library uses none of these, and nothing
/// else of this command does.
fn wake_signal() -> libc::c_int {
    libc::SIGRTMIN() + 9
}

extern "C" fn ignore(_: libc::c_int) {}

/// Lets [`wake`] end calls of this process's threads: without the flag that makes them again.
pub(crate) fn listen_to_wake() -> io::Result<()> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroes are an action without flags, and an empty set of signals.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = (ignore as extern "C" fn(libc::c_int)) as *const () as usize;
    // SAFETY: the handler does nothing, which is safe at any moment.
    let result = unsafe { libc::sigaction(wake_signal(), action, ptr::null_mut()) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Wakes a thread of this process that has not been joined.
pub(crate) fn wake<T>(thread: &JoinHandle<T>) {
    // SAFETY: a thread whose handle is there has not been joined, so that its number is its own.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), wake_signal()) };
}

/// Lets this thread run before all others as soon as it has something to do, where that is allowed:
/// while it waits for a CPU, a target stands still.
pub(crate) fn be_urgent() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads `priority`, and concerns this thread alone.
    unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const priority,
        )
    };
}

/// The registers of a traced thread that stands still.
pub(crate) fn registers(tid: i32) -> io::Result<Registers> {
    let mut found = MaybeUninit::<libc::user_regs_struct>::uninit();
    let bytes = size_of::<libc::user_regs_struct>();
    let mut vector = libc::iovec { iov_base: found.as_mut_ptr().cast(), iov_len: bytes };
    let kind =
        ptr::without_provenance_mut::<libc::c_void>(libc::NT_PRSTATUS.unsigned_abs() as usize);
    // SAFETY: the kernel writes no more than `iov_len` bytes to `found`.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid, kind, &raw mut vector) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    if vector.iov_len != bytes {
        return Err(io::Error::other("the thread is of another kind of machine"));
    }
    // SAFETY: the kernel has filled all of it.
    Ok(read_registers(&unsafe { found.assume_init() }))
}

#[cfg(target_arch = "x86_64")]
fn read_registers(found: &libc::user_regs_struct) -> Registers {
    let start = Start { pc: found.rip, sp: found.rsp, fp: Some(found.rbp), lr: 0 };
    let (call, result) = (found.orig_rax.cast_signed(), found.rax.cast_signed());
    Registers { start, call: (call >= 0).then_some((call, result)) }
}

/// A call that is to be made again has been set up for that before the thread stops.
#[cfg(target_arch = "aarch64")]
fn read_registers(found: &libc::user_regs_struct) -> Registers {
    let start = Start { pc: found.pc, sp: found.sp, fp: Some(found.regs[29]), lr: found.regs[30] };
    Registers { start, call: None }
}

/// Sets the result of the system call that a stopped thread was taken out of.
#[cfg(target_arch = "x86_64")]
pub(crate) fn set_result(tid: i32, result: i64) -> io::Result<()> {
    let offset = std::mem::offset_of!(libc::user_regs_struct, rax);
    let data = usize::try_from(result.cast_unsigned()).unwrap_or(0);
    trace(libc::PTRACE_POKEUSER, tid, offset, data)
}

/// Never called: no call is told.
#[cfg(target_arch = "aarch64")]
pub(crate) fn set_result(_tid: i32, _result: i64) -> io::Result<()> {
    Ok(())
}

/// Reads the memory of another process; what isn't mapped there isn't read. Returns how many bytes
/// came.
pub(crate) fn read_memory(pid: i32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let start = ptr::without_provenance_mut(usize::try_from(address).unwrap_or(0));
    let remote = libc::iovec { iov_base: start, iov_len: into.len() };
    // SAFETY: the kernel writes to `into` and to nothing else, and checks both ranges.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}
