//! Buckets of durations, four to a doubling: those of OpenTelemetry's exponential histogram at scale
//! 2, exactly.
//!
//! They are found in ticks of the clock, without a conversion: the bounds of a doubling are at the same
//! four places in every doubling of the ticks, wherever the clock's rate puts them. So a bucket is the
//! number of the highest bit and four comparisons of the bits below it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::polling::clock;

/// OpenTelemetry's scale: 2^2 buckets a doubling, each 19 % wide.
pub(crate) const SCALE: i32 = 2;
/// Buckets of one histogram, without that of the shortest.
pub(crate) const BUCKETS: usize = 112;
/// Counters of one histogram: first that of the durations under [`SHORTEST_SECONDS`].
pub(crate) const COUNTERS: usize = BUCKETS + 1;
/// Lower bound of the first bucket, 2⁻²⁰ s or about a microsecond. What is shorter costs a comparison
/// that the CPU foresees, and nobody asks how short it was. The last bucket ends at 2⁸ s and takes
/// what is longer as well.
pub(crate) const SHORTEST_SECONDS: f64 = 1.0 / 1_048_576.0;
/// OpenTelemetry's index of the first bucket.
pub(crate) const FIRST_INDEX: i32 = -80;

/// Bounds in a doubling.
const BOUNDS: usize = 4;

/// Where the bounds are, as the clock is calibrated.
struct Bounds {
    /// In a number of ticks whose highest bit was moved to bit 63; ascending.
    places: [AtomicU64; BOUNDS],
    /// How many are between one tick and the first bucket.
    under_shortest: AtomicU64,
    /// The first bucket begins here.
    shortest: AtomicU64,
}

static TICKS: Bounds = Bounds {
    places: [const { AtomicU64::new(u64::MAX) }; BOUNDS],
    under_shortest: AtomicU64::new(0),
    shortest: AtomicU64::new(u64::MAX),
};

/// Takes the clock's calibration over.
pub(crate) fn refresh() {
    let ticks_per_second = 1e9 * (1_u64 << 32) as f64 / clock::ns_per_tick() as f64;
    set(ticks_per_second, &TICKS);
}

fn set(ticks_per_second: f64, bounds: &Bounds) {
    // The bound of index i is at 2^(i/4) s. Its place and its doubling are the two parts of the
    // logarithm of its ticks.
    let first = (ticks_per_second.log2() * 4.0).fract();
    let mut places: [u64; BOUNDS] = std::array::from_fn(|index| {
        let log2 = (first + index as f64) / 4.0;
        whole((log2.exp2() * (1_u64 << 63) as f64).ceil())
    });
    places.sort_unstable();
    for (place, value) in bounds.places.iter().zip(places) {
        place.store(value, Ordering::Relaxed);
    }
    let in_a_second = (ticks_per_second.log2() * 4.0).floor();
    let under_shortest = (in_a_second + f64::from(FIRST_INDEX)).max(0.0);
    bounds.under_shortest.store(whole(under_shortest), Ordering::Relaxed);
    let shortest = (ticks_per_second * SHORTEST_SECONDS).ceil();
    bounds.shortest.store(whole(shortest), Ordering::Relaxed);
}

/// What is too large becomes the largest number.
fn whole(number: f64) -> u64 {
    #[allow(clippy::cast_sign_loss)] // None is negative.
    let whole = number as u64;
    whole
}

/// What the durations of a counter stay under, in nanoseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn upper_ns(counter: usize) -> u64 {
    let doublings = counter as f64 / f64::from(1 << SCALE);
    (SHORTEST_SECONDS * doublings.exp2() * 1e9) as u64
}

/// The counter for a duration: 0 for the shortest, else 1 to [`BUCKETS`].
#[inline(always)]
pub(crate) fn counter(ticks: u64) -> usize {
    of(ticks, &TICKS)
}

#[inline(always)]
fn of(ticks: u64, bounds: &Bounds) -> usize {
    if ticks < bounds.shortest.load(Ordering::Relaxed) {
        return 0;
    }
    let zeros = (ticks | 1).leading_zeros();
    let normal = ticks << zeros;
    let place = |index: usize| bounds.places[index].load(Ordering::Relaxed);
    let passed = u64::from(normal >= place(0))
        + u64::from(normal >= place(1))
        + u64::from(normal >= place(2))
        + u64::from(normal >= place(3));
    let in_all = u64::from(63 - zeros) * 4 + passed;
    let above = in_all.saturating_sub(bounds.under_shortest.load(Ordering::Relaxed));
    above.clamp(1, BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bounds of a bucket in seconds, by OpenTelemetry's formula.
    fn bounds(counter: usize) -> (f64, f64) {
        let index = FIRST_INDEX + i32::try_from(counter).unwrap() - 1;
        let bound = |index: i32| (f64::from(index) / f64::from(1 << SCALE)).exp2();
        (bound(index), bound(index + 1))
    }

    fn with_rate(ticks_per_second: f64) -> Bounds {
        let bounds = Bounds {
            places: [const { AtomicU64::new(0) }; BOUNDS],
            under_shortest: AtomicU64::new(0),
            shortest: AtomicU64::new(0),
        };
        set(ticks_per_second, &bounds);
        bounds
    }

    #[test]
    fn the_ends_are_where_they_are_said_to_be() {
        assert_eq!(bounds(1).0, SHORTEST_SECONDS);
        assert_eq!(bounds(BUCKETS).1, 256.0);
        let rate = 2_449_876_543.0;
        let by_rate = with_rate(rate);
        for (seconds, expected) in [
            (0.0, 0),
            (SHORTEST_SECONDS * 0.99, 0),
            (SHORTEST_SECONDS * 1.01, 1),
            (1.001, 81),
            (255.9, BUCKETS),
            (1e9, BUCKETS),
        ] {
            assert_eq!(of(whole(seconds * rate), &by_rate), expected, "{seconds}");
        }
        assert_eq!(of(u64::MAX, &by_rate), BUCKETS);
    }

    #[test]
    fn a_duration_in_ticks_lands_where_its_nanoseconds_belong() {
        clock::start();
        refresh();
        for (ns, index) in [(10_000_000_u64, -27), (1_500_000_000, 2), (1_000, -80)] {
            let index = usize::try_from(index - FIRST_INDEX + 1).unwrap();
            assert_eq!(counter(clock::ticks(ns)), index, "{ns}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_is_inside_the_bounds_of_its_bucket(
            log2 in -19.9_f64..7.99,
            rate in prop_oneof![Just(1e9), Just(2_f64.powi(31)), 2e7..6e9],
        ) {
            // To the tick: no clock tells more.
            let ticks = (log2.exp2() * rate).round();
            let (lower, upper) = bounds(of(whole(ticks), &with_rate(rate)));
            let seconds = ticks / rate;
            let error = 1.0 / rate;
            prop_assert!(lower <= seconds + error && seconds < upper, "{lower} {seconds} {upper}");
        }
    }
}
