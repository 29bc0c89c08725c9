//! Counts what a request would be made of, before it is: a message of a few kilobytes can hold
//! millions of empty ones.

use prost::encoding::{WireType, decode_key, decode_varint};

/// Why a request is not read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "more than {0} spans, attributes and events in one request: send smaller batches, or raise \
     --elements-max"
)]
pub(crate) struct TooMany(pub(super) usize);

/// Which fields of a message are messages that count, each with its own table.
struct Shape(&'static [(u32, &'static Shape)]);

const LEAF: Shape = Shape(&[]);
const WITH_ATTRIBUTES_1: Shape = Shape(&[(1, &LEAF)]);
const EVENT: Shape = Shape(&[(3, &LEAF)]);
const LINK: Shape = Shape(&[(4, &LEAF)]);
const SPAN: Shape = Shape(&[(9, &LEAF), (11, &EVENT), (13, &LINK)]);
const SCOPE: Shape = Shape(&[(3, &LEAF)]);
const SCOPE_SPANS: Shape = Shape(&[(1, &SCOPE), (2, &SPAN)]);
const RESOURCE_SPANS: Shape = Shape(&[(1, &WITH_ATTRIBUTES_1), (2, &SCOPE_SPANS)]);
/// `ExportTraceServiceRequest`, by the numbers of its fields in opentelemetry-proto.
const REQUEST: Shape = Shape(&[(1, &RESOURCE_SPANS)]);

const NUMBER: Shape = Shape(&[(7, &LEAF), (5, &EXEMPLAR)]);
const EXEMPLAR: Shape = Shape(&[(7, &LEAF)]);
const NUMBERS: Shape = Shape(&[(1, &NUMBER)]);
const HISTOGRAM: Shape = Shape(&[(1, &Shape(&[(9, &LEAF), (8, &EXEMPLAR)]))]);
const EXPONENTIAL: Shape = Shape(&[(1, &Shape(&[(1, &LEAF), (11, &EXEMPLAR)]))]);
const SUMMARY: Shape = Shape(&[(1, &Shape(&[(7, &LEAF), (6, &LEAF)]))]);
const METRIC: Shape = Shape(&[
    (5, &NUMBERS),
    (7, &NUMBERS),
    (9, &HISTOGRAM),
    (10, &EXPONENTIAL),
    (11, &SUMMARY),
    (12, &LEAF),
]);
const SCOPE_METRICS: Shape = Shape(&[(1, &SCOPE), (2, &METRIC)]);
const RESOURCE_METRICS: Shape = Shape(&[(1, &WITH_ATTRIBUTES_1), (2, &SCOPE_METRICS)]);
/// `ExportMetricsServiceRequest`.
const METRICS: Shape = Shape(&[(1, &RESOURCE_METRICS)]);

const LOG_RECORD: Shape = Shape(&[(6, &LEAF)]);
const SCOPE_LOGS: Shape = Shape(&[(1, &SCOPE), (2, &LOG_RECORD)]);
const RESOURCE_LOGS: Shape = Shape(&[(1, &WITH_ATTRIBUTES_1), (2, &SCOPE_LOGS)]);
/// `ExportLogsServiceRequest`.
const LOGS: Shape = Shape(&[(1, &RESOURCE_LOGS)]);

/// Refuses a protobuf request of more than `max` elements. What is malformed counts up to there:
/// the decoder will say what is wrong.
pub(super) fn check_protobuf(message: &[u8], max: usize) -> Result<(), TooMany> {
    let mut left = max;
    count(message, &REQUEST, &mut left).ok_or(TooMany(max))
}

/// The same for a request of metrics.
pub(super) fn check_metrics(message: &[u8], max: usize) -> Result<(), TooMany> {
    let mut left = max;
    count(message, &METRICS, &mut left).ok_or(TooMany(max))
}

/// The same for a request of logs.
pub(super) fn check_logs(message: &[u8], max: usize) -> Result<(), TooMany> {
    let mut left = max;
    count(message, &LOGS, &mut left).ok_or(TooMany(max))
}

/// Refuses a JSON request of more than `max` objects; an attribute is two.
pub(super) fn check_json(body: &[u8], max: usize) -> Result<(), TooMany> {
    let mut objects = 0;
    for byte in body {
        objects += usize::from(*byte == b'{');
    }
    if objects > max.saturating_mul(2) { Err(TooMany(max)) } else { Ok(()) }
}

/// `None` when there are more than `left`.
fn count(mut message: &[u8], shape: &Shape, left: &mut usize) -> Option<()> {
    while !message.is_empty() {
        let Ok((field, wire_type)) = decode_key(&mut message) else { return Some(()) };
        let skipped = match wire_type {
            WireType::Varint => {
                if decode_varint(&mut message).is_err() {
                    return Some(());
                }
                0
            }
            WireType::ThirtyTwoBit => 4,
            WireType::SixtyFourBit => 8,
            WireType::LengthDelimited => {
                let Ok(length) = decode_varint(&mut message) else { return Some(()) };
                usize::try_from(length).unwrap_or(usize::MAX)
            }
            // Groups are in no message of ours.
            WireType::StartGroup | WireType::EndGroup => return Some(()),
        };
        let Some((part, rest)) = message.split_at_checked(skipped) else { return Some(()) };
        message = rest;
        let known = shape.0.iter().find(|(number, _)| *number == field);
        if let (Some((_, inner)), WireType::LengthDelimited) = (known, wire_type) {
            *left = left.checked_sub(1)?;
            count(part, inner, left)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{TooMany, check_json, check_protobuf};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::KeyValue;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use prost::Message;

    fn request(spans: usize, attributes: usize) -> Vec<u8> {
        let attributes = vec![KeyValue::default(); attributes];
        let spans = vec![Span { attributes, name: "x".into(), ..Span::default() }; spans];
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    #[test]
    fn spans_and_attributes_count() {
        // Two for the resource's and the scope's list, five spans, fifteen attributes.
        let message = request(5, 3);
        assert_eq!(check_protobuf(&message, 22), Ok(()));
        assert_eq!(check_protobuf(&message, 21), Err(TooMany(21)));
    }

    #[test]
    fn what_is_malformed_is_left_to_the_decoder() {
        let message = request(5, 3);
        for end in 0..message.len() {
            assert_eq!(check_protobuf(&message[..end], 22), Ok(()), "cut at {end}");
        }
        assert_eq!(check_protobuf(&[0xff; 40], 1), Ok(()));
    }

    #[test]
    fn objects_count() {
        assert_eq!(check_json(br#"[{}, {}, {}, {}]"#, 2), Ok(()));
        assert_eq!(check_json(br#"[{}, {}, {}, {}, {}]"#, 2), Err(TooMany(2)));
    }
}
