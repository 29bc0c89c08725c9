//! The clock of the polling path: ticks of the time-stamp counter where it can be trusted, else
//! nanoseconds of the monotonic clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

#[cfg(target_arch = "x86_64")]
mod tsc;

/// Bits after the point in [`NS_PER_TICK`].
const SHIFT: u32 = 32;
/// How long the calibration at the start lasts. It is off by some 100 ppm; [`refine`] betters it.
const ROUGH: Duration = Duration::from_millis(2);

static COUNTER: AtomicBool = AtomicBool::new(false);
static NS_PER_TICK: AtomicU64 = AtomicU64::new(1 << SHIFT);
static ORIGIN: OnceLock<Anchor> = OnceLock::new();
static MONOTONIC_ORIGIN: OnceLock<Instant> = OnceLock::new();

/// One instant on both clocks.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    ticks: u64,
    at: Instant,
}

impl Anchor {
    /// The tightest of a few pairs: between the two reads of one the thread may lose its CPU.
    fn take() -> Self {
        let pair = || {
            let before = now();
            let at = Instant::now();
            let after = now();
            let width = after.saturating_sub(before);
            (width, Self { ticks: before.saturating_add(width / 2), at })
        };
        let mut best = pair();
        for _ in 0..4 {
            let next = pair();
            if next.0 < best.0 {
                best = next;
            }
        }
        best.1
    }
}

/// Ticks since an arbitrary origin. Two reads on different cores may seem to step back by a few
/// ticks: subtract with `saturating_sub`.
#[inline(always)]
pub(crate) fn now() -> u64 {
    #[cfg(target_arch = "x86_64")]
    if COUNTER.load(Ordering::Relaxed) {
        return tsc::read();
    }
    monotonic()
}

fn monotonic() -> u64 {
    let origin = MONOTONIC_ORIGIN.get_or_init(Instant::now);
    whole_nanoseconds(origin.elapsed())
}

/// Chooses the clock and calibrates it roughly. The first call of the process decides.
pub(crate) fn start() {
    ORIGIN.get_or_init(|| {
        COUNTER.store(counter_is_invariant(), Ordering::Relaxed);
        let origin = Anchor::take();
        if COUNTER.load(Ordering::Relaxed) {
            thread::sleep(ROUGH);
            calibrate(origin);
        }
        origin
    });
}

/// Calibrates again over all the time since [`start`]. After a second the error is a few ppm.
pub(crate) fn refine() {
    if let Some(origin) = ORIGIN.get()
        && COUNTER.load(Ordering::Relaxed)
    {
        calibrate(*origin);
    }
}

fn calibrate(origin: Anchor) {
    let end = Anchor::take();
    let ticks = u128::from(end.ticks.saturating_sub(origin.ticks)).max(1);
    let ratio = (end.at.duration_since(origin.at).as_nanos() << SHIFT) / ticks;
    if let Ok(ratio @ 1..) = u64::try_from(ratio) {
        NS_PER_TICK.store(ratio, Ordering::Relaxed);
    }
}

/// Nanoseconds in a tick, with 32 bits after the point.
pub(crate) fn ns_per_tick() -> u64 {
    NS_PER_TICK.load(Ordering::Relaxed)
}

/// A duration's nanoseconds, as far as they fit.
pub(crate) fn whole_nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds that a number of ticks lasts.
pub(crate) fn nanoseconds(ticks: u64) -> u64 {
    let ratio = u128::from(NS_PER_TICK.load(Ordering::Relaxed));
    u64::try_from((u128::from(ticks) * ratio) >> SHIFT).unwrap_or(u64::MAX)
}

/// Ticks in a number of nanoseconds, at least one.
pub(crate) fn ticks(nanoseconds: u64) -> u64 {
    let ratio = u128::from(NS_PER_TICK.load(Ordering::Relaxed)).max(1);
    u64::try_from((u128::from(nanoseconds) << SHIFT) / ratio).unwrap_or(u64::MAX).max(1)
}

/// The wall clock at an instant that lies in the past.
pub(crate) fn wall(ticks_then: u64) -> SystemTime {
    let ago = Duration::from_nanos(nanoseconds(now().saturating_sub(ticks_then)));
    let now = SystemTime::now();
    now.checked_sub(ago).unwrap_or(now)
}

#[cfg(target_arch = "x86_64")]
fn counter_is_invariant() -> bool {
    // Linux takes the counter off this list when it sees it drift between cores.
    let listed = std::fs::read_to_string(
        "/sys/devices/system/clocksource/clocksource0/available_clocksource",
    )
    .map_or(true, |sources| sources.split_whitespace().any(|source| source == "tsc"));
    // Miri interprets no assembly.
    listed && !cfg!(miri) && tsc::is_invariant()
}

#[cfg(not(target_arch = "x86_64"))]
fn counter_is_invariant() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_measure_what_the_monotonic_clock_measures() {
        start();
        let (began, from) = (Instant::now(), now());
        thread::sleep(Duration::from_millis(60));
        let inside = nanoseconds(now().saturating_sub(from));
        let outside = began.elapsed();
        assert!(inside >= 59_000_000, "{inside}");
        assert!(Duration::from_nanos(inside) <= outside + Duration::from_millis(1), "{inside}");
    }

    #[test]
    fn conversions_are_inverse_within_a_tick() {
        start();
        for ns in [1_000, 10_000_000, 5_000_000_000, 86_400_000_000_000] {
            let back = nanoseconds(ticks(ns));
            assert!(back.abs_diff(ns) <= 10, "{ns} came back as {back}");
        }
    }

    #[test]
    fn wall_time_of_the_past_is_in_the_past() {
        start();
        let (then, before) = (now(), SystemTime::now());
        thread::sleep(Duration::from_millis(20));
        let error = wall(then).duration_since(before).unwrap_or_else(|e| e.duration());
        assert!(error < Duration::from_millis(5), "{error:?}");
    }
}
