//! Requests of poll spans, encoded before they are sent: what differs from one time to the next is
//! written over.

use std::time::UNIX_EPOCH;

/// Spans of one request.
pub(super) const SPANS: usize = 8_192;
/// Bytes of one span.
const SPAN_BYTES: usize = 512;
/// The longest poll, ns.
const POLL_NS_MAX: u64 = 50_000_000;
/// Before this time all polls have ended, so that no clock seems to be wrong, ns.
const AGE_NS: u64 = 1_000_000_000;

/// One request, and where in it the ids and times of its spans are.
pub(super) struct Prepared {
    pub(super) bytes: Vec<u8>,
    spans: Vec<Places>,
}

#[derive(Clone, Copy)]
struct Places {
    trace_id: usize,
    span_id: usize,
    start: usize,
    end: usize,
}

/// Of what a request is made.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) service: usize,
    pub(super) spans: usize,
    /// How many functions there are.
    pub(super) functions: usize,
    /// The function of the first span; each next one is of the next.
    pub(super) first: usize,
}

/// `ExportTraceServiceRequest` with one resource and one scope.
pub(super) fn prepare(shape: Shape) -> Prepared {
    let mut spans = Vec::with_capacity(shape.spans);
    let mut of_scope = Vec::with_capacity(shape.spans * (SPAN_BYTES + 8));
    let mut scope = Vec::new();
    field(&mut scope, 1, b"holdup");
    field(&mut scope, 2, b"0.1.0");
    field(&mut of_scope, 1, &scope);
    for index in 0..shape.spans {
        let (span, places) = span((shape.first + index) % shape.functions, index);
        field(&mut of_scope, 2, &span);
        let at = of_scope.len() - span.len();
        spans.push(Places {
            trace_id: at + places.trace_id,
            span_id: at + places.span_id,
            start: at + places.start,
            end: at + places.end,
        });
    }
    let mut resource = Vec::new();
    let service = shape.service;
    text(&mut resource, 1, "service.name", &format!("shop-{service}"));
    text(&mut resource, 1, "service.version", "1.4.2");
    text(&mut resource, 1, "service.instance.id", &format!("shop-{service}-7d9f8b6c5-x2x4v"));
    text(&mut resource, 1, "deployment.environment.name", "production");
    let mut of_resource = Vec::with_capacity(of_scope.len() + 512);
    field(&mut of_resource, 1, &resource);
    field(&mut of_resource, 2, &of_scope);
    let before = of_resource.len() - of_scope.len();
    let mut bytes = Vec::with_capacity(of_resource.len() + 16);
    field(&mut bytes, 1, &of_resource);
    let before = before + bytes.len() - of_resource.len();
    for places in &mut spans {
        for place in [&mut places.trace_id, &mut places.span_id, &mut places.start, &mut places.end]
        {
            *place += before;
        }
    }
    Prepared { bytes, spans }
}

impl Prepared {
    /// Gives all spans ids that no other has, and times that are just past.
    pub(super) fn renew(&mut self, random: &mut Random) {
        let now = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        let first = u64::try_from(now).unwrap_or(0).saturating_sub(AGE_NS);
        for (at, places) in (0_u64..).zip(&self.spans) {
            let start = first + at * 1_000;
            let end = start + 10_000_000 + random.next() % (POLL_NS_MAX - 10_000_000);
            for (place, value) in [
                (places.trace_id, random.next()),
                (places.trace_id + 8, random.next()),
                (places.span_id, random.next()),
                (places.start, start),
                (places.end, end),
            ] {
                self.bytes[place..place + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
}

impl Prepared {
    /// The id of the first span, in hexadecimal digits.
    pub(super) fn first_id(&self) -> String {
        let id = self.spans.first().map_or(&[][..], |places| &self.bytes[places.span_id..][..8]);
        id.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// xorshift64*: fast, and as random as ids need to be here.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let now = UNIX_EPOCH.elapsed().map_or(1, |since| since.as_nanos());
        let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::try_from(now).unwrap_or(1);
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1
    }
}

/// A poll span as the crate sends it, and where its ids and times are.
fn span(function: usize, index: usize) -> (Vec<u8>, Places) {
    let mut out = Vec::with_capacity(SPAN_BYTES + 8);
    let name = format!("shop::checkout::handler_{function:06}");
    field(&mut out, 1, &[1; 16]);
    let trace_id = out.len() - 16;
    field(&mut out, 2, &[1; 8]);
    let span_id = out.len() - 8;
    field(&mut out, 5, format!("poll {name}").as_bytes());
    out.extend_from_slice(&[6 << 3, 1, 7 << 3 | 1]);
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.push(8 << 3 | 1);
    let end = out.len();
    out.extend_from_slice(&[0; 8]);
    text(&mut out, 9, "code.function.name", &name);
    text(&mut out, 9, "code.file.path", "src/checkout.rs");
    number(&mut out, 9, "code.line.number", 40 + function % 900);
    number(&mut out, 9, "thread.id", 4_100 + index % 8);
    text(&mut out, 9, "thread.name", "tokio-rt-worker");
    number(&mut out, 9, "holdup.self_ns", 9_000_000 + index * 1_000);
    number(&mut out, 9, "holdup.cpu_ns", 1_000_000 + index * 900);
    number(&mut out, 9, "holdup.threshold_ns", 10_000_000);
    text(&mut out, 9, "holdup.cause", ["cpu", "lock", "disk", "sleep"][function % 4]);
    text(&mut out, 9, "holdup.stack.id", &format!("{:016x}", function + 1));
    number(&mut out, 9, "holdup.worker", index % 8);
    // The stack fills the span up.
    let key = "code.stacktrace";
    let left = SPAN_BYTES.saturating_sub(out.len() + key.len() + 9);
    let frames = "std::sys::fs::read\nshop::ledger::load\ntokio::runtime::task::harness::poll\n";
    let stack: String = frames.chars().cycle().take(left).collect();
    text(&mut out, 9, key, &stack);
    (out, Places { trace_id, span_id, start, end })
}

fn text(out: &mut Vec<u8>, number: u8, key: &str, value: &str) {
    let mut of_value = Vec::new();
    field(&mut of_value, 1, value.as_bytes());
    attribute(out, number, key, &of_value);
}

fn number(out: &mut Vec<u8>, field: u8, key: &str, value: usize) {
    let mut of_value = vec![3 << 3];
    varint(&mut of_value, value);
    attribute(out, field, key, &of_value);
}

fn attribute(out: &mut Vec<u8>, number: u8, key: &str, value: &[u8]) {
    let mut pair = Vec::new();
    field(&mut pair, 1, key.as_bytes());
    field(&mut pair, 2, value);
    field(out, number, &pair);
}

/// A field that tells its length.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::{Random, SPAN_BYTES, Shape, prepare, span};

    #[test]
    fn a_span_has_512_bytes_whatever_its_function() {
        for (function, index) in [(0, 0), (999, 8_191), (99_999, 4_000)] {
            let (bytes, _) = span(function, index);
            assert!(bytes.len().abs_diff(SPAN_BYTES) <= 2, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn what_is_sent_again_differs_in_ids_and_times_alone() {
        let shape = Shape { service: 1, spans: 3, functions: 2, first: 0 };
        let mut request = prepare(shape);
        let before = request.bytes.clone();
        request.renew(&mut Random::new(1));
        let differ = before.iter().zip(&request.bytes).filter(|(a, b)| a != b).count();
        assert!((1..=3 * 40).contains(&differ), "{differ} bytes");
        let text = String::from_utf8_lossy(&request.bytes).into_owned();
        assert!(text.contains("poll shop::checkout::handler_000001"), "{text}");
    }
}
