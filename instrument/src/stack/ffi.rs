//! What needs `unsafe`: calls into libc and the kernel, and the memory of the program's modules.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

/// Id of this thread, as the kernel counts.
pub(super) fn thread_id() -> i32 {
    // SAFETY: the call has no arguments and can't fail.
    unsafe { libc::gettid() }
}

/// Lowest address of this thread's stack, and the first above it.
pub(super) fn stack_bounds() -> Option<(u64, u64)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the call has no arguments and can't fail.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: `this` is a live thread; the attributes are written to memory that is ours.
    if unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut low, mut bytes) = (ptr::null_mut(), 0_usize);
    // SAFETY: the attributes were initialised by the call above.
    let result =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut bytes) };
    // SAFETY: the attributes are initialised and not used afterwards.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    let low = low.addr() as u64;
    (result == 0).then_some((low, low + bytes as u64))
}
