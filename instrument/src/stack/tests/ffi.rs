//! Loading and calling the scenes needs `unsafe`.

#![allow(unsafe_code)]

use std::ffi::{CString, c_void};
use std::path::Path;

/// A library with scenes that is loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Library {
    handle: *mut c_void,
    enter: extern "C" fn(u32, u64) -> u64,
}

// SAFETY: the handle is a number for the dynamic linker, which is made for threads.
unsafe impl Send for Library {}

// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    pub(super) fn load(path: &Path) -> Self {
        let name = CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the library has no constructors but those of std.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        assert!(!handle.is_null(), "{path:?} can't be loaded");
        // SAFETY: the handle is good, and the name ends with a zero.
        let address = unsafe { libc::dlsym(handle, c"enter".as_ptr()) };
        assert!(!address.is_null(), "no `enter` in {path:?}");
        // SAFETY: the scenes declare the function with this type.
        let enter =
            unsafe { std::mem::transmute::<*mut c_void, extern "C" fn(u32, u64) -> u64>(address) };
        Self { handle, enter }
    }

    pub(super) fn enter(self, scene: u32, milliseconds: u64) -> u64 {
        (self.enter)(scene, milliseconds)
    }

    /// Unloads it. Nothing of it may run.
    pub(super) fn unload(self) {
        // SAFETY: no thread is in the library, as the caller says.
        unsafe { libc::dlclose(self.handle) };
    }
}

/// Forbids others, and this process itself, to look at it by `/proc`.
pub(super) fn make_undumpable() {
    // SAFETY: sets one flag of this process.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) }, 0);
}

/// A mutex of the C library, which stays where it is.
pub(super) struct CMutex(Box<std::cell::UnsafeCell<libc::pthread_mutex_t>>);

// SAFETY: it is made for threads.
unsafe impl Send for CMutex {}

// SAFETY: as above.
unsafe impl Sync for CMutex {}

impl CMutex {
    pub(super) fn new() -> Self {
        Self(Box::new(std::cell::UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER)))
    }

    pub(super) fn lock(&self) {
        // SAFETY: the mutex was initialised, and lives as long as this.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.0.get()) }, 0);
    }

    pub(super) fn unlock(&self) {
        // SAFETY: as above.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0.get()) }, 0);
    }
}
