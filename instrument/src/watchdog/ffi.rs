//! Calls into the OS that have no safe form.
#![cfg_attr(target_os = "linux", allow(unsafe_code))]

/// Has this thread run as soon as it wakes up, where the process may ask for that (CAP_SYS_NICE): it
/// is on time then on a machine with more work than CPUs. It runs for microseconds at a time.
#[cfg(target_os = "linux")]
pub(super) fn ask_for_priority() {
    let lowest = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the kernel reads the structure; 0 is this thread. A refusal changes nothing.
    unsafe { libc::sched_setscheduler(0, policy, &raw const lowest) };
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ask_for_priority() {}

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
