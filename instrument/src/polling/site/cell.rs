//! Where a slot keeps the site of its innermost poll, for other threads to read.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::Site;

/// An `Option<&'static Site>` that is written and read in one step.
#[derive(Debug)]
pub(crate) struct SiteCell(AtomicPtr<Site>);

impl SiteCell {
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> Option<&'static Site> {
        let pointer = self.0.load(Ordering::Acquire);
        // SAFETY: `store` is the only writer, so the pointer is null or comes from a `&'static`,
        // and was made before it was stored.
        unsafe { pointer.as_ref() }
    }

    #[inline(always)]
    pub(crate) fn store(&self, site: Option<&'static Site>) {
        let pointer = site.map_or(ptr::null_mut(), |site| ptr::from_ref(site).cast_mut());
        // Release costs nothing on x86_64: what was done to make the site is seen with it.
        self.0.store(pointer, Ordering::Release);
    }
}
