//! Tasks that wait for too long.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use crate::findings::{self, Finding, Kind};
use crate::polling::{clock, tasks};
use crate::tasks::{Task, TaskState};

/// Tells of each wait once. Bounded by the table of tasks.
#[derive(Debug)]
pub(crate) struct Stuck {
    after: Duration,
    /// Task and end of its last poll.
    told: HashSet<((usize, u32), u64)>,
}

impl Stuck {
    pub(crate) fn new(after: Duration) -> Self {
        Self { after, told: HashSet::new() }
    }

    /// Looks at all tasks, and tells of those that have become stuck. Returns whether one is stuck.
    pub(crate) fn look(&mut self) -> bool {
        let now = clock::now();
        let mut still = HashSet::new();
        let mut any = false;
        for known in tasks::known() {
            let task = Task::of(&known, now);
            if task.state != TaskState::Idle || task.since < self.after {
                continue;
            }
            any = true;
            let wait = (known.key, known.ended);
            // One for which there is no room is told of at a later look.
            if self.told.contains(&wait) || findings::submit(self.finding(&task)) {
                still.insert(wait);
            }
        }
        self.told = still;
        any
    }

    fn finding(&self, task: &Task) -> Finding {
        let started = SystemTime::now().checked_sub(task.age).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut finding = Finding::new(Kind::SlowAwait, task.name.clone(), started);
        (finding.file, finding.line) = (task.file.clone(), task.line);
        finding.task = task.id;
        (finding.elapsed, finding.busy, finding.idle) = (task.age, task.busy, task.since);
        (finding.polls, finding.threshold, finding.ongoing) = (task.polls, self.after, true);
        finding
    }
}
