//! What services measure of themselves, as plain data.

use crate::span::Origin;

/// Rows that come from metrics and logs.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// All polls of functions over stretches of time.
    pub(crate) histograms: Vec<PollHistogram>,
    /// How runtimes were.
    pub(crate) gauges: Vec<RuntimeGauge>,
    /// Instances that said that they are there.
    pub(crate) heartbeats: Vec<Heartbeat>,
    /// Live tasks, as dumps list them.
    pub(crate) tasks: Vec<LiveTask>,
}

impl Measured {
    /// How many rows these are.
    pub(crate) fn rows(&self) -> usize {
        self.histograms.len() + self.gauges.len() + self.heartbeats.len() + self.tasks.len()
    }
}

/// All polls of one function in one instance over a stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PollHistogram {
    /// The minute of its end, unix time in seconds.
    pub(crate) minute_s: u32,
    /// What sent it.
    pub(crate) origin: Origin,
    /// The instrumented function.
    pub(crate) function: String,
    /// How many polls.
    pub(crate) calls: u64,
    /// Self time of all of them, ns.
    pub(crate) sum_ns: u64,
    /// Polls by bucket, ascending: that of index `i` is from 2^(i/4) to 2^((i+1)/4) seconds.
    pub(crate) buckets: Vec<(i16, u64)>,
}

/// One number of one runtime at one time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RuntimeGauge {
    /// Unix time in ms.
    pub(crate) time_ms: u64,
    /// What sent it.
    pub(crate) origin: Origin,
    /// The runtime's name; empty when it is of the process.
    pub(crate) runtime: String,
    /// The metric's name.
    pub(crate) metric: String,
    /// Its value: as it is, or by how much it grew since the one before.
    pub(crate) value: f64,
}

/// One live task in one dump. Durations in nanoseconds, before the dump was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LiveTask {
    /// When the dump was made, unix time in ms.
    pub(crate) time_ms: u64,
    /// What sent it.
    pub(crate) origin: Origin,
    /// The same for all tasks of one dump.
    pub(crate) dump_id: u64,
    /// Why it was made.
    pub(crate) reason: String,
    /// Live tasks that it doesn't list; −1 where that isn't known.
    pub(crate) unknown: i64,
    /// Number of tokio's task, 0 where it has none.
    pub(crate) task_id: u64,
    /// The instrumented function, or the task's name.
    pub(crate) name: String,
    /// Where it was made.
    pub(crate) file: String,
    /// Line in that.
    pub(crate) line: u32,
    /// `running`, `ready` or `idle`.
    pub(crate) state: &'static str,
    /// For how long.
    pub(crate) since_ns: u64,
    /// Since it was made.
    pub(crate) age_ns: u64,
    /// Polls that have ended.
    pub(crate) polls: u64,
    /// Time of those.
    pub(crate) busy_ns: u64,
    /// How long ago it was last woken; −1 for never, or not noted.
    pub(crate) woken_ns: i64,
    /// Idle for longer, it is stuck; 0 where its service doesn't say.
    pub(crate) stuck_after_ns: u64,
}

/// An instance said that it is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heartbeat {
    /// When that arrived, unix time in ms.
    pub(crate) time_ms: u64,
    /// What sent it.
    pub(crate) origin: Origin,
}
