//! Takes OTLP requests, over gRPC and over HTTP.
//!
//! A request is acknowledged once its rows are in ClickHouse, and never before.

mod body;
mod grpc;
mod http;
mod json;

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};

use crate::clock::now_ns;
use crate::decode::{self, Decoded, Limits};
use crate::metrics::{Metrics, Transport};
use crate::store::{Intake, NotTaken};

pub(crate) use grpc::routes as grpc_routes;
pub(crate) use http::routes as http_routes;

/// Bounds on requests.
#[derive(Clone, Debug)]
pub(crate) struct RequestLimits {
    /// Largest gRPC message, decompressed, bytes.
    pub(crate) grpc_bytes_max: usize,
    /// Largest HTTP body, compressed and decompressed alike, bytes.
    pub(crate) http_bytes_max: usize,
    /// Bounds on single spans.
    pub(crate) span: Limits,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { grpc_bytes_max: 4 << 20, http_bytes_max: 20 << 20, span: Limits::default() }
    }
}

/// How long a client that was turned away should wait before it comes again, s.
const RETRY_AFTER_SECONDS: u64 = 5;

/// A body up to this length is read where it arrives, bytes.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// What the two transports share.
#[derive(Clone)]
pub(crate) struct Receiver {
    intake: Intake,
    limits: Arc<RequestLimits>,
    metrics: Arc<Metrics>,
}

/// The signals of OTLP, of which only the first makes rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

impl Receiver {
    /// A receiver that hands over to `intake`.
    pub(crate) fn new(intake: Intake, limits: RequestLimits, metrics: Arc<Metrics>) -> Self {
        Self { intake, limits: Arc::new(limits), metrics }
    }

    /// Reads a body of this length and makes rows of it: off the runtime where that would hold a
    /// worker for more than a millisecond or so.
    async fn rows<P>(&self, bytes: usize, parse: P) -> Result<Decoded, String>
    where
        P: FnOnce() -> Result<ExportTraceServiceRequest, String> + Send + 'static,
    {
        let limits = Arc::clone(&self.limits);
        let work = move || Ok(decode::decode(parse()?, &limits.span, now_ns()));
        if bytes <= INLINE_BYTES_MAX {
            return work();
        }
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|_| Err("reading it failed; this is a bug in holdup".into()))
    }

    /// Stores rows and tells what is owed to their sender.
    async fn traces(
        &self,
        rows: Decoded,
        transport: Transport,
    ) -> Result<ExportTraceServiceResponse, NotTaken> {
        let counts = rows.counts.clone();
        let (polls, suspects) = (rows.polls.len(), rows.suspects.len());
        if rows.rows() > 0 {
            self.intake.store(rows).await?;
        }
        self.metrics.received(transport, &counts, polls, suspects);
        let partial_success = counts.first_rejection.map(|reason| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(counts.rejected).unwrap_or(i64::MAX),
            error_message: format!(
                "{} poll spans can't be used; the first: {reason}",
                counts.rejected
            ),
        });
        Ok(ExportTraceServiceResponse { partial_success })
    }

    /// The answer to a signal of which nothing is kept. The answers to all signals are of one shape.
    fn not_kept(&self, signal: Signal) -> ExportTraceServiceResponse {
        self.metrics.not_kept(signal.name());
        let signal = signal.name();
        ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 0,
                error_message: format!(
                    "holdup keeps traces only and dropped these {signal}: send them elsewhere \
                     (OTEL_EXPORTER_OTLP_{}_ENDPOINT)",
                    signal.to_ascii_uppercase()
                ),
            }),
        }
    }
}
