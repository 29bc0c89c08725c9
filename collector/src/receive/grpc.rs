//! OTLP over gRPC. The codec hands over raw bytes, so that what is wrong with them is answered as
//! OTLP asks: INVALID_ARGUMENT for bad data, RESOURCE_EXHAUSTED for too much of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::post;
use bytes::{Buf, BufMut, Bytes};
use http_body_util::BodyExt;
use prost::Message;
use tokio::time::timeout;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::admit::{self, Sender};
use super::arriving::{Arriving, Unarrived};
use super::read::{self, Unreadable};
use super::{INLINE_BYTES_MAX, RETRY_AFTER_SECONDS, Receiver, RequestLimits};
use crate::access::Refusal;
use crate::batch::NotTaken;
use crate::clock::now_ns;
use crate::decode::{Decoded, StoredStacks};
use crate::metrics::Transport;
use crate::request::{Encoding, Format, Kind, Request as Taken, Signal, fingerprint};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// How long a request may take to be taken, its body included.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);

/// The gRPC services, as the HTTP/2 paths that they are.
pub(crate) fn routes(receiver: Receiver) -> Router {
    Router::new()
        .route(TRACES, post(|r, request| export(r, request, Signal::Traces)))
        .route(METRICS, post(|r, request| export(r, request, Signal::Metrics)))
        .route(LOGS, post(|r, request| export(r, request, Signal::Logs)))
        .layer(from_fn_with_state(receiver.clone(), admitted))
        .route(HEALTH, post(health))
        .fallback(|| async {
            Status::unimplemented("holdup serves OTLP's Export only")
                .into_http::<axum::body::Body>()
        })
        .with_state(receiver)
}

/// Lets requests in that may send. Whether it is healthy everybody may ask.
async fn admitted(State(receiver): State<Receiver>, mut request: Request, next: Next) -> Response {
    match admit::judge(&receiver, &mut request, Transport::Grpc) {
        Ok(()) => next.run(request).await,
        Err(refusal) => not_admitted(&refusal).into_http(),
    }
}

fn not_admitted(reason: &Refusal) -> Status {
    if reason.is_of_identity() {
        Status::unauthenticated(reason.to_string())
    } else {
        Status::permission_denied(reason.to_string())
    }
}

async fn export(State(receiver): State<Receiver>, request: Request, signal: Signal) -> Response {
    let metrics = Arc::clone(&receiver.metrics);
    let bytes_max = receiver.limits.grpc_bytes_max;
    let (mut head, body) = request.into_parts();
    let sender = head.extensions.remove::<Sender>();
    let body = match Arriving::into_room(body, &receiver.intake) {
        Ok(body) => body.map_err(unarrived),
        Err(reason) => return come_again(&reason).into_http(),
    };
    let request = Request::from_parts(head, body);
    let mut grpc = tonic::server::Grpc::new(RawCodec)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .max_decoding_message_size(bytes_max);
    let service = tower::service_fn(move |request: tonic::Request<Bytes>| {
        let (receiver, sender) = (receiver.clone(), sender.clone());
        async move { answer(&receiver, sender, request.into_inner(), signal).await }
    });
    let Ok(response) = timeout(REQUEST_TIME_MAX, grpc.unary(service, request)).await else {
        metrics.refused(Transport::Grpc, "body");
        let text = format!("the request took longer than {} s", REQUEST_TIME_MAX.as_secs());
        return Status::deadline_exceeded(text).into_http();
    };
    let mut response = response.map(axum::body::Body::new);
    // What tonic itself refuses: it reports a message over the limit as OUT_OF_RANGE, which clients
    // try again, and one that does not decompress or ends too early as INTERNAL.
    if let Some(status) = response.headers_mut().get_mut("grpc-status") {
        let (code, reason) = match status.as_bytes() {
            b"4" => ("4", "body"),
            b"11" => ("8", "body"),
            b"13" => ("3", "corrupt"),
            _ => return response,
        };
        *status = HeaderValue::from_static(code);
        metrics.refused(Transport::Grpc, reason);
    }
    response
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`: 1 is SERVING, 2 NOT_SERVING.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

async fn health(State(receiver): State<Receiver>, request: Request) -> Response {
    let service = tower::service_fn(|request: tonic::Request<Bytes>| {
        let taking = receiver.intake.refusing().is_none();
        std::future::ready(check(taking, request.into_inner()))
    });
    let mut grpc = tonic::server::Grpc::new(RawCodec);
    grpc.unary(service, request).await.map(axum::body::Body::new)
}

fn check(taking: bool, message: Bytes) -> Result<tonic::Response<Bytes>, Status> {
    let request = HealthCheckRequest::decode(message)
        .map_err(|error| Status::invalid_argument(format!("no health request: {error}")))?;
    let service_of = |path: &'static str| path.trim_matches('/').strip_suffix("/Export");
    let known = [TRACES, METRICS, LOGS].map(service_of);
    if !request.service.is_empty() && !known.contains(&Some(request.service.as_str())) {
        return Err(Status::not_found("there is no such service"));
    }
    let status = if taking { 1 } else { 2 };
    Ok(tonic::Response::new(HealthCheckResponse { status }.encode_to_vec().into()))
}

async fn answer(
    receiver: &Receiver,
    sender: Option<Sender>,
    message: Bytes,
    signal: Signal,
) -> Result<tonic::Response<Bytes>, Status> {
    let room = receiver.intake.reserve(message.len()).map_err(|reason| come_again(&reason))?;
    let limits = Arc::clone(&receiver.limits);
    let stored = Arc::clone(receiver.intake.stored_stacks());
    let inline = message.len() <= INLINE_BYTES_MAX;
    let work = move || taken(signal, message, (&limits, &stored)).map_err(refused);
    let read = receiver.work(inline, work).await;
    let read = read.unwrap_or_else(|| Err(Status::unknown("reading the message failed")));
    let read = read.inspect_err(|_| receiver.metrics.refused(Transport::Grpc, "corrupt"))?;
    let (request, mut rows) = read;
    let admitted = admit::may_send(receiver, sender, request.kind, &mut rows);
    admitted.map_err(|reason| not_admitted(&reason))?;
    let answered = receiver.answer(request, rows, room, Transport::Grpc).await;
    let response = answered.map_err(|reason| come_again(&reason))?;
    Ok(tonic::Response::new(response.encode_to_vec().into()))
}

/// A message as the log keeps it, and its rows. Its compression is the connection's affair.
fn taken(
    signal: Signal,
    message: Bytes,
    (limits, stored): (&RequestLimits, &StoredStacks),
) -> Result<(Taken, Decoded), Unreadable> {
    let kind = Kind { signal, format: Format::Protobuf, encoding: Encoding::Plain };
    let received_ns = now_ns();
    let fingerprint = fingerprint(signal, &message);
    let request = Taken { kind, received_ns, body: message.clone(), fingerprint };
    let rows = read::rows((signal, kind.format), message, (limits, Some(stored)), received_ns)?;
    Ok((request, rows))
}

fn refused(unreadable: Unreadable) -> Status {
    match unreadable {
        Unreadable::TooMany(too_many) => Status::resource_exhausted(too_many.to_string()),
        corrupt => {
            let text = format!("the message is {corrupt}");
            let details = ErrorDetails::with_bad_request_violation("message", &text);
            Status::with_error_details(Code::InvalidArgument, text, details)
        }
    }
}

/// What a client is told whose message did not come whole.
fn unarrived(error: Unarrived) -> Status {
    match error {
        Unarrived::Late | Unarrived::Silent => Status::deadline_exceeded(error.to_string()),
        Unarrived::NotTaken(reason) => come_again(&reason),
        Unarrived::Broken(error) => Status::from_error(Box::new(error)),
    }
}

/// UNAVAILABLE, with the time after which to try again.
fn come_again(reason: &NotTaken) -> Status {
    let wait = Duration::from_secs(RETRY_AFTER_SECONDS);
    let details = ErrorDetails::with_retry_info(Some(wait));
    Status::with_error_details(Code::Unavailable, reason.to_string(), details)
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Debug, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
