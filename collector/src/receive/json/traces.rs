//! A request of traces.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde::Deserialize;

use super::{Hex, Integer, JsonKeyValue, JsonResource, JsonScope, attributes, nullable};

/// Reads a request; the error tells the line, the column and what was expected.
pub(in super::super) fn trace_request(
    body: &[u8],
) -> Result<ExportTraceServiceRequest, serde_json::Error> {
    serde_json::from_slice::<Request>(body).map(Into::into)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    #[serde(deserialize_with = "nullable")]
    resource_spans: Vec<JsonResourceSpans>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonResourceSpans {
    #[serde(deserialize_with = "nullable")]
    resource: JsonResource,
    #[serde(deserialize_with = "nullable")]
    scope_spans: Vec<JsonScopeSpans>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonScopeSpans {
    #[serde(deserialize_with = "nullable")]
    scope: JsonScope,
    #[serde(deserialize_with = "nullable")]
    spans: Vec<JsonSpan>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonSpan {
    #[serde(deserialize_with = "nullable")]
    trace_id: Hex,
    #[serde(deserialize_with = "nullable")]
    span_id: Hex,
    #[serde(deserialize_with = "nullable")]
    parent_span_id: Hex,
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[serde(deserialize_with = "nullable")]
    start_time_unix_nano: Integer<u64>,
    #[serde(deserialize_with = "nullable")]
    end_time_unix_nano: Integer<u64>,
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<Option<JsonKeyValue>>,
}

impl From<Request> for ExportTraceServiceRequest {
    fn from(from: Request) -> Self {
        Self { resource_spans: from.resource_spans.into_iter().map(Into::into).collect() }
    }
}

impl From<JsonResourceSpans> for ResourceSpans {
    fn from(from: JsonResourceSpans) -> Self {
        Self {
            resource: Some(from.resource.into()),
            scope_spans: from.scope_spans.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

impl From<JsonScopeSpans> for ScopeSpans {
    fn from(from: JsonScopeSpans) -> Self {
        let spans = from.spans.into_iter().map(Into::into).collect();
        Self { scope: Some(from.scope.into()), spans, ..Self::default() }
    }
}

impl From<JsonSpan> for Span {
    fn from(from: JsonSpan) -> Self {
        Self {
            trace_id: from.trace_id.0,
            span_id: from.span_id.0,
            parent_span_id: from.parent_span_id.0,
            name: from.name,
            start_time_unix_nano: from.start_time_unix_nano.0.unwrap_or(0),
            end_time_unix_nano: from.end_time_unix_nano.0.unwrap_or(0),
            attributes: attributes(from.attributes),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::trace_request;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    fn read(json: &str) -> Result<super::ExportTraceServiceRequest, String> {
        trace_request(json.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn the_specifications_forms_are_read() {
        let request = read(
            r#"{"unknown": [{}], "resource_spans": 7, "resourceSpans": [{
                "resource": {"attributes": [
                    {"key": "service.name", "value": {"stringValue": "shop"}}, {"key": "x"},
                    {"value": {"doubleValue": "NaN"}, "key": "y"}, {"key": "z", "value": {}}]},
                "scopeSpans": [{"scope": {"version": "1", "name": "holdup"}, "spans": [
                    {"traceId": "0123456789ABCDEF0123456789abcdef", "spanId": "00000000000000ff",
                     "parentSpanId": null, "kind": 1, "startTimeUnixNano": "18446744073709551615",
                     "endTimeUnixNano": 5, "name": "poll f", "events": null, "attributes": [
                        {"key": "a", "value": {"intValue": "-9223372036854775808"}},
                        {"key": "b", "value": {"intValue": 3}},
                        {"key": "c", "value": {"boolValue": true}}]}]}]}]}"#,
        )
        .unwrap();
        let of_resource = &request.resource_spans[0];
        assert_eq!(of_resource.resource.as_ref().unwrap().attributes.len(), 4);
        let span = &of_resource.scope_spans[0].spans[0];
        assert_eq!((span.trace_id[0], span.trace_id[15], span.span_id[7]), (0x01, 0xef, 0xff));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (u64::MAX, 5));
        let values: Vec<_> =
            span.attributes.iter().map(|a| a.value.clone().unwrap().value.unwrap()).collect();
        let expected = [Value::IntValue(i64::MIN), Value::IntValue(3), Value::BoolValue(true)];
        assert_eq!(values, expected);
    }

    #[test]
    fn empty_requests_are_requests() {
        for json in ["{}", r#"{"resourceSpans": null}"#, r#"{"resourceSpans": []}"#] {
            assert_eq!(read(json).unwrap().resource_spans.len(), 0, "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (json, expected) in [
            (r#"{"resourceSpans": ["#, "EOF"),
            (r#"{"resourceSpans": 7}"#, "expected a sequence"),
            ("", "EOF"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(expected) && error.contains("line 1 column"), "{error}");
        }
    }

    #[test]
    fn one_wrong_value_costs_its_span_or_itself_only() {
        let request = read(
            r#"{"resourceSpans": [{"scopeSpans": [{"spans": [
                {"traceId": "xyz", "spanId": "abc", "endTimeUnixNano": "soon"},
                {"startTimeUnixNano": 1.5, "attributes": [null,
                    {"key": "a", "value": {"intValue": 1.5}},
                    {"key": "b", "value": {"intValue": "99999999999999999999"}},
                    {"key": "c", "value": {"stringValue": 7}}]}]}]}]}"#,
        )
        .unwrap();
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        assert!(spans[0].trace_id.is_empty() && spans[0].end_time_unix_nano == 0);
        let values = spans[1].attributes.iter().map(|a| a.value.clone().unwrap().value);
        assert_eq!(values.collect::<Vec<_>>(), [None, None, None]);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{{\"resourceSpans\": {}", "[".repeat(100_000));
        assert!(read(&deep).is_err());
    }
}
