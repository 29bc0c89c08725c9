//! Calls into the OS that have no safe form.
#![cfg_attr(target_os = "linux", allow(unsafe_code))]

/// The scheduler's smallest slice, in nanoseconds.
#[cfg(target_os = "linux")]
const SLICE_NS: u64 = 100_000;

/// Has this thread scheduled soon after it wakes up, for little time at once: it then is on time
/// on a machine with more work than CPUs. Linux knows it from 6.12 on; others ignore it.
#[cfg(target_os = "linux")]
pub(super) fn ask_for_short_slices() {
    // struct sched_attr of <linux/sched/types.h>, first version.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    /// The nice value stays that of the process.
    const KEEP_PARAMS_OFF: u64 = 0;
    // SAFETY: getpriority reads nothing of ours; 0 is this thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let attributes = Attributes {
        size: 48,
        policy: 0,
        flags: KEEP_PARAMS_OFF,
        nice,
        priority: 0,
        runtime: SLICE_NS,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the kernel reads `size` bytes at the pointer, which are the structure's. A refusal
    // changes nothing.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ask_for_short_slices() {}

/// CPU time of a thread of this process, in nanoseconds. None when the thread has ended.
#[cfg(target_os = "linux")]
pub(super) fn cpu_ns(thread: u32) -> Option<u64> {
    // How the kernel names the CPU clock of a thread, as glibc's pthread_getcpuclockid does.
    let id = i32::try_from(thread).ok()?;
    let clock = (!id << 3) | 0b110;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec at the pointer, or refuses the clock.
    let status = unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let rest = u64::try_from(time.tv_nsec).ok()?;
    (status == 0).then(|| seconds * 1_000_000_000 + rest)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn cpu_ns(_: u32) -> Option<u64> {
    None
}
