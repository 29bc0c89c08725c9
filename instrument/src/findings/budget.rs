//! How many reports may be made.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Lets a number of reports pass a minute: at once if need be, evenly if there are ever more.
#[derive(Debug)]
pub(super) struct Budget {
    per_minute: f64,
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        Self { per_minute: f64::from(per_minute), left: f64::from(per_minute), at: now }
    }

    /// Whether one more may be made.
    pub(super) fn spend(&mut self, now: Instant) -> bool {
        let share = now.duration_since(self.at).as_secs_f64() / MINUTE.as_secs_f64();
        self.at = now;
        self.left = (self.left + share * self.per_minute).min(self.per_minute);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }

    /// The report was not made after all.
    pub(super) fn give_back(&mut self) {
        self.left = (self.left + 1.0).min(self.per_minute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_and_then_as_time_passes() {
        let start = Instant::now();
        let mut budget = Budget::new(60, start);
        assert_eq!((0..100).filter(|_| budget.spend(start)).count(), 60);
        assert!(!budget.spend(start + Duration::from_millis(900)));
        assert!(budget.spend(start + Duration::from_millis(1_100)));
        let later = start + 10 * MINUTE;
        assert_eq!((0..100).filter(|_| budget.spend(later)).count(), 60);
        budget.give_back();
        assert!(budget.spend(later) && !budget.spend(later));
        assert!(!Budget::new(0, start).spend(later));
    }
}
