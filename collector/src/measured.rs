//! What services measure of themselves, as plain data.

use crate::span::Origin;

/// Rows that come from metrics.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// All polls of functions over stretches of time.
    pub(crate) histograms: Vec<PollHistogram>,
    /// How runtimes were.
    pub(crate) gauges: Vec<RuntimeGauge>,
    /// Instances that said that they are there.
    pub(crate) heartbeats: Vec<Heartbeat>,
}

impl Measured {
    /// How many rows these are.
    pub(crate) fn rows(&self) -> usize {
        self.histograms.len() + self.gauges.len() + self.heartbeats.len()
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

/// An instance said that it is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Heartbeat {
    /// When that arrived, unix time in ms.
    pub(crate) time_ms: u64,
    /// What sent it.
    pub(crate) origin: Origin,
}
