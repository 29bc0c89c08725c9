//! Children that are forks of this process, without `exec`.
#![allow(unsafe_code)]

/// Runs `work` in a child, which ends with 0 if it is done. The child's id.
pub(crate) fn fork(work: impl FnOnce()) -> i32 {
    // SAFETY: the child goes on with this thread alone, and does nothing but `work`: what that may
    // do is what the test is about.
    let child = unsafe { libc::fork() };
    if child != 0 {
        return child;
    }
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // SAFETY: ends the process at once, without the harness's own end.
    unsafe { libc::_exit(i32::from(done.is_err())) }
}

/// The status of a child that has ended.
pub(crate) fn ended(child: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: the status is written to a variable of this function.
    let found = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
    assert!(found >= 0, "no child {child}");
    (found == child).then_some(status)
}
