//! A record as a span of OpenTelemetry.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanLinks};

use tokio::task::Id;

use crate::contract;
use crate::findings::Unreported;
use crate::polling::clock;
use crate::polling::record::{Parent, Place};
use crate::polling::thread::Thread;
use crate::stack::{Holder, Resolved};
use crate::watchdog::{Cause, Findings};

/// One slow poll with its ids, ready to be sent, and sent again.
pub(crate) struct PollSpan {
    pub(super) name: String,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    pub(super) attributes: Vec<KeyValue>,
    pub(super) relation: Relation,
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) is_stall: bool,
    /// Of the instrumentation.
    pub(super) scope: &'static str,
}

/// How a poll span stands to the span that was current in the poll.
#[derive(Clone, Debug)]
pub(crate) enum Relation {
    Root,
    Child(SpanContext),
    /// The current span is not sampled: nobody would ever see a child of it.
    Linked(SpanContext),
}

/// What a poll span is about. Times are in ticks where the name has no unit.
pub(crate) struct Subject {
    pub(crate) place: Place,
    pub(crate) slot: usize,
    pub(crate) start: u64,
    pub(crate) duration: u64,
    pub(crate) own_ns: u64,
    pub(crate) threshold_ns: u64,
    pub(crate) parent: Option<Parent>,
    pub(crate) task: Option<Id>,
    pub(crate) worker: Option<u32>,
    pub(crate) thread: Thread,
    pub(crate) runtime: Option<Box<str>>,
    pub(crate) is_stall: bool,
}

impl PollSpan {
    pub(crate) fn of(
        subject: &Subject,
        findings: &Findings,
        cause: Option<Cause>,
        stack: &Resolved,
    ) -> Self {
        let relation = relation(subject.parent);
        let random = RandomIdGenerator::default();
        let (relation, trace, span, start) = match (findings.ids, relation) {
            // It was sent before its parent was known.
            (Some(ids), Relation::Child(parent) | Relation::Linked(parent)) => {
                (Relation::Linked(parent), ids.trace, ids.span, ids.start)
            }
            (Some(ids), Relation::Root) => (Relation::Root, ids.trace, ids.span, ids.start),
            (None, Relation::Child(parent)) => {
                let trace = parent.trace_id();
                let start = clock::wall(subject.start);
                (Relation::Child(parent), trace, random.new_span_id(), start)
            }
            (None, root) => {
                let start = clock::wall(subject.start);
                (root, random.new_trace_id(), random.new_span_id(), start)
            }
        };
        let function = subject.place.function();
        let name = format!("{}{function}", contract::SPAN_NAME_PREFIX);
        let mut attributes = attributes(subject, function);
        attributes.extend(findings_attributes(findings, cause));
        attributes.extend(stack_attributes(stack));
        let end = start + Duration::from_nanos(clock::nanoseconds(subject.duration));
        let is_stall = subject.is_stall;
        let scope = contract::SCOPE;
        Self { name, start, end, attributes, relation, trace, span, is_stall, scope }
    }

    /// About what it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        // What the allocator adds, and an attribute or two that tell of others.
        const MORE: usize = 512;
        let texts = self.attributes.iter().map(|attribute| match &attribute.value {
            Value::String(text) => text.as_str().len(),
            _ => 0,
        });
        let attributes = self.attributes.capacity() * size_of::<KeyValue>();
        size_of::<Self>() + MORE + attributes + self.name.len() + texts.sum::<usize>()
    }

    /// Whether the poll had not returned.
    pub(super) fn is_stall(&self) -> bool {
        self.is_stall
    }

    /// Adds how many slow polls have no span, if there are any.
    pub(super) fn tell_unreported(&mut self, unreported: Unreported) {
        let Unreported { suppressed, descheduled } = unreported;
        for (name, count) in
            [(contract::SUPPRESSED, suppressed), (contract::DESCHEDULED, descheduled)]
        {
            if count > 0 {
                self.attributes.push(KeyValue::new(name, integer(count)));
            }
        }
    }

    /// Adds who holds the lock that the poll waited for, if that is known.
    pub(crate) fn tell_holder(&mut self, holder: Option<&Holder>) {
        let Some(holder) = holder else { return };
        self.attributes.push(KeyValue::new(contract::HOLDER_THREAD_ID, i64::from(holder.thread)));
        let texts = [
            (contract::HOLDER_THREAD_NAME, holder.thread_name.as_str()),
            (contract::HOLDER_FUNCTION, holder.function.as_str()),
            (contract::HOLDER_EVIDENCE, holder.evidence),
        ];
        let known = texts.into_iter().filter(|(_, value)| !value.is_empty());
        self.attributes.extend(known.map(|(name, value)| KeyValue::new(name, text(value))));
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
            instrumentation_scope: scope(self.scope),
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
pub(super) fn scope(name: &'static str) -> InstrumentationScope {
    InstrumentationScope::builder(name).with_version(env!("CARGO_PKG_VERSION")).build()
}

pub(super) fn dropped_attribute(records: u64) -> KeyValue {
    KeyValue::new(contract::DROPPED, integer(records))
}

pub(super) fn relation(parent: Option<Parent>) -> Relation {
    let Some(parent) = parent else { return Relation::Root };
    let Parent { trace, span, flags, is_remote } = parent;
    let context = SpanContext::new(trace, span, flags, is_remote, TraceState::NONE);
    if flags.is_sampled() { Relation::Child(context) } else { Relation::Linked(context) }
}

fn attributes(subject: &Subject, function: String) -> Vec<KeyValue> {
    let (file, line) = match subject.place {
        Place::Site(site) => (Some(site.file()), Some(site.line())),
        Place::Span(span) => (span.file(), span.line()),
    };
    let file = file.filter(|file| !file.is_empty());
    let line = line.filter(|line| *line > 0);
    let name = subject.thread.name();
    let mut attributes = Vec::with_capacity(20);
    attributes.push(KeyValue::new(contract::FUNCTION, function));
    attributes.extend(file.map(|file| KeyValue::new(contract::FILE, file)));
    attributes.extend(line.map(|line| KeyValue::new(contract::LINE, i64::from(line))));
    if subject.thread.id > 0 {
        attributes.push(KeyValue::new(contract::THREAD_ID, i64::from(subject.thread.id)));
    }
    if !name.is_empty() {
        attributes.push(KeyValue::new(contract::THREAD_NAME, text(name)));
    }
    attributes.push(KeyValue::new(contract::SELF_NS, integer(subject.own_ns)));
    attributes.push(KeyValue::new(contract::THRESHOLD_NS, integer(subject.threshold_ns)));
    // tokio shows the number of a task only as text.
    let task = subject.task.and_then(|id| id.to_string().parse::<i64>().ok());
    attributes.extend(task.map(|id| KeyValue::new(contract::TASK_ID, id)));
    if matches!(subject.place, Place::Site(site) if site.is_worker()) {
        attributes.push(KeyValue::new(contract::SAMPLED, true));
    }
    if let Place::Site(site) = subject.place
        && let Some(place) = site.spawned_at()
    {
        attributes.push(KeyValue::new(contract::TASK_SPAWNED_AT, place.to_string()));
    }
    let runtime = subject.runtime.as_deref().map(text);
    attributes.extend(runtime.map(|name| KeyValue::new(contract::RUNTIME, name)));
    let worker = subject.worker.map(i64::from);
    attributes.extend(worker.map(|index| KeyValue::new(contract::WORKER, index)));
    if subject.is_stall {
        attributes.push(KeyValue::new(contract::STALL, true));
    }
    attributes
}

fn findings_attributes(findings: &Findings, cause: Option<Cause>) -> Vec<KeyValue> {
    let throttled = Some(findings.throttled).filter(|throttled| *throttled > 0);
    let numbers = [
        (contract::CPU_NS, findings.cpu),
        (contract::RUNQUEUE_NS, findings.runqueue),
        (contract::THROTTLED_NS, throttled),
        (contract::VICTIMS, findings.victims),
    ];
    let known = |(name, value): (&'static str, Option<u64>)| {
        value.map(|value| KeyValue::new(name, integer(value)))
    };
    let mut attributes = numbers.into_iter().filter_map(known).collect::<Vec<_>>();
    attributes.extend(cause.map(|cause| KeyValue::new(contract::CAUSE, cause.name())));
    if findings.stalled {
        attributes.push(KeyValue::new(contract::RUNTIME_STALLED, true));
    }
    let driver = findings.driver_idle.map(|is_idle| KeyValue::new(contract::DRIVER_IDLE, is_idle));
    attributes.extend(driver);
    attributes
}

fn stack_attributes(stack: &Resolved) -> Vec<KeyValue> {
    if stack.frames.is_empty() {
        return Vec::new();
    }
    let mut attributes = vec![
        KeyValue::new(contract::STACKTRACE, stack.frames.join("\n")),
        KeyValue::new(contract::STACK_ID, format!("{:016x}", stack.id)),
    ];
    if !stack.blame_function.is_empty() {
        attributes.push(KeyValue::new(contract::BLAME_FUNCTION, text(&stack.blame_function)));
        attributes.push(KeyValue::new(contract::BLAME_CRATE, text(&stack.blame_crate)));
    }
    attributes
}

pub(super) fn text(text: &str) -> StringValue {
    StringValue::from(text.to_owned())
}

pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
