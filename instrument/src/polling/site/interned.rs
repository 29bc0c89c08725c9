//! Sites that are known only when the program runs, in a table with a bound.

use std::panic::Location;
use std::ptr;
use std::sync::OnceLock;

use super::Site;

/// Sites that `.detect_blocking("name")` may make.
const SITES_MAX: usize = 1024;
/// Places of the table that are tried for one site. A table that is half full needs few.
const PROBES_MAX: usize = 32;

struct Interned {
    key: Key,
    site: Site,
}

/// A literal and a place in the source, both by address: equal ones are the same site, and should a
/// literal exist twice, two entries with one name do no harm.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    name: usize,
    location: usize,
}

impl Key {
    fn start(self) -> usize {
        // Multiplicative hashing after Knuth: addresses differ in their middle bits.
        let mixed = (self.name ^ self.location.rotate_left(17)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed >> (usize::BITS - SITES_MAX.trailing_zeros())
    }
}

static TABLE: [OnceLock<Interned>; SITES_MAX] = [const { OnceLock::new() }; SITES_MAX];
/// What passes the bound is charged to this name, which OpenTelemetry uses for the same purpose.
static OVERFLOW: Site = Site::new("otel.metric.overflow", "", 0);

/// The site of a name at a place in the source.
pub(crate) fn intern(name: &'static str, location: &'static Location<'static>) -> &'static Site {
    let key = Key { name: name.as_ptr().addr(), location: ptr::from_ref(location).addr() };
    find(key, || Site::new(name, location.file(), location.line()))
}

/// The site of the tasks that are spawned at a place in the source.
pub(crate) fn spawned_at(location: &'static Location<'static>) -> &'static Site {
    let key = Key { name: 0, location: ptr::from_ref(location).addr() };
    find(key, || Site::task(location))
}

fn find(key: Key, make: impl Fn() -> Site) -> &'static Site {
    for probe in 0..PROBES_MAX {
        let entry =
            TABLE[(key.start() + probe) % SITES_MAX].get_or_init(|| Interned { key, site: make() });
        if entry.key == key {
            return &entry.site;
        }
    }
    &OVERFLOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_one_site_and_the_table_has_a_bound() {
        let place = Location::caller();
        assert!(ptr::eq(intern("a", place), intern("a", place)));
        assert!(!ptr::eq(intern("a", place), intern("a", Location::caller())));
        for index in 0..2 * SITES_MAX {
            intern(Box::leak(format!("site {index}").into_boxed_str()), place);
        }
        let late = intern(Box::leak(String::from("late").into_boxed_str()), place);
        assert_eq!(late.function(), "otel.metric.overflow");
        assert_eq!(intern("a", place).function(), "a");
    }
}
