//! What is due next. Pure: times are passed in, ms of any clock.

/// Something that is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// When it is due.
    due_ms: u64,
    /// Time between two.
    interval_ms: u64,
}

/// All that is done again and again, by number.
#[derive(Debug)]
pub(super) struct Schedule {
    turns: Vec<Turn>,
}

impl Schedule {
    /// All are due at once, for the first time.
    pub(super) fn new(intervals_ms: impl Iterator<Item = u64>, now_ms: u64) -> Self {
        let turns = intervals_ms.map(|interval_ms| Turn { due_ms: now_ms, interval_ms });
        Self { turns: turns.collect() }
    }

    /// When something is due.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.turns.iter().map(|turn| turn.due_ms).min()
    }

    /// What to do: of all that is due, what has waited for longer than its interval, longest first,
    /// so that nothing is forgotten; else what is due most often, so that stalls don't wait.
    pub(super) fn pick(&self, now_ms: u64) -> Option<usize> {
        let due = self.turns.iter().enumerate().filter(|(_, turn)| turn.due_ms <= now_ms);
        let forgotten = due.clone().filter(|(_, turn)| now_ms - turn.due_ms > turn.interval_ms);
        let forgotten = forgotten.min_by_key(|(_, turn)| turn.due_ms);
        let often = || due.min_by_key(|(_, turn)| (turn.interval_ms, turn.due_ms));
        forgotten.or_else(often).map(|(number, _)| number)
    }

    /// It was done. Tells how many times of it have passed without.
    pub(super) fn done(&mut self, number: usize, now_ms: u64) -> u64 {
        let Some(turn) = self.turns.get_mut(number) else { return 0 };
        let passed = now_ms.saturating_sub(turn.due_ms) / turn.interval_ms.max(1);
        turn.due_ms += (passed + 1) * turn.interval_ms.max(1);
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    /// Runs for a time in which each turn takes so long, and counts them.
    fn run(intervals_ms: [u64; 3], takes_ms: [u64; 3], until_ms: u64) -> ([u32; 3], u64) {
        let mut schedule = Schedule::new(intervals_ms.into_iter(), 0);
        let (mut now_ms, mut turns, mut missed) = (0, [0; 3], 0);
        while now_ms < until_ms {
            match schedule.pick(now_ms) {
                Some(number) => {
                    missed += schedule.done(number, now_ms);
                    now_ms += takes_ms[number];
                    turns[number] += 1;
                }
                None => now_ms = schedule.next_ms().unwrap(),
            }
        }
        (turns, missed)
    }

    #[test]
    fn each_has_its_interval_while_there_is_time() {
        assert_eq!(run([2_000, 10_000, 60_000], [10; 3], 60_000), ([30, 6, 1], 0));
    }

    #[test]
    fn what_is_slow_neither_starves_the_others_nor_is_starved() {
        let (turns, missed) = run([2_000, 10_000, 60_000], [3_000; 3], 600_000);
        assert!(turns[0] > 80 && turns[1] > 20 && turns[2] >= 5, "{turns:?}");
        assert!(missed > 0, "there is no time for all");
    }

    #[test]
    fn what_is_due_often_goes_first() {
        let schedule = Schedule::new([60_000, 2_000].into_iter(), 0);
        assert_eq!(schedule.pick(0), Some(1));
        assert_eq!(schedule.pick(3_000), Some(1));
        assert_eq!(Schedule::new(std::iter::empty(), 0).pick(0), None);
    }
}
