//! Turns an OTLP request into rows: poll spans, suspects and stacks. Plain data, no I/O.

mod direct;
mod logs;
mod metrics;
mod stored;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use holdup::contract;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::measured::Measured;
use crate::polls::{self, Gathering, Polls};
use crate::span::{Origin, PollSpan, Stack, Suspect};

pub(crate) use direct::decode as decode_directly;
pub(crate) use logs::decode as decode_logs;
pub(crate) use metrics::decode as decode_metrics;
pub(crate) use stored::StoredStacks;

/// Bounds on what one span may carry, and on how wrong its clock may be.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// A longer name is cut, bytes.
    pub(crate) name_bytes_max: usize,
    /// Of a deeper stack the frames next to the root are cut.
    pub(crate) frames_max: usize,
    /// A start further back is set to the time of arrival, ns.
    pub(crate) past_ns_max: u64,
    /// A start further ahead is set to the time of arrival, ns.
    pub(crate) future_ns_max: u64,
    /// A busy time under this makes no suspect, ns.
    pub(crate) suspect_busy_ns_min: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes_max: 1_024,
            frames_max: 256,
            // The raw table keeps seven days: what is older would vanish at the insert.
            past_ns_max: 6 * 86_400 * SECOND_NS,
            future_ns_max: 3_600 * SECOND_NS,
            suspect_busy_ns_min: 10_000_000,
        }
    }
}

const SECOND_NS: u64 = 1_000_000_000;
/// The longest span that is believed. Sums over many of them still fit 64 bits.
const DURATION_NS_MAX: u64 = 30 * 86_400 * SECOND_NS;

/// The rows of one request.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// Poll spans.
    pub(crate) polls: Polls,
    /// Spans with a large busy time.
    pub(crate) suspects: Vec<Suspect>,
    /// The stacks of the poll spans, each once.
    pub(crate) stacks: Vec<Stack>,
    /// What came as metrics and logs.
    pub(crate) measured: Measured,
    /// Services that the request names, each as often as it does.
    pub(crate) services: Vec<String>,
    /// What was not made into rows, and why.
    pub(crate) counts: Counts,
    /// About how much memory the rows take.
    pub(crate) bytes: usize,
}

/// What a request held beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Spans in all.
    pub(crate) spans: u64,
    /// Spans that are not ours and no suspects.
    pub(crate) ignored: u64,
    /// Metrics and log records that are not ours.
    pub(crate) metrics_ignored: u64,
    /// Poll spans, points of our metrics, or tasks that can't be used.
    pub(crate) rejected: u64,
    /// Why the first of them can't.
    pub(crate) first_rejection: Option<&'static str>,
    /// Spans whose start was set to the time of arrival.
    pub(crate) clamped: u64,
    /// Names and stacks that were cut.
    pub(crate) cut: u64,
    /// Records that senders say they dropped.
    pub(crate) dropped_by_senders: u64,
}

impl Decoded {
    /// How many rows these are.
    pub(crate) fn rows(&self) -> usize {
        self.polls.len() + self.suspects.len() + self.stacks.len() + self.measured.rows()
    }
}

/// The rows of a request that arrived at `now_ns`.
pub(crate) fn decode(request: ExportTraceServiceRequest, limits: &Limits, now_ns: u64) -> Decoded {
    let mut decoder = Decoder::new(limits, now_ns);
    for of_resource in request.resource_spans {
        let origin = decoder.origin(&of_resource.resource.unwrap_or_default());
        for of_scope in of_resource.scope_spans {
            let scope = of_scope.scope.unwrap_or_default();
            for span in of_scope.spans {
                decoder.out.counts.spans += 1;
                if scope.name == contract::SCOPE {
                    decoder.poll(&origin, &scope.version, &span);
                } else {
                    decoder.foreign(&origin, &span);
                }
            }
        }
    }
    decoder.out.polls = std::mem::take(&mut decoder.polls).finish();
    decoder.finish()
}

/// The parts of a span that are not attributes, and where those are.
#[derive(Default)]
struct Parts<'b> {
    trace_id: &'b [u8],
    span_id: &'b [u8],
    parent_span_id: &'b [u8],
    name: &'b str,
    start_ns: u64,
    end_ns: u64,
}

struct Decoder<'a> {
    limits: &'a Limits,
    now_ns: u64,
    out: Decoded,
    polls: Gathering,
    stacks: HashMap<u64, Vec<String>, RandomState>,
    /// Those that are not made, if any.
    stored: Option<&'a StoredStacks>,
}

impl<'a> Decoder<'a> {
    fn new(limits: &'a Limits, now_ns: u64) -> Self {
        let (out, polls) = (Decoded::default(), Gathering::default());
        Self { limits, now_ns, out, polls, stacks: HashMap::default(), stored: None }
    }

    /// All rows, with what they weigh.
    fn finish(self) -> Decoded {
        let Self { mut out, stacks, .. } = self;
        out.stacks = stacks.into_iter().map(|(id, frames)| Stack { id, frames }).collect();
        let text = |text: &String| size_of::<String>() + text.len();
        let frames: usize = out.stacks.iter().flat_map(|stack| &stack.frames).map(text).sum();
        let functions: usize = out.suspects.iter().map(|suspect| suspect.function.len()).sum();
        let suspects = size_of::<Suspect>() * out.suspects.len() + functions;
        out.bytes = out.polls.bytes() + frames + suspects;
        out
    }

    fn origin(&mut self, resource: &Resource) -> Origin {
        let mut origin = Origin::default();
        let (mut host, mut pid, mut old_environment) = (String::new(), 0, String::new());
        for KeyValue { key, value, .. } in &resource.attributes {
            match key.as_str() {
                "service.name" => {
                    origin.service = self.text(value.as_ref());
                    self.out.services.push(origin.service.clone());
                }
                "service.version" => origin.version = self.text(value.as_ref()),
                "service.instance.id" => origin.instance = self.text(value.as_ref()),
                "deployment.environment.name" => origin.environment = self.text(value.as_ref()),
                "deployment.environment" => old_environment = self.text(value.as_ref()),
                "host.name" => host = self.text(value.as_ref()),
                "process.pid" => pid = integer(value.as_ref()),
                _ => {}
            }
        }
        if origin.service.is_empty() {
            self.out.services.push(UNNAMED.to_owned());
        }
        complete(origin, old_environment, &host, pid)
    }

    fn poll(&mut self, origin: &Origin, scope_version: &str, span: &Span) {
        match self.checked_poll(origin, scope_version, span) {
            Ok(poll) => self.polls.push(&poll),
            Err(reason) => self.reject_span(reason),
        }
    }

    fn reject_span(&mut self, reason: &'static str) {
        self.out.counts.rejected += 1;
        self.out.counts.first_rejection.get_or_insert(reason);
    }

    fn checked_poll(
        &mut self,
        origin: &Origin,
        scope_version: &str,
        span: &Span,
    ) -> Result<PollSpan, &'static str> {
        let (trace_id, span_id) = ids(&span.trace_id, &span.span_id)?;
        let duration_ns = duration(span.start_time_unix_nano, span.end_time_unix_nano)?;
        let mut poll = PollSpan {
            duration_ns,
            origin: origin.clone(),
            scope_version: self.cut(scope_version.to_owned()),
            cause: contract::CAUSES[0],
            worker: -1,
            trace_id,
            span_id,
            parent_span_id: span.parent_span_id.as_slice().try_into().unwrap_or_default(),
            ..PollSpan::default()
        };
        poll.start_ns = self.start(span.start_time_unix_nano, poll.duration_ns);
        poll.self_ns = poll.duration_ns;
        let mut stack = "";
        for KeyValue { key, value, .. } in &span.attributes {
            if key == contract::STACKTRACE {
                stack = string(value.as_ref()).unwrap_or_default();
            } else {
                self.attribute(&mut poll, key, value.as_ref());
            }
        }
        // A part is not longer than the whole.
        poll.self_ns = poll.self_ns.min(poll.duration_ns);
        let times = [
            &mut poll.start_ns,
            &mut poll.duration_ns,
            &mut poll.self_ns,
            &mut poll.cpu_ns,
            &mut poll.runqueue_ns,
            &mut poll.throttled_ns,
        ];
        times.into_iter().for_each(cut_to_microseconds);
        if poll.function.is_empty() {
            match span.name.strip_prefix(contract::SPAN_NAME_PREFIX) {
                Some(function) if !function.is_empty() => {
                    poll.function = self.cut(function.to_owned());
                }
                _ => return Err(NO_FUNCTION),
            }
        }
        self.stack(poll.stack_id, stack);
        Ok(poll)
    }

    /// Keeps a stack, unless it has no name or is there already.
    fn stack(&mut self, id: u64, text: &str) {
        if id == 0 || text.is_empty() || self.stored.is_some_and(|stored| stored.has(id)) {
            return;
        }
        if self.stacks.contains_key(&id) {
            return;
        }
        let frames = self.frames(text);
        if !frames.is_empty() {
            self.stacks.insert(id, frames);
        }
    }

    fn attribute(&mut self, poll: &mut PollSpan, key: &str, value: Option<&AnyValue>) {
        match key {
            contract::FUNCTION => poll.function = self.text(value),
            contract::FILE => poll.file = self.text(value),
            contract::LINE => poll.line = integer(value).try_into().unwrap_or(0),
            contract::THREAD_ID => poll.thread_id = integer(value),
            contract::THREAD_NAME => poll.thread_name = self.text(value),
            contract::SELF_NS => poll.self_ns = integer(value),
            contract::CPU_NS => poll.cpu_ns = integer(value),
            contract::RUNQUEUE_NS => poll.runqueue_ns = integer(value),
            contract::THRESHOLD_NS => poll.threshold_ns = integer(value),
            contract::CAUSE => poll.cause = string(value).map_or(contract::CAUSES[0], cause),
            contract::BLAME_FUNCTION => poll.blame_function = self.text(value),
            contract::BLAME_CRATE => poll.blame_crate = self.text(value),
            contract::STACK_ID => {
                let digits = string(value).unwrap_or_default();
                poll.stack_id = u64::from_str_radix(digits, 16).unwrap_or(0);
            }
            contract::VICTIMS => poll.victims = integer(value).try_into().unwrap_or(u32::MAX),
            contract::TASK_ID => poll.task_id = integer(value),
            contract::TASK_NAME => poll.task_name = self.text(value),
            contract::TASK_SPAWNED_AT => poll.task_spawned_at = self.text(value),
            contract::RUNTIME => poll.runtime = self.text(value),
            contract::WORKER => poll.worker = integer(value).try_into().unwrap_or(-1),
            contract::STALL => poll.stall = is_true(value),
            contract::THROTTLED_NS => poll.throttled_ns = integer(value),
            contract::RUNTIME_STALLED => poll.runtime_stalled = is_true(value),
            contract::DRIVER_IDLE => poll.driver_idle = is_true(value),
            contract::SAMPLED => poll.sampled = is_true(value),
            contract::HOLDER_THREAD_ID => poll.holder_thread_id = integer(value),
            contract::HOLDER_THREAD_NAME => poll.holder_thread_name = self.text(value),
            contract::HOLDER_FUNCTION => poll.holder_function = self.text(value),
            contract::HOLDER_EVIDENCE => poll.holder_evidence = self.text(value),
            contract::DROPPED => {
                let dropped = &mut self.out.counts.dropped_by_senders;
                *dropped = dropped.saturating_add(integer(value));
            }
            _ => {}
        }
    }

    /// A span of another scope: a suspect when its busy time is large, else only counted.
    fn foreign(&mut self, origin: &Origin, span: &Span) {
        let (mut busy_ns, mut idle_ns) = (0, 0);
        let (mut function, mut namespace) = (String::new(), String::new());
        for KeyValue { key, value, .. } in &span.attributes {
            match key.as_str() {
                contract::BUSY_NS => busy_ns = integer(value.as_ref()),
                contract::IDLE_NS => idle_ns = integer(value.as_ref()),
                contract::FUNCTION => function = self.text(value.as_ref()),
                // What tracing-opentelemetry calls a span's target.
                "code.module.name" | "code.namespace" | "target" => {
                    namespace = self.text(value.as_ref());
                }
                _ => {}
            }
        }
        let (trace_id, span_id, name) = (&*span.trace_id, &*span.span_id, &*span.name);
        let (start_ns, end_ns) = (span.start_time_unix_nano, span.end_time_unix_nano);
        let parts = Parts { trace_id, span_id, name, start_ns, end_ns, ..Parts::default() };
        self.suspect(origin, &parts, [busy_ns, idle_ns], (&function, &namespace));
    }

    /// Takes a span of another scope for a suspect if it was busy for long, else counts it. Its
    /// function, and what that is in, are within the bound on names.
    fn suspect(
        &mut self,
        origin: &Origin,
        parts: &Parts<'_>,
        [busy_ns, idle_ns]: [u64; 2],
        (function, namespace): (&str, &str),
    ) {
        let usable = busy_ns >= self.limits.suspect_busy_ns_min;
        let (true, Ok((trace_id, span_id))) = (usable, ids(parts.trace_id, parts.span_id)) else {
            self.out.counts.ignored += 1;
            return;
        };
        let function = match (function, namespace) {
            ("", "") => self.cut(parts.name.to_owned()),
            ("", of) => format!("{of}::{}", self.cut(parts.name.to_owned())),
            (function, _) => function.to_owned(),
        };
        let duration_ns = parts.end_ns.saturating_sub(parts.start_ns);
        let start_ns = self.start(parts.start_ns, duration_ns);
        let origin = origin.clone();
        self.out.suspects.push(Suspect {
            start_ns,
            duration_ns,
            busy_ns,
            idle_ns,
            origin,
            function,
            trace_id,
            span_id,
        });
    }

    /// The start, or the time of arrival less the duration where the sender's clock is too far off.
    fn start(&mut self, start_ns: u64, duration_ns: u64) -> u64 {
        let earliest = self.now_ns.saturating_sub(self.limits.past_ns_max);
        let latest = self.now_ns.saturating_add(self.limits.future_ns_max);
        if (earliest..=latest).contains(&start_ns) {
            return start_ns;
        }
        self.out.counts.clamped += 1;
        self.now_ns.saturating_sub(duration_ns).max(earliest)
    }

    fn frames(&mut self, text: &str) -> Vec<String> {
        let lines = text.lines().map(str::trim);
        let mut frames: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        if frames.len() > self.limits.frames_max {
            self.out.counts.cut += 1;
            frames.truncate(self.limits.frames_max);
        }
        frames.into_iter().map(|frame| self.cut(frame.to_owned())).collect()
    }

    fn text(&mut self, value: Option<&AnyValue>) -> String {
        self.cut(string(value).unwrap_or_default().to_owned())
    }

    /// The text, cut to the bound between two characters.
    fn cut(&mut self, mut text: String) -> String {
        if text.len() > self.limits.name_bytes_max {
            self.out.counts.cut += 1;
            text.truncate(text.floor_char_boundary(self.limits.name_bytes_max));
        }
        self.out.bytes += text.len();
        text
    }
}

/// Of a poll that is slow, nanoseconds are noise, and noise can't be compressed: it would take a third
/// of the table.
fn cut_to_microseconds(ns: &mut u64) {
    *ns -= *ns % 1000;
}

/// The service of a resource that names none.
const UNNAMED: &str = "unknown_service";

/// An origin, with what stands for what it lacks.
fn complete(mut origin: Origin, old_environment: String, host: &str, pid: u64) -> Origin {
    if origin.service.is_empty() {
        UNNAMED.clone_into(&mut origin.service);
    }
    if origin.environment.is_empty() {
        origin.environment = old_environment;
    }
    if origin.instance.is_empty() && !(host.is_empty() && pid == 0) {
        origin.instance = format!("{host}:{pid}");
    }
    origin
}

/// Why a poll span is rejected that names no function.
const NO_FUNCTION: &str = "a poll span names no function: set code.function.name";

/// The ids of a span's trace and of itself.
fn ids(trace_id: &[u8], span_id: &[u8]) -> Result<([u8; 16], [u8; 8]), &'static str> {
    let trace_id: [u8; 16] = trace_id.try_into().map_err(|_| "a trace_id is not 16 bytes long")?;
    let span_id: [u8; 8] = span_id.try_into().map_err(|_| "a span_id is not 8 bytes long")?;
    if trace_id == [0; 16] || span_id == [0; 8] {
        return Err("a trace_id or span_id is all zeroes");
    }
    Ok((trace_id, span_id))
}

/// The time from a span's start to its end.
fn duration(start_ns: u64, end_ns: u64) -> Result<u64, &'static str> {
    if start_ns == 0 {
        return Err("a span has no start: start_time_unix_nano is 0");
    }
    match end_ns.checked_sub(start_ns) {
        None => Err("a span ends before it starts: end_time_unix_nano < start_time_unix_nano"),
        Some(long) if long > DURATION_NS_MAX => Err("a span lasts longer than 30 days"),
        Some(duration_ns) => Ok(duration_ns),
    }
}

/// The cause of this name, `unknown` for any other.
pub(crate) fn cause(name: &str) -> &'static str {
    polls::named(polls::cause(name))
}

fn string(value: Option<&AnyValue>) -> Option<&str> {
    match value?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// A number that is not negative; 0 for anything else.
fn integer(value: Option<&AnyValue>) -> u64 {
    match value.and_then(|v| v.value.as_ref()) {
        Some(Value::IntValue(number)) => u64::try_from(*number).unwrap_or(0),
        _ => 0,
    }
}

fn is_true(value: Option<&AnyValue>) -> bool {
    matches!(value, Some(AnyValue { value: Some(Value::BoolValue(true)) }))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
