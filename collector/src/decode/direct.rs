//! Rows out of a trace request's bytes, without the tree of messages between.
//!
//! What a sender hardly ever does (a group, a message in two parts, a field of another type than
//! its number says, bytes that are no message at all) is not judged here: [`Unusual`] leaves the
//! request to the decoder of `prost`, whose rows and whose refusals are those of every request.

mod field;
mod wire;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use holdup::contract;

use super::{
    Decoded, Decoder, Limits, NO_FUNCTION, Parts, StoredStacks, cut_to_microseconds, duration, ids,
};
use crate::polls::{Polls, Text, cause};
use crate::span::Origin;
use field::{FIELDS, Field, field_of};
use wire::{Fields, Scalar, Value, begins_with, is_same, pair, skim_attribute, text};

/// A poll span is not shorter: it has two ids, two times and a name.
const POLL_BYTES_MIN: usize = 64;

/// Something that is left to the other decoder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unusual;

/// The rows of a request that arrived at `now_ns`, of no more elements than these. Stacks that are
/// stored are not among them.
pub(crate) fn decode(
    body: &[u8],
    limits: &Limits,
    elements_max: usize,
    stored: Option<&StoredStacks>,
    now_ns: u64,
) -> Result<Decoded, Unusual> {
    let mut direct = Direct {
        decoder: Decoder { stored, ..Decoder::new(limits, now_ns) },
        polls: Polls::default(),
        texts: HashMap::default(),
        last: [(b"", 0); FIELDS],
        expected: Vec::new(),
        left: elements_max,
    };
    let mut fields = Fields(body);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(of_resource)) => direct.resource_spans(of_resource)?,
            (1, _) => return Err(Unusual),
            _ => {}
        }
    }
    let Direct { mut decoder, polls, .. } = direct;
    decoder.out.polls = polls;
    Ok(decoder.finish())
}

struct Direct<'l, 'b> {
    decoder: Decoder<'l>,
    polls: Polls,
    /// Numbers of the texts that are there, as they came.
    texts: HashMap<&'b [u8], Text, RandomState>,
    /// What each field was last: most often it is the same again.
    last: [(&'b [u8], Text); FIELDS],
    /// How the attributes of the span before began, up to their values, in their order, and what
    /// they are for: those of the next begin the same.
    expected: Vec<(&'b [u8], Field)>,
    /// Elements that there may still be.
    left: usize,
}

impl<'b> Direct<'_, 'b> {
    fn element(&mut self) -> Result<(), Unusual> {
        self.left = self.left.checked_sub(1).ok_or(Unusual)?;
        Ok(())
    }

    fn resource_spans(&mut self, message: &'b [u8]) -> Result<(), Unusual> {
        self.element()?;
        let (mut resource, mut spans) = (None, Vec::new());
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(message)) if resource.is_none() => resource = Some(message),
                (2, Value::Bytes(of_scope)) => spans.push(of_scope),
                (3, Value::Bytes(url)) => drop(text(url)?),
                (1..=3, _) => return Err(Unusual),
                _ => {}
            }
        }
        let origin = self.resource(resource)?;
        let index = u32::try_from(self.polls.origins.len()).map_err(|_| Unusual)?;
        self.polls.origins.push(origin.clone());
        spans.into_iter().try_for_each(|of_scope| self.scope_spans(of_scope, &origin, index))
    }

    fn resource(&mut self, message: Option<&'b [u8]>) -> Result<Origin, Unusual> {
        if message.is_some() {
            self.element()?;
        }
        let (mut origin, mut old_environment) = (Origin::default(), String::new());
        let (mut host, mut pid) = (String::new(), 0);
        let mut fields = Fields(message.unwrap_or_default());
        while let Some((number, value)) = fields.next()? {
            let attribute = match (number, value) {
                (1, Value::Bytes(attribute)) => attribute,
                (2, Value::Varint(_)) => continue,
                // Entities of a resource are of no use here, and rare.
                (1..=3, _) => return Err(Unusual),
                _ => continue,
            };
            self.element()?;
            let (key, value) = pair(attribute)?;
            let named = if let Scalar::Text(value) = value { text(value)? } else { "" };
            let key = text(key)?;
            let place = match key {
                "service.name" => &mut origin.service,
                "service.version" => &mut origin.version,
                "service.instance.id" => &mut origin.instance,
                "deployment.environment.name" => &mut origin.environment,
                "deployment.environment" => &mut old_environment,
                "host.name" => &mut host,
                key => {
                    if key == "process.pid" {
                        pid = integer(value);
                    }
                    continue;
                }
            };
            *place = self.decoder.cut(named.to_owned());
            if key == "service.name" {
                self.decoder.out.services.push(place.clone());
            }
        }
        if origin.service.is_empty() {
            self.decoder.out.services.push(super::UNNAMED.to_owned());
        }
        Ok(super::complete(origin, old_environment, &host, pid))
    }

    fn scope_spans(
        &mut self,
        message: &'b [u8],
        origin: &Origin,
        index: u32,
    ) -> Result<(), Unusual> {
        self.element()?;
        let (mut scope, mut begun) = (None, false);
        let (mut name, mut version) = ("", "");
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(message)) if scope.is_none() && !begun => {
                    scope = Some(message);
                    (name, version) = self.scope(message)?;
                }
                (2, Value::Bytes(span)) => {
                    let is_first = !std::mem::replace(&mut begun, true);
                    self.element()?;
                    self.decoder.out.counts.spans += 1;
                    if name == contract::SCOPE {
                        self.poll(span, version, index)?;
                        if is_first {
                            // The others are about as long.
                            let others = fields.0.len() / span.len().max(POLL_BYTES_MIN);
                            self.polls.expect(self.polls.len() + others.min(self.left));
                        }
                    } else {
                        self.foreign(span, origin)?;
                    }
                }
                (3, Value::Bytes(url)) => drop(text(url)?),
                (1..=3, _) => return Err(Unusual),
                _ => {}
            }
        }
        Ok(())
    }

    fn scope(&mut self, message: &'b [u8]) -> Result<(&'b str, &'b str), Unusual> {
        self.element()?;
        let (mut name, mut version) = ("", "");
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(bytes)) => name = text(bytes)?,
                (2, Value::Bytes(bytes)) => version = text(bytes)?,
                (3, Value::Bytes(attribute)) => {
                    self.element()?;
                    skim_attribute(attribute)?;
                }
                (4, Value::Varint(_)) => {}
                (1..=4, _) => return Err(Unusual),
                _ => {}
            }
        }
        Ok((name, version))
    }

    /// Reads a span, and gives its attributes to `take`, each with its place.
    fn span(
        &mut self,
        message: &'b [u8],
        mut take: impl FnMut(&mut Self, usize, &'b [u8]) -> Result<(), Unusual>,
    ) -> Result<Parts<'b>, Unusual> {
        let (mut parts, mut place) = (Parts::default(), 0);
        let mut fields = Fields(message);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (9, Value::Bytes(attribute)) => {
                    self.element()?;
                    take(self, place, attribute)?;
                    place += 1;
                }
                (1, Value::Bytes(id)) => parts.trace_id = id,
                (2, Value::Bytes(id)) => parts.span_id = id,
                (4, Value::Bytes(id)) => parts.parent_span_id = id,
                (5, Value::Bytes(name)) => parts.name = text(name)?,
                (7, Value::Fixed64(ns)) => parts.start_ns = ns,
                (8, Value::Fixed64(ns)) => parts.end_ns = ns,
                (3, Value::Bytes(state)) => drop(text(state)?),
                (6 | 10 | 12 | 14, Value::Varint(_)) | (16, Value::Fixed32) => {}
                (11, Value::Bytes(event)) => self.part(event, wire::Part::Event)?,
                (13, Value::Bytes(link)) => self.part(link, wire::Part::Link)?,
                (15, Value::Bytes(status)) => wire::skim_status(status)?,
                (1..=16, _) => return Err(Unusual),
                _ => {}
            }
        }
        Ok(parts)
    }

    /// An event or a link, which are of no use here.
    fn part(&mut self, message: &'b [u8], part: wire::Part) -> Result<(), Unusual> {
        self.element()?;
        let attributes = wire::skim_part(message, part)?;
        self.left = self.left.checked_sub(attributes).ok_or(Unusual)?;
        Ok(())
    }

    fn poll(&mut self, message: &'b [u8], version: &'b str, origin: u32) -> Result<(), Unusual> {
        let (mut stack, mut stack_id) = ("", 0);
        let parts = self.span(message, |this, place, attribute| {
            let (field, value) = this.named(place, attribute)?;
            match (field, value) {
                (Field::Stacktrace, Scalar::Text(value)) => stack = text(value)?,
                (Field::Stacktrace, _) => stack = "",
                (Field::StackId, Scalar::Text(value)) => {
                    stack_id = u64::from_str_radix(text(value)?, 16).unwrap_or(0);
                }
                (Field::StackId, _) => stack_id = 0,
                _ => this.attribute(field, value)?,
            }
            Ok(())
        })?;
        if let Err(reason) = self.complete(&parts, version, origin, (stack_id, stack))? {
            self.polls.abandon();
            self.decoder.reject_span(reason);
        }
        Ok(())
    }

    /// Sets what is not in attributes.
    fn complete(
        &mut self,
        parts: &Parts<'b>,
        version: &'b str,
        origin: u32,
        (stack_id, stack): (u64, &str),
    ) -> Result<Result<(), &'static str>, Unusual> {
        let ids = ids(parts.trace_id, parts.span_id);
        let duration = duration(parts.start_ns, parts.end_ns);
        let (Ok(ids), Ok(duration_ns)) = (ids, duration) else {
            // The other decoder counts nothing of such a span.
            return Err(Unusual);
        };
        let row = self.polls.len();
        let start_ns = self.decoder.start(parts.start_ns, duration_ns);
        self.set_text(Field::ScopeVersion, version);
        if self.polls.columns.function.get(row) == 0 {
            let function = parts.name.strip_prefix(contract::SPAN_NAME_PREFIX);
            let Some(function) = function.filter(|name| !name.is_empty()) else {
                return Ok(Err(NO_FUNCTION));
            };
            self.set_text(Field::Function, function);
        }
        let of = &mut self.polls.columns;
        of.trace_id.set(row, ids.0);
        of.span_id.set(row, ids.1);
        of.parent_span_id.set(row, parts.parent_span_id.try_into().unwrap_or_default());
        of.origin.set(row, origin);
        of.stack_id.set(row, stack_id);
        // A part is not longer than the whole, and is the whole where nothing is said of it.
        let told = of.self_ns.values().get(row).map(|self_ns| self_ns.wrapping_sub(1));
        let self_ns = told.unwrap_or(duration_ns).min(duration_ns);
        for (column, mut ns) in [
            (&mut of.start_ns, start_ns),
            (&mut of.duration_ns, duration_ns),
            (&mut of.self_ns, self_ns),
        ] {
            cut_to_microseconds(&mut ns);
            column.set(row, ns);
        }
        for column in [&mut of.cpu_ns, &mut of.runqueue_ns, &mut of.throttled_ns] {
            let mut ns = column.get(row);
            cut_to_microseconds(&mut ns);
            column.set(row, ns);
        }
        self.polls.complete();
        self.decoder.stack(stack_id, stack);
        Ok(Ok(()))
    }

    /// What an attribute is for, which stands at a place among those of its span, and its value.
    #[inline]
    fn named(&mut self, place: usize, attribute: &'b [u8]) -> Result<(Field, Scalar<'b>), Unusual> {
        if let Some((begin, field)) = self.expected.get(place)
            && !begin.is_empty()
            && begins_with(attribute, begin)
            && let Some(value) = wire::last_value(&attribute[begin.len()..])?
        {
            return Ok((*field, value));
        }
        self.named_anew(place, attribute)
    }

    fn named_anew(
        &mut self,
        place: usize,
        attribute: &'b [u8],
    ) -> Result<(Field, Scalar<'b>), Unusual> {
        let (key, value) = pair(attribute)?;
        let field = field_of(text(key)?);
        let expected = (wire::before_value(attribute, key), field);
        match self.expected.get_mut(place) {
            Some(held) => *held = expected,
            None => self.expected.push(expected),
        }
        Ok((field, value))
    }

    fn attribute(&mut self, field: Field, value: Scalar<'b>) -> Result<(), Unusual> {
        if (field as usize) < FIELDS {
            let value = if let Scalar::Text(value) = value { value } else { b"" };
            return self.set(field, value);
        }
        // Whatever it is for, a text has to be one.
        let named = if let Scalar::Text(value) = value { Some(text(value)?) } else { None };
        let (row, number) = (self.polls.len(), integer(value));
        let is_true = matches!(value, Scalar::Bool(true));
        let of = &mut self.polls.columns;
        match field {
            Field::Line => of.line.set(row, number.try_into().unwrap_or(0)),
            Field::ThreadId => of.thread_id.set(row, number),
            // One more, so that 0 is told from nothing until the span is complete.
            Field::SelfNs => of.self_ns.set(row, number.saturating_add(1)),
            Field::CpuNs => of.cpu_ns.set(row, number),
            Field::RunqueueNs => of.runqueue_ns.set(row, number),
            Field::ThresholdNs => of.threshold_ns.set(row, number),
            Field::Victims => of.victims.set(row, number.try_into().unwrap_or(u32::MAX)),
            Field::TaskId => of.task_id.set(row, number),
            Field::Worker => of.worker.set(row, number.try_into().unwrap_or(-1)),
            Field::ThrottledNs => of.throttled_ns.set(row, number),
            Field::HolderThreadId => of.holder_thread_id.set(row, number),
            Field::Dropped => {
                let dropped = &mut self.decoder.out.counts.dropped_by_senders;
                *dropped = dropped.saturating_add(number);
            }
            Field::Stall => of.stall.set(row, is_true),
            Field::RuntimeStalled => of.runtime_stalled.set(row, is_true),
            Field::DriverIdle => of.driver_idle.set(row, is_true),
            Field::Sampled => of.sampled.set(row, is_true),
            Field::Cause => of.cause.set(row, named.map_or(0, cause)),
            _ => {}
        }
        Ok(())
    }

    /// Sets a text, whose bytes need not be looked at where they came before.
    fn set(&mut self, field: Field, value: &'b [u8]) -> Result<(), Unusual> {
        let (last, number) = self.last[field as usize];
        if is_same(last, value) {
            self.put(field, number);
            return Ok(());
        }
        if let Some(number) = self.texts.get(value) {
            self.last[field as usize] = (value, *number);
            self.put(field, *number);
            return Ok(());
        }
        self.set_text(field, text(value)?);
        Ok(())
    }

    fn set_text(&mut self, field: Field, value: &'b str) {
        let (last, number) = self.last[field as usize];
        if is_same(last, value.as_bytes()) {
            return self.put(field, number);
        }
        if value.len() > self.decoder.limits.name_bytes_max {
            let cut = self.decoder.cut(value.to_owned());
            let number = self.polls.texts.add(&cut);
            return self.put(field, number);
        }
        let texts = &mut self.polls.texts;
        let number = *self.texts.entry(value.as_bytes()).or_insert_with(|| texts.add(value));
        self.last[field as usize] = (value.as_bytes(), number);
        self.put(field, number);
    }

    fn put(&mut self, field: Field, text: Text) {
        let (row, of) = (self.polls.len(), &mut self.polls.columns);
        let column = match field {
            Field::Function => &mut of.function,
            Field::File => &mut of.file,
            Field::BlameFunction => &mut of.blame_function,
            Field::BlameCrate => &mut of.blame_crate,
            Field::ThreadName => &mut of.thread_name,
            Field::Runtime => &mut of.runtime,
            Field::TaskName => &mut of.task_name,
            Field::TaskSpawnedAt => &mut of.task_spawned_at,
            Field::HolderThreadName => &mut of.holder_thread_name,
            Field::HolderFunction => &mut of.holder_function,
            Field::HolderEvidence => &mut of.holder_evidence,
            _ => &mut of.scope_version,
        };
        column.set(row, text);
    }

    /// A span of another scope: a suspect when its busy time is large, else only counted.
    fn foreign(&mut self, message: &'b [u8], origin: &Origin) -> Result<(), Unusual> {
        let (mut busy_ns, mut idle_ns) = (0, 0);
        let (mut function, mut namespace) = ("", "");
        let name_bytes_max = self.decoder.limits.name_bytes_max;
        let parts = self.span(message, |_, _, attribute| {
            let (key, value) = pair(attribute)?;
            let key = text(key)?;
            let named = if let Scalar::Text(value) = value { text(value)? } else { "" };
            match key {
                contract::FUNCTION => function = named,
                "code.module.name" | "code.namespace" | "target" => namespace = named,
                _ => {
                    match key {
                        contract::BUSY_NS => busy_ns = integer(value),
                        contract::IDLE_NS => idle_ns = integer(value),
                        _ => {}
                    }
                    return Ok(());
                }
            }
            // What the other decoder cuts, it counts, whether it is a suspect or not.
            if named.len() > name_bytes_max { Err(Unusual) } else { Ok(()) }
        })?;
        self.decoder.suspect(origin, &parts, [busy_ns, idle_ns], (function, namespace));
        Ok(())
    }
}

/// A number that is not negative; 0 for anything else.
fn integer(value: Scalar<'_>) -> u64 {
    match value {
        Scalar::Int(number) => u64::try_from(number).unwrap_or(0),
        _ => 0,
    }
}
