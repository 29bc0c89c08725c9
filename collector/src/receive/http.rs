//! OTLP over HTTP, protobuf and JSON on one port.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tonic::Code;

use super::body::{BodyError, decompress};
use super::{RETRY_AFTER_SECONDS, Receiver, Signal, json};
use crate::metrics::Transport;

/// The HTTP endpoint.
pub(crate) fn routes(receiver: Receiver) -> Router {
    let wrong_method = |headers: HeaderMap| async move {
        let text = "use POST";
        refusal(format_of(&headers), StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, text)
    };
    let wrong_path = |headers: HeaderMap| async move {
        let text = "no such path: send to /v1/traces";
        refusal(format_of(&headers), StatusCode::NOT_FOUND, Code::NotFound, text)
    };
    let signal = |signal| {
        post(move |receiver, request| export(receiver, request, signal)).fallback(wrong_method)
    };
    Router::new()
        .route("/v1/traces", signal(Signal::Traces))
        .route("/v1/metrics", signal(Signal::Metrics))
        .route("/v1/logs", signal(Signal::Logs))
        .fallback(wrong_path)
        .with_state(receiver)
}

/// The two encodings of OTLP over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// The request's encoding, if it is one of ours.
fn format_of(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default().trim();
    let is = |format: Format| media_type.eq_ignore_ascii_case(format.media_type());
    [Format::Protobuf, Format::Json].into_iter().find(|format| is(*format))
}

async fn export(State(receiver): State<Receiver>, request: Request, signal: Signal) -> Response {
    let Some(format) = format_of(request.headers()) else {
        receiver.metrics.refused(Transport::Http, "media_type");
        let text = "send application/x-protobuf or application/json, and say so in Content-Type";
        return refusal(None, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, text);
    };
    let (parts, body) = request.into_parts();
    let bytes_max = receiver.limits.http_bytes_max;
    let body = match read(body, &parts.headers, bytes_max).await {
        Ok(body) => body,
        Err(error) => {
            receiver.metrics.refused(Transport::Http, "body");
            let (status, code) = match error {
                BodyError::Encoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented),
                BodyError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
                BodyError::Corrupt { .. } => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
            };
            return refusal(Some(format), status, code, &error.to_string());
        }
    };
    if signal != Signal::Traces {
        return success(format, &receiver.not_kept(signal));
    }
    let rows = match receiver.rows(body.len(), move || parse(format, body)).await {
        Ok(rows) => rows,
        Err(reason) => {
            receiver.metrics.refused(Transport::Http, "corrupt");
            let text = format!("the body is no trace request: {reason}");
            return refusal(Some(format), StatusCode::BAD_REQUEST, Code::InvalidArgument, &text);
        }
    };
    match receiver.traces(rows, Transport::Http).await {
        Ok(response) => success(format, &response),
        Err(reason) => {
            let text = reason.to_string();
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let mut response = refusal(Some(format), status, Code::Unavailable, &text);
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
            response
        }
    }
}

async fn read(body: Body, headers: &HeaderMap, bytes_max: usize) -> Result<Bytes, BodyError> {
    let body =
        axum::body::to_bytes(body, bytes_max).await.map_err(
            |error| match std::error::Error::source(&error) {
                Some(source) if source.is::<http_body_util::LengthLimitError>() => {
                    BodyError::TooLarge(bytes_max)
                }
                _ => BodyError::Corrupt { encoding: "HTTP body", reason: error.to_string() },
            },
        )?;
    let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(body) };
    let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
    decompress(&body, &encoding, bytes_max).map(Bytes::from)
}

fn parse(format: Format, body: Bytes) -> Result<ExportTraceServiceRequest, String> {
    match format {
        Format::Protobuf => ExportTraceServiceRequest::decode(body).map_err(|e| e.to_string()),
        Format::Json => json::trace_request(&body).map_err(|e| e.to_string()),
    }
}

fn success(format: Format, response: &ExportTraceServiceResponse) -> Response {
    let body = match format {
        Format::Protobuf => response.encode_to_vec(),
        Format::Json => json_response(response).to_string().into_bytes(),
    };
    ([(CONTENT_TYPE, format.media_type())], body).into_response()
}

fn json_response(response: &ExportTraceServiceResponse) -> serde_json::Value {
    match &response.partial_success {
        None => serde_json::json!({}),
        Some(partial) if partial.rejected_spans == 0 => {
            serde_json::json!({"partialSuccess": {"errorMessage": partial.error_message}})
        }
        Some(partial) => serde_json::json!({"partialSuccess": {
            "rejectedSpans": partial.rejected_spans.to_string(),
            "errorMessage": partial.error_message,
        }}),
    }
}

/// A `google.rpc.Status`, in the encoding of the request.
fn refusal(format: Option<Format>, status: StatusCode, code: Code, message: &str) -> Response {
    let format = format.unwrap_or(Format::Json);
    let code = i32::from(code);
    let body = match format {
        Format::Protobuf => {
            let details = Vec::new();
            tonic_types::Status { code, message: message.to_owned(), details }.encode_to_vec()
        }
        Format::Json => {
            serde_json::json!({"code": code, "message": message}).to_string().into_bytes()
        }
    };
    (status, [(CONTENT_TYPE, format.media_type())], body).into_response()
}
