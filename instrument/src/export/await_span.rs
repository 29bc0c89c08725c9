//! A future that waited for long, as a span of OpenTelemetry.

use opentelemetry::KeyValue;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use crate::contract;
use crate::export::poll_span::{self, PollSpan, Relation, integer, text};
use crate::findings::Finding;
use crate::polling::clock;
use crate::polling::record::Parent;

/// What such a span is about.
pub(crate) struct AwaitSpan<'a> {
    pub(crate) kind: &'static str,
    pub(crate) finding: &'a Finding,
    pub(crate) parent: Option<Parent>,
}

impl PollSpan {
    /// The span of a future from its first poll to its end. Its scope tells it from a poll's.
    pub(crate) fn of_await(subject: &AwaitSpan<'_>) -> Self {
        let AwaitSpan { kind, finding, parent } = subject;
        let random = RandomIdGenerator::default();
        let relation = poll_span::relation(*parent);
        let trace = match &relation {
            Relation::Child(parent) => parent.trace_id(),
            Relation::Root | Relation::Linked(_) => random.new_trace_id(),
        };
        Self {
            name: format!("{kind} {}", finding.function),
            start: finding.started,
            end: finding.started + finding.elapsed,
            attributes: attributes(kind, finding),
            relation,
            trace,
            span: random.new_span_id(),
            is_stall: false,
            scope: contract::AWAIT_SCOPE,
        }
    }
}

fn attributes(kind: &'static str, finding: &Finding) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new(contract::FINDING, kind),
        KeyValue::new(contract::FUNCTION, text(&finding.function)),
    ];
    if !finding.file.is_empty() {
        attributes.push(KeyValue::new(contract::FILE, text(&finding.file)));
        attributes.push(KeyValue::new(contract::LINE, i64::from(finding.line)));
    }
    let ns = |time: std::time::Duration| integer(clock::whole_nanoseconds(time));
    attributes.extend([
        KeyValue::new(contract::AWAIT_BUSY_NS, ns(finding.busy)),
        KeyValue::new(contract::AWAIT_IDLE_NS, ns(finding.idle)),
        KeyValue::new(contract::AWAIT_STARVED_NS, ns(finding.starved)),
        KeyValue::new(contract::AWAIT_POLLS, integer(finding.polls)),
        KeyValue::new(contract::THRESHOLD_NS, ns(finding.threshold)),
    ]);
    let task = finding.task.and_then(|task| i64::try_from(task).ok());
    attributes.extend(task.map(|task| KeyValue::new(contract::TASK_ID, task)));
    let runtime = finding.runtime.as_deref().map(text);
    attributes.extend(runtime.map(|name| KeyValue::new(contract::RUNTIME, name)));
    let worker = finding.worker.map(i64::from);
    attributes.extend(worker.map(|index| KeyValue::new(contract::WORKER, index)));
    if let Some(holder) = finding.held_by.first().filter(|holder| holder.same_thread) {
        attributes.push(KeyValue::new(contract::HELD_BY, text(&holder.function)));
        let blame = holder.blame.as_deref().map(text);
        attributes.extend(blame.map(|blame| KeyValue::new(contract::BLAME_FUNCTION, blame)));
    }
    attributes
}
