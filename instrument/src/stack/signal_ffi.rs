//! The handler that copies the registers and the stack of the thread that it interrupts, and what is
//! needed to have it run there.
//!
//! The handler allocates nothing, takes no lock, calls nothing but `getpid`, and keeps `errno`. It
//! walks no stack: it copies bytes that belong to the thread on which it runs.

#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::stack::STACK_BYTES_MAX;
use crate::stack::registers::Registers;

/// What the kernel and the alternate stack of std's threads leave for a handler; a frame that is
/// larger, as with AMX, is put on the thread's own stack.
const FRAME_BYTES_MAX: u64 = 6 * 1024;

/// The one request at a time: its number, times four, plus where it is.
static STATE: AtomicU64 = AtomicU64::new(0);
const PHASES: u64 = 4;
const ASKED: u64 = 1;
const COPYING: u64 = 2;
const COPIED: u64 = 3;

static COPY: Copied = Copied {
    low: AtomicU64::new(0),
    high: AtomicU64::new(0),
    pc: AtomicU64::new(0),
    sp: AtomicU64::new(0),
    fp: AtomicU64::new(0),
    lr: AtomicU64::new(0),
    length: AtomicUsize::new(0),
    stack: UnsafeCell::new([0; STACK_BYTES_MAX]),
};

struct Copied {
    /// Where the stack of the thread is: nothing outside is read.
    low: AtomicU64,
    high: AtomicU64,
    pc: AtomicU64,
    sp: AtomicU64,
    fp: AtomicU64,
    lr: AtomicU64,
    length: AtomicUsize,
    stack: UnsafeCell<[u8; STACK_BYTES_MAX]>,
}

// SAFETY: `stack` is written by the one handler that moved STATE from ASKED to COPYING, and read by
// the one requester after it found COPIED.
unsafe impl Sync for Copied {}

/// What is passed with the signal: `siginfo_t` as the kernel lays it out for a queued one.
#[repr(C)]
struct Queued {
    signal: c_int,
    errno: c_int,
    code: c_int,
    _gap: c_int,
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: u64,
    _rest: [u8; 96],
}

const _: () = assert!(size_of::<Queued>() == size_of::<libc::siginfo_t>());

extern "C" fn on_signal(_: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the address of this thread's `errno` is valid as long as the thread is.
    let errno_at = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let errno = unsafe { *errno_at };
    // SAFETY: the kernel passes a description that lasts as long as the handler.
    let info = unsafe { &*info };
    // SAFETY: every queued signal has this field, and any other is sorted out by its code.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as above.
    let value = unsafe { info.si_value() };
    // SAFETY: the call has no arguments and can't fail.
    let own = unsafe { libc::getpid() };
    if info.si_code == libc::SI_QUEUE && pid == own {
        copy(value.sival_ptr.addr() as u64, context.cast());
    }
    // SAFETY: as above.
    unsafe { *errno_at = errno };
}

fn copy(request: u64, context: *const libc::ucontext_t) {
    let (asked, copying) = (request * PHASES + ASKED, request * PHASES + COPYING);
    // Late, for a requester that gave up: the buffer may be another's.
    if STATE.compare_exchange(asked, copying, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return;
    }
    // SAFETY: the kernel passes the context of the interrupted thread.
    let registers = registers_of(unsafe { &*context });
    let sp = registers.sp;
    let (low, high) = (COPY.low.load(Ordering::Relaxed), COPY.high.load(Ordering::Relaxed));
    let mut length = 0;
    if low <= sp && sp < high {
        length = usize::try_from(high - sp).unwrap_or(0).min(STACK_BYTES_MAX);
        let from = ptr::with_exposed_provenance::<u8>(usize::try_from(sp).unwrap_or(0));
        // SAFETY: from `sp` to `high` it is the live stack of the thread on which this runs, and
        // the buffer is as large as the most that is copied; this handler alone has it.
        unsafe { ptr::copy_nonoverlapping(from, COPY.stack.get().cast::<u8>(), length) };
    }
    COPY.pc.store(registers.pc, Ordering::Relaxed);
    COPY.sp.store(registers.sp, Ordering::Relaxed);
    COPY.fp.store(registers.fp, Ordering::Relaxed);
    COPY.lr.store(registers.lr, Ordering::Relaxed);
    COPY.length.store(length, Ordering::Relaxed);
    STATE.store(request * PHASES + COPIED, Ordering::Release);
}

#[cfg(target_arch = "x86_64")]
fn registers_of(context: &libc::ucontext_t) -> Registers {
    let register = |index: c_int| {
        let index = usize::try_from(index).unwrap_or(0);
        context.uc_mcontext.gregs[index].cast_unsigned()
    };
    let (pc, sp, fp) = (register(libc::REG_RIP), register(libc::REG_RSP), register(libc::REG_RBP));
    Registers { pc, sp, fp, lr: 0 }
}

#[cfg(target_arch = "aarch64")]
fn registers_of(context: &libc::ucontext_t) -> Registers {
    let machine = &context.uc_mcontext;
    Registers { pc: machine.pc, sp: machine.sp, fp: machine.regs[29], lr: machine.regs[30] }
}

/// Puts the handler in place, on a real-time signal that nobody uses. None if there is none left.
pub(super) fn install() -> Option<c_int> {
    // The first few are often taken by hand.
    let candidates = (libc::SIGRTMIN() + 7..=libc::SIGRTMAX()).chain([libc::SIGRTMIN() + 6]);
    for signal in candidates {
        if disposition(signal) != Some(libc::SIG_DFL) {
            continue;
        }
        // SAFETY: all zeroes is a valid value of this plain structure.
        let mut action = unsafe { mem::zeroed::<libc::sigaction>() };
        action.sa_sigaction = handler();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | on_alternate_stack();
        // SAFETY: the set is ours.
        unsafe { libc::sigfillset(&raw mut action.sa_mask) };
        // SAFETY: the handler may run at any time, on any thread.
        if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } == 0 {
            return Some(signal);
        }
    }
    None
}

/// Whether the handler is still in place: a signal without one would end the process.
pub(super) fn is_installed(signal: c_int) -> bool {
    disposition(signal) == Some(handler())
}

fn handler() -> libc::sighandler_t {
    (on_signal as *const ()).addr()
}

fn disposition(signal: c_int) -> Option<libc::sighandler_t> {
    // SAFETY: all zeroes is a valid value of this plain structure.
    let mut action = unsafe { mem::zeroed::<libc::sigaction>() };
    // SAFETY: nothing is set, and what is set is written to memory that is ours.
    let result = unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    (result == 0).then_some(action.sa_sigaction)
}

/// The alternate stack spares threads that are near the end of theirs, and those that run code of
/// Go, whose stacks are tiny. Where the kernel's frame would fill it, it is not used.
fn on_alternate_stack() -> c_int {
    // SAFETY: reads what the kernel gave to the process at its start.
    let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) };
    if frame <= FRAME_BYTES_MAX { libc::SA_ONSTACK } else { 0 }
}

/// Begins a request, unless the handler is at work for an earlier one.
pub(super) fn ask(low: u64, high: u64) -> Option<u64> {
    let state = STATE.load(Ordering::Acquire);
    if state % PHASES == COPYING {
        return None;
    }
    COPY.low.store(low, Ordering::Relaxed);
    COPY.high.store(high, Ordering::Relaxed);
    let request = state / PHASES + 1;
    STATE.store(request * PHASES + ASKED, Ordering::Release);
    Some(request)
}

/// Sends the request to a thread of this process.
pub(super) fn send(signal: c_int, tid: i32, request: u64) -> bool {
    // SAFETY: the call has no arguments and can't fail.
    let pid = unsafe { libc::getpid() };
    // SAFETY: as above.
    let uid = unsafe { libc::getuid() };
    let code = libc::SI_QUEUE;
    let info = Queued { signal, errno: 0, code, _gap: 0, pid, uid, value: request, _rest: [0; 96] };
    // SAFETY: the kernel reads the description, which is as large as it has to be.
    let result =
        unsafe { libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, tid, signal, &raw const info) };
    result == 0
}

/// Takes what the handler copied. None as long as it has not.
pub(super) fn take(request: u64, stack: &mut Vec<u8>) -> Option<Registers> {
    if STATE.load(Ordering::Acquire) != request * PHASES + COPIED {
        return None;
    }
    let length = COPY.length.load(Ordering::Relaxed);
    stack.resize(length, 0);
    // SAFETY: the handler has copied as many bytes and is done; the next one begins after `ask`,
    // which the same thread calls.
    unsafe { ptr::copy_nonoverlapping(COPY.stack.get().cast::<u8>(), stack.as_mut_ptr(), length) };
    Some(Registers {
        pc: COPY.pc.load(Ordering::Relaxed),
        sp: COPY.sp.load(Ordering::Relaxed),
        fp: COPY.fp.load(Ordering::Relaxed),
        lr: COPY.lr.load(Ordering::Relaxed),
    })
}

/// Whether nothing will be done for a request any more, and what it may have brought is not needed.
pub(super) fn is_over(request: u64) -> bool {
    let state = STATE.load(Ordering::Acquire);
    state / PHASES != request || matches!(state % PHASES, 0 | COPIED)
}

/// Gives a request up. False when the handler is at work for it.
pub(super) fn give_up(request: u64) -> bool {
    let (asked, idle) = (request * PHASES + ASKED, request * PHASES);
    STATE.compare_exchange(asked, idle, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}
