//! OTLP over HTTP, protobuf and JSON on one port.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{BoxError, Router};
use bytes::BytesMut;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use tonic::Code;

use super::admit::{self, Sender};
use super::arriving::{Arriving, Unarrived};
use super::body::{self, BodyError};
use super::read::{self, Unreadable};
use super::size::TooMany;
use super::{INLINE_BYTES_MAX, RETRY_AFTER_SECONDS, Receiver, RequestLimits};
use crate::access::{CHALLENGE, Refusal};
use crate::batch::NotTaken;
use crate::clock::now_ns;
use crate::decode::{Decoded, StoredStacks};
use crate::metrics::Transport;
use crate::request::{Encoding, Format, Kind, Request as Taken, Signal, fingerprint};

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
        .layer(from_fn_with_state(receiver.clone(), admitted))
        .with_state(receiver)
}

/// Lets requests in that may send.
async fn admitted(State(receiver): State<Receiver>, mut request: Request, next: Next) -> Response {
    match admit::judge(&receiver, &mut request, Transport::Http) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            let format = format_of(request.headers());
            not_admitted(&refusal, format.unwrap_or(Format::Json))
        }
    }
}

fn not_admitted(reason: &Refusal, format: Format) -> Response {
    if !reason.is_of_identity() {
        let code = Code::PermissionDenied;
        return refusal(Some(format), StatusCode::FORBIDDEN, code, &reason.to_string());
    }
    let (status, code) = (StatusCode::UNAUTHORIZED, Code::Unauthenticated);
    let mut response = refusal(Some(format), status, code, &reason.to_string());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    response
}

/// What a format is called in `Content-Type`.
fn media_type(format: Format) -> &'static str {
    match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    }
}

/// The request's format, if it is one of ours.
fn format_of(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let named = value.split(';').next().unwrap_or_default().trim();
    let is = |format: Format| named.eq_ignore_ascii_case(media_type(format));
    [Format::Protobuf, Format::Json].into_iter().find(|format| is(*format))
}

async fn export(State(receiver): State<Receiver>, request: Request, signal: Signal) -> Response {
    let Some(format) = format_of(request.headers()) else {
        receiver.metrics.refused(Transport::Http, "media_type");
        let text = "send application/x-protobuf or application/json, and say so in Content-Type";
        return refusal(None, StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, text);
    };
    match answer(&receiver, request, format, signal).await {
        Ok(response) => success(format, &response),
        Err(refused) => {
            if let Some(reason) = refused.counted_as() {
                receiver.metrics.refused(Transport::Http, reason);
            }
            refused.into_response(format)
        }
    }
}

async fn answer(
    receiver: &Receiver,
    request: Request,
    format: Format,
    signal: Signal,
) -> Result<ExportTraceServiceResponse, Refused> {
    let (mut parts, body) = request.into_parts();
    let sender = parts.extensions.remove::<Sender>();
    let bytes_max = receiver.limits.http_bytes_max;
    // A body that does not tell its length may take all that is allowed.
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let mut room = receiver.intake.reserve(length.unwrap_or(bytes_max).min(bytes_max))?;
    let body = receive(body, length.unwrap_or(0), bytes_max).await?;
    if signal == Signal::Logs && format == Format::Json && !receiver.forwards {
        return Ok(receiver.not_kept(signal));
    }
    let encoding = parts.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let encoding = body::encoding(&String::from_utf8_lossy(encoding.unwrap_or_default()))?;
    let limits = Arc::clone(&receiver.limits);
    let stored = Arc::clone(receiver.intake.stored_stacks());
    let inline = encoding == Encoding::Plain && body.len() <= INLINE_BYTES_MAX;
    let kind = Kind { signal, format, encoding };
    let work = move || taken(kind, body, (&limits, &stored));
    let read = receiver.work(inline, work).await.unwrap_or(Err(Refused::Failed));
    let (request, mut rows, bytes) = read?;
    admit::may_send(receiver, sender, kind, &mut rows)?;
    room.resize(bytes.min(bytes_max))?;
    Ok(receiver.answer(request, rows, room, Transport::Http).await?)
}

/// A body as the log keeps it, its rows, and how many bytes it is once decompressed.
fn taken(
    kind: Kind,
    body: Bytes,
    (limits, stored): (&RequestLimits, &StoredStacks),
) -> Result<(Taken, Decoded, usize), Refused> {
    let received_ns = now_ns();
    let plain = body::decompress(&body, kind.encoding, limits.http_bytes_max)?;
    let bytes = plain.len();
    let fingerprint = fingerprint(kind.signal, &plain);
    let rows = read::rows((kind.signal, kind.format), plain, (limits, Some(stored)), received_ns)?;
    Ok((Taken { kind, received_ns, body, fingerprint }, rows, bytes))
}

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    TooMany(TooMany),
    #[error("the body is {0}")]
    Corrupt(Unreadable),
    #[error("{0}")]
    Slow(Unarrived),
    #[error("reading the body failed, which is a bug in holdup")]
    Failed,
    #[error(transparent)]
    NotAdmitted(#[from] Refusal),
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

impl From<Unreadable> for Refused {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::TooMany(too_many) => Self::TooMany(too_many),
            Unreadable::Body(error) => Self::Body(error),
            corrupt => Self::Corrupt(corrupt),
        }
    }
}

impl Refused {
    /// Its reason on `/metrics`; what is only put off is not counted as refused.
    fn counted_as(&self) -> Option<&'static str> {
        match self {
            Self::Body(_) | Self::TooMany(_) | Self::Slow(_) => Some("body"),
            Self::Corrupt(_) | Self::Failed => Some("corrupt"),
            Self::NotTaken(_) | Self::NotAdmitted(_) => None,
        }
    }

    fn into_response(self, format: Format) -> Response {
        let (status, code) = match &self {
            Self::Body(BodyError::Encoding(_)) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unimplemented)
            }
            Self::Body(BodyError::TooLarge(_)) | Self::TooMany(_) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted)
            }
            Self::Body(BodyError::Corrupt { .. }) | Self::Corrupt(_) => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Self::Slow(_) => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            Self::Failed => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
            Self::NotAdmitted(reason) => return not_admitted(reason, format),
            Self::NotTaken(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        };
        let mut response = refusal(Some(format), status, code, &self.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS.into());
        }
        response
    }
}

/// Reads a body, of so many bytes as its sender says. What came is copied before more comes, while
/// it is at hand.
async fn receive(body: Body, length: usize, bytes_max: usize) -> Result<Bytes, Refused> {
    let mut body = Limited::new(Arriving::new(body), bytes_max);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(|error| unreceived(error, bytes_max))?.into_data() else {
            continue;
        };
        if whole.is_empty() {
            if body.is_end_stream() {
                return Ok(part);
            }
            whole.reserve(length.min(bytes_max));
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.freeze())
}

fn unreceived(error: BoxError, bytes_max: usize) -> Refused {
    if error.is::<LengthLimitError>() {
        return BodyError::TooLarge(bytes_max).into();
    }
    match error.downcast::<Unarrived>().map(|error| *error) {
        Ok(Unarrived::NotTaken(reason)) => reason.into(),
        Ok(slow @ (Unarrived::Late | Unarrived::Silent)) => Refused::Slow(slow),
        Ok(Unarrived::Broken(error)) => broken(&error),
        Err(error) => broken(&*error),
    }
}

fn broken(error: &dyn std::error::Error) -> Refused {
    BodyError::Corrupt { encoding: "HTTP body", reason: error.to_string() }.into()
}

fn success(format: Format, response: &ExportTraceServiceResponse) -> Response {
    let body = match format {
        Format::Protobuf => response.encode_to_vec(),
        Format::Json => json_response(response).to_string().into_bytes(),
    };
    ([(CONTENT_TYPE, media_type(format))], body).into_response()
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
    (status, [(CONTENT_TYPE, media_type(format))], body).into_response()
}
