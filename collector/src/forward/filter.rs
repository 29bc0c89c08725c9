//! Leaves out of a request what the crate `holdup` sends, which is known by its scope.

use bytes::Bytes;
use holdup::contract;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use prost::Message;
use serde_json::Value;

use crate::receive::decompress;
use crate::request::{Format, Kind, Signal};

/// What is left of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// All of it.
    AsItCame,
    /// This, which is not compressed.
    Rest(Vec<u8>),
    /// Nothing.
    Nothing,
}

/// A body that was taken is not larger than this once decompressed, bytes.
const BYTES_MAX: usize = 1 << 30;

/// A request without what is ours; the text says why it can't be told.
pub(super) fn others(kind: Kind, bytes: &Bytes) -> Result<Body, String> {
    let plain = decompress(bytes, kind.encoding, BYTES_MAX).map_err(|error| error.to_string())?;
    match kind.format {
        Format::Protobuf => of_protobuf(kind.signal, plain).map_err(|error| error.to_string()),
        Format::Json => of_json(kind.signal, &plain).map_err(|error| error.to_string()),
    }
}

fn is_ours(scope: &str) -> bool {
    let rest = scope.strip_prefix(contract::SCOPE);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_others(scope: Option<&InstrumentationScope>) -> bool {
    scope.is_none_or(|scope| !is_ours(&scope.name))
}

/// What is left when of `before` groups of a scope `after` are others'.
fn left(before: usize, after: usize, request: impl FnOnce() -> Vec<u8>) -> Body {
    match after {
        all if all == before => Body::AsItCame,
        0 => Body::Nothing,
        _ => Body::Rest(request()),
    }
}

/// The three signals have messages of one shape and of different types.
macro_rules! left_of {
    ($request:ty, $body:ident, $groups:ident, $scopes:ident) => {{
        let mut request = <$request>::decode($body)?;
        let (mut before, mut after) = (0, 0);
        request.$groups.retain_mut(|group| {
            before += group.$scopes.len();
            group.$scopes.retain(|of_scope| is_others(of_scope.scope.as_ref()));
            after += group.$scopes.len();
            !group.$scopes.is_empty()
        });
        Ok(left(before, after, || request.encode_to_vec()))
    }};
}

fn of_protobuf(signal: Signal, body: Bytes) -> Result<Body, prost::DecodeError> {
    match signal {
        Signal::Traces => left_of!(ExportTraceServiceRequest, body, resource_spans, scope_spans),
        Signal::Metrics => {
            left_of!(ExportMetricsServiceRequest, body, resource_metrics, scope_metrics)
        }
        Signal::Logs => left_of!(ExportLogsServiceRequest, body, resource_logs, scope_logs),
    }
}

/// JSON is kept as it is, but for the scopes that are left out: fields that we don't know stay.
fn of_json(signal: Signal, body: &[u8]) -> Result<Body, serde_json::Error> {
    let (groups, scopes) = match signal {
        Signal::Traces => ("resourceSpans", "scopeSpans"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics"),
        Signal::Logs => ("resourceLogs", "scopeLogs"),
    };
    let mut request: Value = serde_json::from_slice(body)?;
    let Some(Value::Array(groups)) = request.get_mut(groups) else { return Ok(Body::AsItCame) };
    let (mut before, mut after) = (0, 0);
    groups.retain_mut(|group| {
        let Some(Value::Array(scopes)) = group.get_mut(scopes) else { return true };
        before += scopes.len();
        scopes.retain(|of_scope| {
            let name = of_scope.pointer("/scope/name").and_then(Value::as_str);
            !name.is_some_and(is_ours)
        });
        after += scopes.len();
        !scopes.is_empty()
    });
    Ok(left(before, after, || request.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{Body, others};
    use crate::request::{Encoding, Format, Kind, Signal};
    use bytes::Bytes;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
    use prost::Message;

    const TRACES: Kind =
        Kind { signal: Signal::Traces, format: Format::Protobuf, encoding: Encoding::Plain };

    fn of_scopes(groups: &[&[&str]]) -> ExportTraceServiceRequest {
        let scoped = |name: &&str| ScopeSpans {
            scope: Some(InstrumentationScope { name: (*name).into(), ..Default::default() }),
            ..ScopeSpans::default()
        };
        let group = |names: &&[&str]| ResourceSpans {
            scope_spans: names.iter().map(scoped).collect(),
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: groups.iter().map(group).collect() }
    }

    #[test]
    fn only_what_is_ours_is_left_out() {
        let left =
            |groups: &[&[&str]]| others(TRACES, &of_scopes(groups).encode_to_vec().into()).unwrap();
        assert_eq!(left(&[&["app"], &["holdups", "x.holdup"]]), Body::AsItCame);
        assert_eq!(left(&[]), Body::AsItCame);
        assert_eq!(left(&[&["holdup", "holdup.await"]]), Body::Nothing);
        let rest = of_scopes(&[&["app"]]).encode_to_vec();
        assert_eq!(left(&[&["holdup", "app"], &["holdup"]]), Body::Rest(rest));
    }

    #[test]
    fn json_keeps_what_is_not_known() {
        let kind = Kind { format: Format::Json, signal: Signal::Logs, ..TRACES };
        let left = |json: &'static str| others(kind, &Bytes::from_static(json.as_bytes()));
        let mixed = r#"{"resourceLogs": [{"later": 1, "scopeLogs": [{"scope": {"name": "holdup"}},
            {"scope": {"name": "app"}, "more": [2]}]}], "and": null}"#;
        let Ok(Body::Rest(rest)) = left(mixed) else { panic!("a rest") };
        let rest: serde_json::Value = serde_json::from_slice(&rest).unwrap();
        let expected = serde_json::json!({"and": null, "resourceLogs": [{"later": 1,
            "scopeLogs": [{"scope": {"name": "app"}, "more": [2]}]}]});
        assert_eq!(rest, expected);
        assert_eq!(left(r#"{"resourceLogs": [{}]}"#), Ok(Body::AsItCame));
        assert!(left("[").is_err());
    }

    #[test]
    fn a_compressed_request_is_read() {
        let body = zstd::encode_all(&of_scopes(&[&["holdup"]]).encode_to_vec()[..], 3).unwrap();
        let kind = Kind { encoding: Encoding::Zstd, ..TRACES };
        assert_eq!(others(kind, &body.into()), Ok(Body::Nothing));
    }
}
