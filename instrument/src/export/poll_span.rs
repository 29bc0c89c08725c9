//! A record as a span of OpenTelemetry.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};

use crate::contract;
use crate::polling::clock;
use crate::polling::record::{Parent, Place, Record};

/// One slow poll with its ids, ready to be sent, and sent again.
pub(super) struct PollSpan {
    pub(super) name: String,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) relation: Relation,
    trace: TraceId,
    span: SpanId,
}

/// How a poll span stands to the span that was current in the poll.
#[derive(Clone, Debug)]
pub(super) enum Relation {
    Root,
    Child(SpanContext),
    /// The current span is not sampled: nobody would ever see a child of it.
    Linked(SpanContext),
}

impl PollSpan {
    pub(super) fn of(record: &Record) -> Self {
        let start = clock::wall(record.start);
        let relation = relation(record.parent);
        let ids = RandomIdGenerator::default();
        let trace = match &relation {
            Relation::Child(parent) => parent.trace_id(),
            Relation::Root | Relation::Linked(_) => ids.new_trace_id(),
        };
        let function = function(record.place);
        Self {
            name: format!("{}{function}", contract::SPAN_NAME_PREFIX),
            start,
            end: start + Duration::from_nanos(clock::nanoseconds(record.duration)),
            attributes: attributes(record, function),
            relation,
            trace,
            span: ids.new_span_id(),
        }
    }

    /// For the exporter. `dropped` is given on the first span of a batch.
    pub(super) fn data(&self, dropped: Option<u64>) -> SpanData {
        let context =
            SpanContext::new(self.trace, self.span, TraceFlags::SAMPLED, false, TraceState::NONE);
        let mut attributes = self.attributes.clone();
        attributes.extend(dropped.map(dropped_attribute));
        let (parent_span_id, parent_span_is_remote) = match &self.relation {
            Relation::Child(parent) => (parent.span_id(), parent.is_remote()),
            Relation::Root | Relation::Linked(_) => (SpanId::INVALID, false),
        };
        let mut links = SpanLinks::default();
        links.links.extend(self.links());
        SpanData {
            span_context: context,
            parent_span_id,
            parent_span_is_remote,
            span_kind: SpanKind::Internal,
            name: self.name.clone().into(),
            start_time: self.start,
            end_time: self.end,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: Status::Unset,
            instrumentation_scope: scope(),
        }
    }

    pub(super) fn links(&self) -> Option<Link> {
        match &self.relation {
            Relation::Linked(context) => Some(Link::new(context.clone(), Vec::new(), 0)),
            Relation::Root | Relation::Child(_) => None,
        }
    }
}

/// Name and version of the instrumentation.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(contract::SCOPE).with_version(env!("CARGO_PKG_VERSION")).build()
}

pub(super) fn dropped_attribute(records: u64) -> KeyValue {
    KeyValue::new(contract::DROPPED, integer(records))
}

fn relation(parent: Option<Parent>) -> Relation {
    let Some(parent) = parent else { return Relation::Root };
    let Parent { trace, span, flags, is_remote } = parent;
    let context = SpanContext::new(trace, span, flags, is_remote, TraceState::NONE);
    if flags.is_sampled() { Relation::Child(context) } else { Relation::Linked(context) }
}

fn function(place: Place) -> String {
    match place {
        Place::Site(site) => site.function().into_owned(),
        Place::Span(span) => {
            format!("{}::{}", span.module_path().unwrap_or_else(|| span.target()), span.name())
        }
    }
}

fn attributes(record: &Record, function: String) -> Vec<KeyValue> {
    let (file, line) = match record.place {
        Place::Site(site) => (Some(site.file()), Some(site.line())),
        Place::Span(span) => (span.file(), span.line()),
    };
    let file = file.filter(|file| !file.is_empty());
    let line = line.filter(|line| *line > 0);
    let name = record.thread.name();
    let mut attributes = Vec::with_capacity(10);
    attributes.push(KeyValue::new(contract::FUNCTION, function));
    attributes.extend(file.map(|file| KeyValue::new(contract::FILE, file)));
    attributes.extend(line.map(|line| KeyValue::new(contract::LINE, i64::from(line))));
    if record.thread.id > 0 {
        attributes.push(KeyValue::new(contract::THREAD_ID, i64::from(record.thread.id)));
    }
    if !name.is_empty() {
        let name = StringValue::from(name.to_owned());
        attributes.push(KeyValue::new(contract::THREAD_NAME, name));
    }
    let own = integer(clock::nanoseconds(record.own));
    attributes.push(KeyValue::new(contract::SELF_NS, own));
    attributes.push(KeyValue::new(contract::THRESHOLD_NS, integer(record.threshold_ns)));
    // tokio shows the number of a task only as text.
    let task = record.task.and_then(|id| id.to_string().parse::<i64>().ok());
    attributes.extend(task.map(|id| KeyValue::new(contract::TASK_ID, id)));
    let worker = record.worker.map(i64::from);
    attributes.extend(worker.map(|index| KeyValue::new(contract::WORKER, index)));
    attributes
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
