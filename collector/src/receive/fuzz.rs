//! Requests that nobody meant.

use bytes::Bytes;

use super::{RequestLimits, body, read};
use crate::corpus::fuzz;
use crate::decode::{Decoded, Limits};
use crate::log::Entry;
use crate::request::{Encoding, Format, Kind, Request, Signal};

/// The hour in which the requests of the corpus were sent.
const NOW_NS: u64 = 1_800_000_030_000_000_000;

/// Rows as a text, without the order of stacks, which have none.
fn text(mut rows: Decoded) -> String {
    rows.stacks.sort_by_key(|stack| stack.id);
    let Decoded { polls, suspects, stacks, measured, services, counts, bytes: _ } = rows;
    format!("{:?} {suspects:?} {stacks:?} {measured:?} {services:?} {counts:?}", polls.spans())
}

fn check_rows(rows: &Decoded, limits: &Limits) {
    let is_cut = |name: &str| name.len() <= limits.name_bytes_max;
    let in_time =
        |ns: u64| (NOW_NS - limits.past_ns_max..=NOW_NS + limits.future_ns_max).contains(&ns);
    for poll in &rows.polls.spans() {
        assert!(!poll.function.is_empty() && !poll.origin.service.is_empty());
        assert!([&poll.function, &poll.file, &poll.task_name].into_iter().all(|n| is_cut(n)));
        assert!(in_time(poll.start_ns) && poll.self_ns <= poll.duration_ns);
    }
    assert!(rows.suspects.iter().all(|suspect| in_time(suspect.start_ns)));
    let mut frames = rows.stacks.iter().flat_map(|stack| &stack.frames);
    assert!(rows.stacks.iter().all(|stack| stack.frames.len() <= limits.frames_max));
    assert!(frames.all(|frame| is_cut(frame)));
    for histogram in &rows.measured.histograms {
        assert!(is_cut(&histogram.function) && histogram.buckets.len() <= 513);
        assert!(histogram.buckets.is_sorted_by_key(|(index, _)| *index));
    }
    assert!(rows.measured.gauges.iter().all(|gauge| gauge.value.is_finite()));
}

/// Asserts that a request has rows within the bounds, the same whenever they are made, or none.
fn check(signal: Signal, format: Format, input: &[u8]) {
    let span = Limits { name_bytes_max: 40, frames_max: 4, ..Limits::default() };
    let limits = RequestLimits { elements_max: 500, span, ..RequestLimits::default() };
    let body = Bytes::copy_from_slice(input);
    let Ok(rows) = read::rows((signal, format), body.clone(), (&limits, None), NOW_NS) else {
        return;
    };
    assert!(rows.rows() <= 4 * limits.elements_max, "{} rows", rows.rows());
    check_rows(&rows, &limits.span);
    let kind = Kind { signal, format, encoding: Encoding::Plain };
    let request = Request { kind, received_ns: NOW_NS, body, fingerprint: 0 };
    let again = read::rows_again(&Entry::from(request), &limits.span).unwrap();
    assert_eq!(text(rows), text(again));
}

#[test]
fn traces_as_protobuf() {
    fuzz("traces", |input| check(Signal::Traces, Format::Protobuf, input));
}

#[test]
fn traces_as_json() {
    fuzz("traces-json", |input| check(Signal::Traces, Format::Json, input));
}

#[test]
fn metrics_as_protobuf() {
    fuzz("metrics", |input| check(Signal::Metrics, Format::Protobuf, input));
}

#[test]
fn metrics_as_json() {
    fuzz("metrics-json", |input| check(Signal::Metrics, Format::Json, input));
}

#[test]
fn logs_as_protobuf() {
    fuzz("logs", |input| check(Signal::Logs, Format::Protobuf, input));
}

#[test]
fn compressed_bodies() {
    fuzz("bodies", |input| {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let body = Bytes::copy_from_slice(input);
            if let Ok(plain) = body::decompress(&body, encoding, 10_000) {
                assert!(plain.len() <= 10_000);
            }
        }
    });
}
