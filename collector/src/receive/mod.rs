//! Takes OTLP requests, over gRPC and over HTTP.
//!
//! A request is read, then written to the log, and acknowledged once it is on disk there. What is
//! not acknowledged is not kept.

mod admit;
mod arriving;
mod body;
#[cfg(test)]
mod direct_tests;
#[cfg(test)]
mod fuzz;
mod grpc;
mod http;
mod json;
#[cfg(feature = "kafka")]
mod message;
mod read;
mod size;

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::batch::{Intake, NotTaken, Room};
use crate::decode::{Decoded, Limits};
use crate::measured::Measured;
use crate::metrics::{Metrics, Transport};
use crate::request::{Request, Signal};

pub(crate) use body::decompress;
pub(crate) use grpc::routes as grpc_routes;
pub(crate) use http::routes as http_routes;
#[cfg(feature = "kafka")]
pub(crate) use message::Untaken;
pub(crate) use read::rows_again;

/// Bounds on requests.
#[derive(Clone, Debug)]
pub(crate) struct RequestLimits {
    /// Largest gRPC message, decompressed, bytes.
    pub(crate) grpc_bytes_max: usize,
    /// Largest HTTP body, compressed and decompressed alike, bytes.
    pub(crate) http_bytes_max: usize,
    /// Spans, attributes and events of one request.
    pub(crate) elements_max: usize,
    /// Bounds on single spans.
    pub(crate) span: Limits,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            grpc_bytes_max: 20 << 20,
            http_bytes_max: 20 << 20,
            elements_max: 1_000_000,
            span: Limits::default(),
        }
    }
}

/// How long a client that was turned away should wait before it comes again, s.
const RETRY_AFTER_SECONDS: u64 = 5;

/// A body up to this length is read where it arrives, bytes.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// Bodies that are read at a time off the runtime: each may take a multiple of its length.
const READING_MAX: usize = 4;

/// What the two transports share.
#[derive(Clone)]
pub(crate) struct Receiver {
    intake: Intake,
    limits: Arc<RequestLimits>,
    metrics: Arc<Metrics>,
    access: Arc<Access>,
    reading: Arc<Semaphore>,
    /// What makes no rows is taken as well, because it is passed on.
    forwards: bool,
}

impl Receiver {
    /// A receiver that hands over to `intake` what senders with access send.
    pub(crate) fn new(
        intake: Intake,
        limits: RequestLimits,
        metrics: Arc<Metrics>,
        access: Arc<Access>,
    ) -> Self {
        let reading = Arc::new(Semaphore::new(READING_MAX));
        Self { intake, limits: Arc::new(limits), metrics, access, reading, forwards: false }
    }

    /// The same, whose requests are passed on to another receiver as well.
    pub(crate) fn that_forwards(self) -> Self {
        Self { forwards: true, ..self }
    }

    /// Works on a body: off the runtime where that would hold a worker for more than a
    /// millisecond or so. `None` when the work panicked.
    async fn work<T, W>(&self, inline: bool, work: W) -> Option<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        if inline {
            return Some(work());
        }
        let turn = Arc::clone(&self.reading).acquire_owned().await.ok()?;
        let work = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Takes a request over and tells what is owed to its sender.
    async fn traces(
        &self,
        request: Request,
        rows: Decoded,
        room: Room,
        transport: Transport,
    ) -> Result<ExportTraceServiceResponse, NotTaken> {
        let counts = rows.counts.clone();
        let (polls, suspects) = (rows.polls.len(), rows.suspects.len());
        if rows.rows() > 0 || self.forwards {
            self.intake.take(request, rows, room).await?;
        }
        self.metrics.received(transport, &counts, polls, suspects);
        let refused = counts.first_rejection;
        Ok(refused.map_or_else(ExportTraceServiceResponse::default, |reason| {
            rejected(counts.rejected, Signal::Traces.of_ours(), reason)
        }))
    }

    /// Takes a request over, whatever it carries, and tells what is owed to its sender.
    async fn answer(
        &self,
        request: Request,
        rows: Decoded,
        room: Room,
        transport: Transport,
    ) -> Result<ExportTraceServiceResponse, NotTaken> {
        let signal = request.kind.signal;
        if signal == Signal::Traces {
            return self.traces(request, rows, room, transport).await;
        }
        let counts = rows.counts.clone();
        let Measured { histograms, gauges, tasks, .. } = &rows.measured;
        let points = histograms.len() + gauges.len() + tasks.len();
        if rows.rows() > 0 || self.forwards {
            self.intake.take(request, rows, room).await?;
        }
        self.metrics.measured(points, &counts);
        Ok(match counts.first_rejection {
            Some(reason) => rejected(counts.rejected, signal.of_ours(), reason),
            None if counts.metrics_ignored > 0 => self.not_kept(signal),
            None => ExportTraceServiceResponse::default(),
        })
    }

    /// The answer to a signal of which nothing is kept. The answers to all signals are of one shape.
    fn not_kept(&self, signal: Signal) -> ExportTraceServiceResponse {
        self.metrics.not_kept(signal.name());
        let signal = signal.name();
        ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 0,
                error_message: format!(
                    "holdup keeps its own {signal} only, and dropped these {signal}: send them elsewhere \
                     (OTEL_EXPORTER_OTLP_{}_ENDPOINT)",
                    signal.to_ascii_uppercase()
                ),
            }),
        }
    }
}

/// The answer to a request of which a part can't be used.
fn rejected(count: u64, what: &str, reason: &str) -> ExportTraceServiceResponse {
    ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: i64::try_from(count).unwrap_or(i64::MAX),
            error_message: format!("{count} {what} can't be used; the first: {reason}"),
        }),
    }
}
