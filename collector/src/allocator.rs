//! How the system's allocator shares memory out among threads.
//!
//! Memory that one thread asks for and another gives back stays with the first one's part. With
//! eight parts for each core, as is usual, that is much that lies idle, and pages of it are given
//! back and asked for again; a part for each core is enough.
#![allow(unsafe_code)]

/// Bounds the parts. To be called before there is a second thread. Whether that was taken.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn share_out() -> bool {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = libc::c_int::try_from(cores.max(2)).unwrap_or(libc::c_int::MAX);
    // SAFETY: it sets a number of the allocator's, which takes any.
    let taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, parts) };
    taken == 1
}

/// Other systems' allocators have no such parts.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn share_out() -> bool {
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_allocator_takes_a_bound() {
        assert!(super::share_out());
    }
}
