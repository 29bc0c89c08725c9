//! Small numbers for sites, so that a table finds a site's row with one load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::polling::site::Site;

/// Sites that are measured apart, in one process. A power of two.
pub(crate) const SITES_MAX: usize = 512;
/// The number of all sites beyond.
pub(crate) const OVERFLOW: usize = 1;

/// What passes a bound is charged to this name, which OpenTelemetry uses for the same purpose.
static OVERFLOW_SITE: Site = Site::new("otel.metric.overflow", "", 0);
static SITES: [OnceLock<&'static Site>; SITES_MAX] = [const { OnceLock::new() }; SITES_MAX];
/// The first number that nobody has: 0 is that of sites not seen yet.
static NEXT: AtomicU32 = AtomicU32::new(2);

/// The number of a site, which gets one if it has none.
pub(super) fn number(site: &'static Site) -> usize {
    let known = site.number() as usize;
    if known != 0 {
        return known;
    }
    if NEXT.load(Ordering::Relaxed) as usize >= SITES_MAX {
        return OVERFLOW;
    }
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    // Named first: whoever sees the number can ask for the name. When two threads meet here, one of
    // the two numbers is never used.
    match SITES.get(next as usize) {
        Some(place) if place.set(site).is_ok() => site.give_number(next) as usize,
        _ => OVERFLOW,
    }
}

/// Every site that has a number of its own.
pub(crate) fn all() -> impl Iterator<Item = &'static Site> {
    let next = NEXT.load(Ordering::Acquire) as usize;
    SITES.iter().take(next).filter_map(|place| place.get().copied())
}

/// The site of a number.
pub(super) fn site(number: usize) -> Option<&'static Site> {
    match number {
        OVERFLOW => Some(&OVERFLOW_SITE),
        _ => SITES.get(number)?.get().copied(),
    }
}
