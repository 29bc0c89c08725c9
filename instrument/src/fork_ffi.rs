//! What a child of `fork` is told: it has the thread that forked, and none of Holdup's.
#![allow(unsafe_code)]

use std::sync::Once;

use crate::polling::switch;

/// From the first call on, polls in children are plain polls: a lock that another thread had at that
/// instant stays locked there, and nobody takes what would be recorded.
pub(crate) fn switch_off_in_children() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the function lives as long as the program, and only stores to atomics. A refusal,
        // for want of memory, leaves children without it.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

extern "C" fn in_child() {
    switch::off();
}
