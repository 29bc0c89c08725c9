//! Rows of what services measure of themselves.

use clickhouse::Row;
use serde::Serialize;

use crate::measured::{Heartbeat, LiveTask, PollHistogram, RuntimeGauge};

/// A unix time in ms as `DateTime64(3)` holds it.
fn time(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// A row of `poll_histograms`.
#[derive(Row, Serialize)]
pub(super) struct HistogramRow<'a> {
    minute: u32,
    service: &'a str,
    function: &'a str,
    instance: &'a str,
    calls: u64,
    sum_ns: u64,
    buckets: &'a [(i16, u64)],
}

impl<'a> From<&'a PollHistogram> for HistogramRow<'a> {
    fn from(histogram: &'a PollHistogram) -> Self {
        Self {
            minute: histogram.minute_s,
            service: &histogram.origin.service,
            function: &histogram.function,
            instance: &histogram.origin.instance,
            calls: histogram.calls,
            sum_ns: histogram.sum_ns,
            buckets: &histogram.buckets,
        }
    }
}

/// A row of `runtime_gauges`.
#[derive(Row, Serialize)]
pub(super) struct GaugeRow<'a> {
    time: i64,
    service: &'a str,
    instance: &'a str,
    runtime: &'a str,
    metric: &'a str,
    value: f64,
}

impl<'a> From<&'a RuntimeGauge> for GaugeRow<'a> {
    fn from(gauge: &'a RuntimeGauge) -> Self {
        Self {
            time: time(gauge.time_ms),
            service: &gauge.origin.service,
            instance: &gauge.origin.instance,
            runtime: &gauge.runtime,
            metric: &gauge.metric,
            value: gauge.value,
        }
    }
}

/// A row of `heartbeats`.
#[derive(Row, Serialize)]
pub(super) struct HeartbeatRow<'a> {
    service: &'a str,
    environment: &'a str,
    service_version: &'a str,
    instance: &'a str,
    first_seen: i64,
    last_seen: i64,
}

impl<'a> From<&'a Heartbeat> for HeartbeatRow<'a> {
    fn from(heartbeat: &'a Heartbeat) -> Self {
        let seen = time(heartbeat.time_ms);
        Self {
            service: &heartbeat.origin.service,
            environment: &heartbeat.origin.environment,
            service_version: &heartbeat.origin.version,
            instance: &heartbeat.origin.instance,
            first_seen: seen,
            last_seen: seen,
        }
    }
}

/// A row of `tasks`.
#[derive(Row, Serialize)]
pub(super) struct TaskRow<'a> {
    time: i64,
    service: &'a str,
    instance: &'a str,
    service_version: &'a str,
    dump_id: u64,
    reason: &'a str,
    unknown: i64,
    task_id: u64,
    name: &'a str,
    file: &'a str,
    line: u32,
    state: &'a str,
    since_ns: u64,
    age_ns: u64,
    polls: u64,
    busy_ns: u64,
    woken_ns: i64,
    stuck_after_ns: u64,
}

impl<'a> From<&'a LiveTask> for TaskRow<'a> {
    fn from(task: &'a LiveTask) -> Self {
        Self {
            time: time(task.time_ms),
            service: &task.origin.service,
            instance: &task.origin.instance,
            service_version: &task.origin.version,
            dump_id: task.dump_id,
            reason: &task.reason,
            unknown: task.unknown,
            task_id: task.task_id,
            name: &task.name,
            file: &task.file,
            line: task.line,
            state: task.state,
            since_ns: task.since_ns,
            age_ns: task.age_ns,
            polls: task.polls,
            busy_ns: task.busy_ns,
            woken_ns: task.woken_ns,
            stuck_after_ns: task.stuck_after_ns,
        }
    }
}
