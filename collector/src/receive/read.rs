//! Makes rows of a request's bytes, the same for both transports.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::size::{self, TooMany};
use super::{RequestLimits, Signal, json};
use crate::clock::now_ns;
use crate::decode::{self, Decoded};

/// Why no rows can be made of a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// What it should be, and what is wrong with it.
    #[error("no {0} request: {1}")]
    Corrupt(&'static str, String),
}

/// Rows of a protobuf message. The signals that are kept are traces and metrics.
pub(super) fn protobuf(
    signal: Signal,
    message: Bytes,
    limits: &RequestLimits,
) -> Result<Decoded, Unreadable> {
    if signal == Signal::Metrics {
        size::check_metrics(&message, limits.elements_max)?;
        let request = ExportMetricsServiceRequest::decode(message)
            .map_err(|error| Unreadable::Corrupt("metrics", error.to_string()))?;
        return Ok(decode::decode_metrics(request, &limits.span, now_ns()));
    }
    size::check_protobuf(&message, limits.elements_max)?;
    let request = ExportTraceServiceRequest::decode(message)
        .map_err(|error| Unreadable::Corrupt("trace", error.to_string()))?;
    Ok(decode::decode(request, &limits.span, now_ns()))
}

/// Rows of a request in OTLP's JSON.
pub(super) fn json(
    signal: Signal,
    body: &[u8],
    limits: &RequestLimits,
) -> Result<Decoded, Unreadable> {
    size::check_json(body, limits.elements_max)?;
    if signal == Signal::Metrics {
        let request = json::metrics_request(body)
            .map_err(|error| Unreadable::Corrupt("metrics", error.to_string()))?;
        return Ok(decode::decode_metrics(request, &limits.span, now_ns()));
    }
    let request = json::trace_request(body)
        .map_err(|error| Unreadable::Corrupt("trace", error.to_string()))?;
    Ok(decode::decode(request, &limits.span, now_ns()))
}
