//! The place in the source that a poll is charged to.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::polling::{clock, switch};

mod cell;
mod interned;

pub(crate) use cell::SiteCell;
pub(crate) use interned::intern;
pub(crate) use interned::spawned_at;

/// A function that is watched: its name, where it is, and its own threshold if it has one.
///
/// The attribute [`detect_blocking`](macro@crate::detect_blocking) makes one for its function. By
/// hand it is a `static`, so that a poll has nothing to look up:
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// static SITE: holdup::Site =
///     holdup::Site::new("shop::checkout", file!(), line!()).threshold(Duration::from_millis(200));
///
/// async fn checkout() -> u32 {
///     holdup::watch(&SITE, async { 42 }).await
/// }
/// # assert_eq!(SITE.function(), "shop::checkout");
/// ```
pub struct Site {
    name: Name,
    file: &'static str,
    line: u32,
    /// 0: the global one.
    threshold_ns: u64,
    /// The threshold in force; 0: that of the thread's slot. [`UNRESOLVED`] until the first poll.
    threshold_ticks: AtomicU64,
    /// Under which it is measured; 0 until it is first polled.
    number: AtomicU32,
    /// Stands for a worker of a runtime, in which it is not known which poll is long.
    is_worker: bool,
}

/// One tick: the first poll of all is long enough to ask, see [`Site::reached`].
const UNRESOLVED: u64 = 1;

/// Runtimes whose workers are told apart by name.
const WORKER_SITES_MAX: usize = 256;

enum Name {
    Given(&'static str),
    /// The full path of a function defined inside the one that is watched: `type_name` is not yet
    /// a `const fn`, so it is called when the name is needed.
    Inside(fn() -> &'static str),
    /// A task with no other name.
    SpawnedAt(&'static std::panic::Location<'static>),
}

impl Site {
    /// A site with a name of your choice. Names are meant to be full paths, `crate::module::function`.
    pub const fn new(function: &'static str, file: &'static str, line: u32) -> Self {
        Self::named(Name::Given(function), file, line)
    }

    /// A site that is named after the function around `inner`: pass a function defined in its body.
    ///
    /// # Examples
    ///
    /// ```
    /// mod shop {
    ///     pub fn site() -> &'static holdup::Site {
    ///         fn here() {}
    ///         static SITE: holdup::Site = holdup::Site::around(here, file!(), line!());
    ///         &SITE
    ///     }
    /// }
    /// assert!(shop::site().function().ends_with("shop::site"));
    /// ```
    pub const fn around<F: Copy>(_inner: F, file: &'static str, line: u32) -> Self {
        Self::named(Name::Inside(type_name::<F>), file, line)
    }

    const fn named(name: Name, file: &'static str, line: u32) -> Self {
        Self {
            name,
            file,
            line,
            threshold_ns: 0,
            threshold_ticks: AtomicU64::new(UNRESOLVED),
            number: AtomicU32::new(0),
            is_worker: false,
        }
    }

    /// The same site with a threshold of its own in place of the global one.
    #[must_use]
    pub const fn threshold(mut self, threshold: Duration) -> Self {
        let ns = threshold.as_nanos();
        self.threshold_ns = if ns > u64::MAX as u128 { u64::MAX } else { ns as u64 };
        if self.threshold_ns == 0 {
            self.threshold_ns = 1;
        }
        self
    }

    /// The full name of the function, as it is reported.
    pub fn function(&self) -> Cow<'static, str> {
        match &self.name {
            Name::Given(name) => Cow::Borrowed(name),
            Name::Inside(path) => Cow::Owned(enclosing_function(path())),
            Name::SpawnedAt(place) => Cow::Owned(format!("task spawned at {place}")),
        }
    }

    /// The site of the tasks that are spawned at a place.
    const fn task(place: &'static std::panic::Location<'static>) -> Self {
        Self::named(Name::SpawnedAt(place), place.file(), place.line())
    }

    /// Where the tasks of this site are spawned, if that is its name.
    pub(crate) fn spawned_at(&self) -> Option<&'static std::panic::Location<'static>> {
        match self.name {
            Name::SpawnedAt(place) => Some(place),
            Name::Given(_) | Name::Inside(_) => None,
        }
    }

    /// Whether it stands for a worker, of which it is not known which poll was long.
    pub(crate) fn is_worker(&self) -> bool {
        self.is_worker
    }

    /// The source file.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The line in [`file`](Self::file).
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The threshold in ticks, where `base` is that of sites without one of their own.
    #[inline(always)]
    pub(super) fn limit(&self, base: u64) -> u64 {
        match self.threshold_ticks.load(Ordering::Relaxed) {
            0 => base,
            own => own,
        }
    }

    /// The threshold that the code gives it, 0 for none.
    pub(crate) fn own_threshold_ns(&self) -> u64 {
        self.threshold_ns
    }

    /// Puts a threshold in force, 0 for that of the thread's slot.
    pub(crate) fn set_limit(&self, ticks: u64) {
        self.threshold_ticks.store(ticks, Ordering::Relaxed);
    }

    /// Under which it is measured; 0 when it has no number yet.
    #[inline(always)]
    pub(crate) fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    /// Gives it this number, unless it has one, and tells which it has.
    pub(crate) fn give_number(&self, number: u32) -> u32 {
        let given = self.number.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
        given.map_or_else(|known| known, |_| number)
    }

    /// The threshold in ticks when `ticks` reach it.
    pub(super) fn reached(&self, ticks: u64, base: u64) -> Option<u64> {
        if self.threshold_ticks.load(Ordering::Relaxed) == UNRESOLVED {
            // Rules are looked up by name, elsewhere. Until that is done, what any rule might want
            // is reported, and dropped by those who know.
            let first = match self.threshold_ns {
                0 if switch::floor_ticks() < base => switch::floor_ticks(),
                0 => 0,
                own => clock::ticks(own).min(switch::floor_ticks_of_rules()),
            };
            self.set_limit(first);
        }
        let limit = self.limit(base);
        (ticks >= limit).then_some(limit)
    }
}

/// The site of a runtime's workers: one for each name, within a bound.
pub(crate) fn worker_of(runtime: &str) -> &'static Site {
    static SITES: Mutex<Vec<&'static Site>> = Mutex::new(Vec::new());
    let mut sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
    let is_full = sites.len() >= WORKER_SITES_MAX;
    let name = if is_full { "worker".to_owned() } else { format!("worker of {runtime}") };
    if let Some(known) = sites.iter().find(|site| site.function() == name) {
        return known;
    }
    let name: &'static str = Box::leak(name.into_boxed_str());
    let site = Site { is_worker: true, ..Site::new(name, "", 0) };
    let site: &'static Site = Box::leak(Box::new(site));
    sites.push(site);
    site
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Site({} at {}:{})", self.function(), self.file, self.line)
    }
}

/// From the path of a function inside another, the path of that other: without the inner one's
/// name, closures, generic arguments and traits.
fn enclosing_function(path: &str) -> String {
    let outer = path.rsplit_once("::").map_or(path, |(outer, _)| outer);
    let outer = outer.replace("::{{closure}}", "");
    let mut name = String::with_capacity(outer.len());
    let (mut depth, mut rest) = (0_u32, outer.as_str());
    // `<a::Type<T> as b::Trait>::method` is reported as `a::Type::method`.
    if let Some(inner) = rest.strip_prefix('<')
        && let Some(end) = matching_end(inner)
    {
        let implementor = inner[..end].split(" as ").next().unwrap_or_default();
        name.push_str(without_generics(implementor));
        rest = &inner[end + 1..];
    }
    for character in rest.chars() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            other if depth == 0 => name.push(other),
            _ => {}
        }
    }
    name
}

fn without_generics(path: &str) -> &str {
    path.split('<').next().unwrap_or(path)
}

/// Where the bracket closes that was opened just before `text`.
fn matching_end(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (index, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            '>' if depth == 0 => return Some(index),
            '>' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_paths() {
        for (path, name) in [
            ("shop::checkout::here", "shop::checkout"),
            ("shop::checkout::{{closure}}::here", "shop::checkout"),
            ("shop::Cart::pay::{{closure}}::{{closure}}::here", "shop::Cart::pay"),
            ("shop::Cart<T>::pay::here", "shop::Cart::pay"),
            ("<shop::Cart as bank::Payer>::pay::{{closure}}::here", "shop::Cart::pay"),
            ("<shop::Cart<T> as bank::Payer<u8>>::pay::here", "shop::Cart::pay"),
            ("bank::Payer::pay::here", "bank::Payer::pay"),
            ("here", "here"),
        ] {
            assert_eq!(enclosing_function(path), name);
        }
    }

    struct Generic<T>(T);
    trait Named {
        fn site(&self) -> &'static Site;
    }
    impl<T> Named for Generic<T> {
        fn site(&self) -> &'static Site {
            fn here() {}
            static SITE: Site = Site::around(here, file!(), line!());
            &SITE
        }
    }
    impl<T> Generic<T> {
        fn inherent(&self) -> &'static Site {
            fn here() {}
            static SITE: Site = Site::around(here, file!(), line!());
            &SITE
        }
    }

    #[test]
    fn methods_carry_their_type() {
        let generic = Generic(1);
        let module = module_path!();
        assert_eq!(generic.site().function(), format!("{module}::Generic::site"));
        assert_eq!(generic.inherent().function(), format!("{module}::Generic::inherent"));
        assert_eq!(generic.0, 1);
    }

    #[test]
    fn a_threshold_of_its_own_is_exact_from_the_first_poll_on() {
        let _alone = switch::alone();
        clock::start();
        switch::on(10_000_000, u64::MAX);
        let base = clock::ticks(10_000_000);
        let site = Site::new("f", "f.rs", 1).threshold(Duration::from_millis(200));
        let (short, long) = (clock::ticks(199_000_000), clock::ticks(201_000_000));
        assert!(site.limit(base) <= short, "the first poll must ask");
        assert_eq!(site.reached(short, base), None);
        assert!(site.limit(base) > short, "the later ones need not");
        assert_eq!(site.reached(long, base), Some(clock::ticks(200_000_000)));
        switch::off();
    }
}
