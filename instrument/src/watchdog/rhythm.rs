//! When the watchdog looks next.
//!
//! Each wake-up costs tens of microseconds of CPU, most of them for the way out of an idle CPU and
//! back. So it sleeps for as long as nothing can be missed: a poll that begins after a look can't pass
//! its threshold before that much time has passed, and one that goes on is looked at when it does.

use std::time::Duration;

use crate::polling::clock;

/// Bounds of the time between two looks while something polls.
const PERIOD_MIN: Duration = Duration::from_millis(5);
const PERIOD_MAX: Duration = Duration::from_secs(1);
/// Two looks that are due are at least so far apart. Thresholds under [`PERIOD_MIN`] are noticed late.
const PAUSE_MIN: Duration = Duration::from_micros(500);
/// A poll that has lasted long is looked at again after a second, or when it has become older by this
/// part of its age.
const OLD_PARTS: u64 = 8;

/// Follows from the lowest threshold in force. In ticks of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rhythm {
    pub(super) lowest: u64,
    period: u64,
    pause: u64,
    second: u64,
}

impl Rhythm {
    pub(super) fn of(lowest_ns: u64) -> Self {
        let longest = Duration::from_nanos(lowest_ns).min(PERIOD_MAX);
        let pause = if longest < PERIOD_MIN { PERIOD_MIN } else { PAUSE_MIN };
        Self {
            lowest: clock::ticks(lowest_ns),
            period: ticks(longest.max(PERIOD_MIN)),
            pause: ticks(pause),
            second: ticks(PERIOD_MAX),
        }
    }

    /// How long it may look away when nothing goes on that has to be looked at before.
    pub(super) fn period(&self) -> u64 {
        self.period
    }

    /// From this age on a poll is worth a closer look.
    pub(super) fn young(&self) -> u64 {
        (self.lowest / 8).max(self.period / 8)
    }

    /// From this age on its stack is taken.
    pub(super) fn half(&self) -> u64 {
        self.lowest / 2
    }

    /// Older polls are not what keeps the watchdog awake.
    pub(super) fn old(&self) -> u64 {
        self.period.saturating_mul(32)
    }

    /// When a poll of some age is looked at again: shortly before it passes the threshold and when it
    /// does, then at ages that grow by a third or a half. `report` is the age at which a report is due.
    pub(super) fn next_look(&self, start: u64, now: u64, report: u64) -> u64 {
        let age = now.saturating_sub(start);
        let planned = if age < self.half() {
            self.lowest - self.lowest / 4
        } else if age < self.lowest {
            self.lowest
        } else {
            // What is about to be reached was: the clock is converted back and forth.
            let reached = age.saturating_add(self.lowest / 64);
            let passed = (reached / self.lowest.max(1)).max(1);
            let doubling = self.lowest.saturating_mul(1 << passed.ilog2());
            let middle = doubling.saturating_add(doubling / 2);
            let grown = if reached < middle { middle } else { doubling.saturating_mul(2) };
            grown.min(age.saturating_add(self.second.max(age / OLD_PARTS)))
        };
        let report = if report > age { report } else { u64::MAX };
        let due = start.saturating_add(planned.min(report));
        due.max(now.saturating_add(self.pause))
    }
}

fn ticks(duration: Duration) -> u64 {
    clock::ticks(clock::whole_nanoseconds(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Ages in ms at which a poll is looked at that was first seen at some age.
    fn looks(lowest_ms: u64, first_ms: u64, until_ms: u64, report_ms: u64) -> Vec<u64> {
        let rhythm = Rhythm::of(lowest_ms * MS);
        let start = ticks(Duration::from_secs(100));
        let mut now = start + clock::ticks(first_ms * MS);
        let mut ages = Vec::new();
        loop {
            now = rhythm.next_look(start, now, clock::ticks(report_ms * MS));
            let age_ms = (clock::nanoseconds(now - start) + MS / 10) / MS;
            if age_ms > until_ms {
                return ages;
            }
            ages.push(age_ms);
        }
    }

    #[test]
    fn a_poll_is_looked_at_when_it_can_pass_its_threshold() {
        clock::start();
        assert_eq!(looks(10, 0, 80, u64::MAX / MS), [7, 10, 15, 20, 30, 40, 60, 80]);
        assert_eq!(looks(10, 6, 20, u64::MAX / MS), [10, 15, 20]);
        assert_eq!(looks(10, 30, 80, 33), [33, 40, 60, 80], "a report is due in between");
    }

    #[test]
    fn low_thresholds_do_not_keep_it_awake_and_high_ones_do_not_put_it_to_sleep() {
        clock::start();
        assert_eq!(looks(1, 0, 20, u64::MAX / MS), [5, 10, 15, 20]);
        let long = looks(4_000, 0, 8_000, u64::MAX / MS);
        assert_eq!(long, [3_000, 4_000, 5_000, 6_000, 7_000, 8_000]);
        let period = |ms| clock::nanoseconds(Rhythm::of(ms * MS).period()) / MS;
        assert!(period(4_000).abs_diff(1_000) <= 1 && period(1).abs_diff(5) <= 1);
        let hours = looks(10, 3_600_000, 8_000_000, u64::MAX / MS);
        assert!(hours[0].abs_diff(3_932_160) < 10, "one and a half times 2^18 thresholds");
        assert!(hours[1].abs_diff(4_423_680) < 10, "older by an eighth");
    }
}
