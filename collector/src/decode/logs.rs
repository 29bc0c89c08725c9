//! Turns log records of ours into rows: each tells of one live task.

use holdup::contract;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::{Decoded, Decoder, Limits, integer, string};
use crate::measured::LiveTask;
use crate::span::Origin;

/// What a task may be doing.
const STATES: [&str; 3] = ["running", "ready", "idle"];
const NO_NAME: &str = "a record of a task has no name: set holdup.task.name";
const NO_STATE: &str = "the state of a task is none of running, ready and idle";

/// The rows of a request that arrived at `now_ns`.
pub(crate) fn decode(request: ExportLogsServiceRequest, limits: &Limits, now_ns: u64) -> Decoded {
    let mut decoder = Decoder::new(limits, now_ns);
    for of_resource in request.resource_logs {
        let origin = decoder.origin(&of_resource.resource.unwrap_or_default());
        for of_scope in of_resource.scope_logs {
            let is_ours = of_scope.scope.is_some_and(|scope| scope.name == contract::SCOPE);
            for record in of_scope.log_records {
                if is_ours && record.event_name == contract::TASK_EVENT {
                    decoder.task(&origin, record);
                } else {
                    decoder.out.counts.metrics_ignored += 1;
                }
            }
        }
    }
    let mut out = decoder.out;
    out.bytes += size_of::<LiveTask>() * out.measured.tasks.len();
    out
}

impl Decoder<'_> {
    fn task(&mut self, origin: &Origin, record: LogRecord) {
        let mut task = LiveTask {
            time_ms: self.start(record.time_unix_nano, 0) / 1_000_000,
            origin: origin.clone(),
            unknown: -1,
            woken_ns: -1,
            ..LiveTask::default()
        };
        for KeyValue { key, value, .. } in record.attributes {
            self.task_attribute(&mut task, &key, value.as_ref());
        }
        let refused = [(task.name.is_empty(), NO_NAME), (task.state.is_empty(), NO_STATE)];
        if let Some((_, reason)) = refused.into_iter().find(|(refused, _)| *refused) {
            self.out.counts.rejected += 1;
            self.out.counts.first_rejection.get_or_insert(reason);
            return;
        }
        self.out.measured.tasks.push(task);
    }

    fn task_attribute(&mut self, task: &mut LiveTask, key: &str, value: Option<&AnyValue>) {
        match key {
            contract::TASK_NAME => task.name = self.text(value),
            contract::FILE => task.file = self.text(value),
            contract::LINE => task.line = integer(value).try_into().unwrap_or(0),
            contract::TASK_ID => task.task_id = integer(value),
            contract::TASK_STATE => {
                let named = string(value).unwrap_or_default();
                task.state = STATES.into_iter().find(|state| *state == named).unwrap_or_default();
            }
            contract::TASK_SINCE_NS => task.since_ns = integer(value),
            contract::TASK_AGE_NS => task.age_ns = integer(value),
            contract::TASK_POLLS => task.polls = integer(value),
            contract::TASK_BUSY_NS => task.busy_ns = integer(value),
            contract::TASK_STUCK_AFTER_NS => task.stuck_after_ns = integer(value),
            contract::TASK_WOKEN_NS => task.woken_ns = integer(value).try_into().unwrap_or(-1),
            contract::DUMP_ID => {
                let digits = string(value).unwrap_or_default();
                task.dump_id = u64::from_str_radix(digits, 16).unwrap_or(0);
            }
            contract::DUMP_REASON => task.reason = self.text(value),
            contract::DUMP_UNKNOWN => task.unknown = integer(value).try_into().unwrap_or(-1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};

    const NOW_NS: u64 = 1_800_000_000_000_000_000;

    fn attribute(key: &str, value: Value) -> KeyValue {
        let value = Some(AnyValue { value: Some(value) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    fn rows(scope: &str, event: &str, attributes: Vec<KeyValue>) -> Decoded {
        let event_name = event.to_owned();
        let record =
            LogRecord { time_unix_nano: NOW_NS, event_name, attributes, ..LogRecord::default() };
        let scope = InstrumentationScope { name: scope.to_owned(), ..Default::default() };
        let scope_logs = vec![ScopeLogs {
            scope: Some(scope),
            log_records: vec![record],
            ..ScopeLogs::default()
        }];
        let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
        decode(ExportLogsServiceRequest { resource_logs }, &Limits::default(), NOW_NS)
    }

    fn text(key: &str, value: &str) -> KeyValue {
        attribute(key, Value::StringValue(value.to_owned()))
    }

    #[test]
    fn a_record_of_a_task_is_a_row() {
        let rows = rows(
            "holdup",
            "holdup.task",
            vec![
                text("holdup.task.name", "shop::worker"),
                text("holdup.task.state", "idle"),
                text("holdup.dump.id", "00000000000000ff"),
                attribute("holdup.task.since_ns", Value::IntValue(7)),
                attribute("holdup.task.stuck_after_ns", Value::IntValue(5)),
            ],
        );
        let task = &rows.measured.tasks[0];
        assert_eq!((task.name.as_str(), task.state, task.dump_id), ("shop::worker", "idle", 255));
        assert_eq!((task.since_ns, task.stuck_after_ns), (7, 5));
        assert_eq!((task.woken_ns, task.unknown), (-1, -1));
        assert_eq!(task.time_ms, NOW_NS / 1_000_000);
        assert!(rows.bytes > 0 && rows.rows() == 1);
    }

    #[test]
    fn what_is_not_ours_is_counted_and_what_can_t_be_used_is_refused() {
        let name = || text("holdup.task.name", "a");
        assert_eq!(rows("other", "holdup.task", vec![name()]).counts.metrics_ignored, 1);
        assert_eq!(rows("holdup", "holdup.other", vec![name()]).counts.metrics_ignored, 1);
        let refused = rows("holdup", "holdup.task", vec![name()]).counts;
        assert_eq!((refused.rejected, refused.first_rejection), (1, Some(NO_STATE)));
        let refused = rows("holdup", "holdup.task", vec![text("holdup.task.state", "idle")]);
        assert_eq!(refused.counts.first_rejection, Some(NO_NAME));
    }
}
