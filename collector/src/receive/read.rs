//! Makes rows of a request's bytes, the same for both transports, and the same after a restart.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::body::{BodyError, decompress};
use super::size::{self, TooMany};
use super::{RequestLimits, json};
use crate::decode::{self, Decoded, Limits, StoredStacks};
use crate::log::Entry;
use crate::request::{Format, Kind, Signal};

/// A body that was taken is not larger than this once decompressed, whatever the limit is set to at
/// the next start, bytes.
const TAKEN_BYTES_MAX: usize = 1 << 30;

/// Why no rows can be made of a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// More than the limits allow.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// Does not decompress.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// What it should be, and what is wrong with it.
    #[error("no {0} request: {1}")]
    Corrupt(&'static str, String),
    /// The log says of it what this version does not know.
    #[error("no request that this version knows")]
    Kind,
}

/// Rows of a decompressed request that arrives at `received_ns`, within the limits. Stacks that are
/// stored may be missing.
pub(super) fn rows(
    (signal, format): (Signal, Format),
    body: Bytes,
    (limits, stored): (&RequestLimits, Option<&StoredStacks>),
    received_ns: u64,
) -> Result<Decoded, Unreadable> {
    if (signal, format) == (Signal::Traces, Format::Protobuf) {
        let max = limits.elements_max;
        if let Ok(rows) = decode::decode_directly(&body, &limits.span, max, stored, received_ns) {
            return Ok(rows);
        }
    }
    match (signal, format) {
        (Signal::Metrics, Format::Protobuf) => size::check_metrics(&body, limits.elements_max)?,
        (Signal::Logs, Format::Protobuf) => size::check_logs(&body, limits.elements_max)?,
        (_, Format::Protobuf) => size::check_protobuf(&body, limits.elements_max)?,
        (_, Format::Json) => size::check_json(&body, limits.elements_max)?,
    }
    parse((signal, format), body, &limits.span, received_ns)
}

/// The same rows again, of a request that was taken before and comes from the log.
pub(crate) fn rows_again(entry: &Entry, limits: &Limits) -> Result<Decoded, Unreadable> {
    let kind = Kind::of_label(entry.label).ok_or(Unreadable::Kind)?;
    let body = decompress(&entry.bytes, kind.encoding, TAKEN_BYTES_MAX)?;
    if (kind.signal, kind.format) == (Signal::Traces, Format::Protobuf)
        && let Ok(rows) = decode::decode_directly(&body, limits, usize::MAX, None, entry.time_ns)
    {
        return Ok(rows);
    }
    parse((kind.signal, kind.format), body, limits, entry.time_ns)
}

fn parse(
    of: (Signal, Format),
    body: Bytes,
    limits: &Limits,
    received_ns: u64,
) -> Result<Decoded, Unreadable> {
    let what = match of.0 {
        Signal::Traces => "trace",
        Signal::Metrics => "metrics",
        Signal::Logs => "logs",
    };
    let corrupt = |error: String| Unreadable::Corrupt(what, error);
    if of.0 == Signal::Metrics {
        let request = match of.1 {
            Format::Json => json::metrics_request(&body).map_err(|error| error.to_string()),
            Format::Protobuf => {
                ExportMetricsServiceRequest::decode(body).map_err(|error| error.to_string())
            }
        };
        return Ok(decode::decode_metrics(request.map_err(corrupt)?, limits, received_ns));
    }
    if of == (Signal::Logs, Format::Json) {
        // They are taken to be passed on, and make no rows.
        let read = serde_json::from_slice::<serde::de::IgnoredAny>(&body);
        return read.map(|_| Decoded::default()).map_err(|error| corrupt(error.to_string()));
    }
    if of.0 == Signal::Logs {
        let request = ExportLogsServiceRequest::decode(body);
        let request = request.map_err(|error| corrupt(error.to_string()))?;
        return Ok(decode::decode_logs(request, limits, received_ns));
    }
    let request = match of.1 {
        Format::Json => json::trace_request(&body).map_err(|error| error.to_string()),
        Format::Protobuf => {
            ExportTraceServiceRequest::decode(body).map_err(|error| error.to_string())
        }
    };
    Ok(decode::decode(request.map_err(corrupt)?, limits, received_ns))
}
