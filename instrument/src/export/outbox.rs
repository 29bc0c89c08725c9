//! Spans that are to be sent, with a bound, and what to do when sending fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SpanData;

use crate::export::Target;
use crate::export::backlog::{Backlog, KeptSpan};
use crate::export::dumps::Dumps;
use crate::export::http::Failure;
use crate::export::metrics::Metrics;
use crate::export::otlp::Otlp;
use crate::export::provider::Provider;
use crate::findings::{self, Unreported};
use crate::install::InstallError;
use crate::polling::record;
use crate::tasks::settings::TaskDumps;

/// Spans in one request.
const BATCH_SPANS_MAX: usize = 512;
/// Bytes of them from which on no more are added: a request takes about as much twice again while it
/// is made.
pub(crate) const BATCH_BYTES_MAX: usize = 192 << 10;
/// How long a span waits for others to share its request.
const BATCH_AGE_MAX: Duration = Duration::from_millis(800);
/// Pauses between attempts, doubled from the one to the other.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// While a batch can't be sent, later records wait in the queue, and those that don't fit there are
/// dropped and counted: one batch and one queue are all the memory there is for them.
pub(super) struct Outbox {
    sink: Sink,
    backlog: Arc<Backlog>,
    batch: Vec<KeptSpan>,
    since: Instant,
    /// Sent with the batch, so that a batch which is sent again says the same.
    dropped: u64,
    outage: Option<Outage>,
    metrics: Option<Metrics>,
    /// The receiver takes no metrics, which was said.
    metrics_refused: bool,
    dumps: Dumps,
    /// What the last span to tell of it told.
    told: Unreported,
}

enum Sink {
    Otlp(Box<Otlp>),
    Provider(Provider),
}

/// Sending has failed, and not succeeded since.
struct Outage {
    next_attempt: Instant,
    pause: Duration,
}

impl Outbox {
    pub(super) fn open(
        target: Target,
        tasks: TaskDumps,
        backlog: Arc<Backlog>,
    ) -> Result<Self, InstallError> {
        let (sink, metrics, dumps) = match target {
            Target::Otlp { endpoint, identity, metrics_every } => {
                let endpoint = endpoint.as_deref();
                let otlp = Otlp::open(endpoint, &identity)?;
                let Otlp { sender, resource, .. } = &otlp;
                let metrics = Metrics::open(endpoint, metrics_every, sender, resource)?;
                let dumps = Dumps::open(tasks, endpoint, Some((sender, resource)))?;
                (Sink::Otlp(Box::new(otlp)), metrics, dumps)
            }
            Target::Provider(provider) => {
                let dumps = Dumps::open(tasks, None, None)?;
                (Sink::Provider(Provider::open(provider)), None, dumps)
            }
        };
        let (batch, since) = (Vec::with_capacity(BATCH_SPANS_MAX), Instant::now());
        Ok(Self {
            sink,
            backlog,
            batch,
            since,
            dropped: 0,
            outage: None,
            metrics,
            metrics_refused: false,
            dumps,
            told: findings::unreported(),
        })
    }

    /// Fills the batch from the backlog.
    pub(super) fn collect(&mut self) {
        while !self.is_full() {
            let Some(mut kept) = self.backlog.pop() else { break };
            let total = findings::unreported();
            kept.span.tell_unreported(total.since(self.told));
            self.told = total;
            if self.batch.is_empty() {
                self.since = Instant::now();
                self.dropped = record::take_dropped();
            }
            self.batch.push(kept);
        }
    }

    /// Where live tasks are told.
    pub(super) fn tasks_address(&self) -> Option<SocketAddr> {
        self.dumps.address()
    }

    /// Makes the task dumps that are due.
    pub(super) fn dump_tasks(&mut self) {
        self.dumps.turn();
    }

    pub(super) fn send_if_due(&mut self) {
        while self.is_due() && self.send() {
            self.collect();
        }
        if let Some(metrics) = self.metrics.as_mut() {
            metrics.keep_up();
        }
        if self.metrics.as_ref().is_some_and(Metrics::is_due) {
            self.send_metrics();
        }
    }

    /// While spans wait for the receiver to come back, metrics do so too, and go on counting.
    fn send_metrics(&mut self) {
        let waits = self
            .outage
            .as_ref()
            .is_some_and(|outage| !self.batch.is_empty() || Instant::now() < outage.next_attempt);
        let Some(metrics) = self.metrics.as_mut().filter(|_| !waits) else { return };
        match metrics.send() {
            Ok(()) => {
                self.metrics_refused = false;
                self.recovered();
            }
            Err(failure) if failure.is_final => {
                if !self.metrics_refused {
                    tracing::warn!(
                        target: "holdup",
                        "metrics can't be sent to {}: {failure}; set \
                         OTEL_EXPORTER_OTLP_METRICS_ENDPOINT, or OTEL_METRICS_EXPORTER=none",
                        metrics.endpoint(),
                    );
                }
                self.metrics_refused = true;
            }
            Err(failure) => self.begin_outage(&failure),
        }
    }

    fn is_full(&self) -> bool {
        let bytes = || self.batch.iter().map(KeptSpan::bytes).sum::<usize>();
        self.batch.len() >= BATCH_SPANS_MAX || bytes() >= BATCH_BYTES_MAX
    }

    fn is_due(&self) -> bool {
        let ripe = !self.batch.is_empty() && self.since.elapsed() >= BATCH_AGE_MAX;
        let pausing = self.outage.as_ref().is_some_and(|o| Instant::now() < o.next_attempt);
        // A process that is stuck may soon be killed.
        let urgent = self.batch.iter().any(|span| span.is_stall());
        (self.is_full() || ripe || urgent) && !pausing
    }

    /// Sends all that is left, until it fails or the time is over.
    pub(super) fn finish(&mut self, deadline: Instant) {
        self.collect();
        while !self.batch.is_empty() && Instant::now() < deadline && self.send() {
            self.collect();
        }
        if let Sink::Provider(provider) = &self.sink {
            provider.flush();
        }
        if Instant::now() < deadline {
            self.send_metrics();
        }
    }

    /// Gives up all that was not sent, and counts it.
    pub(super) fn discard_all(&mut self) {
        self.backlog.discard();
        self.discard();
    }

    /// Gives up the batch, and counts it.
    fn discard(&mut self) {
        record::count_dropped(self.batch.len() as u64);
        record::untake_dropped(self.dropped);
        self.batch.clear();
        self.dropped = 0;
    }

    /// Whether the batch is gone: sent, or refused for good.
    fn send(&mut self) -> bool {
        let sent = match &self.sink {
            Sink::Provider(provider) => {
                provider.send(&self.batch, self.dropped);
                Ok(())
            }
            Sink::Otlp(otlp) => otlp.send(self.spans()),
        };
        match sent {
            Ok(()) => {
                self.recovered();
                self.batch.clear();
                self.dropped = 0;
                true
            }
            Err(failure) => self.failed(&failure),
        }
    }

    fn spans(&self) -> Vec<SpanData> {
        let dropped = |index| (index == 0).then_some(self.dropped);
        self.batch.iter().enumerate().map(|(index, span)| span.data(dropped(index))).collect()
    }

    fn recovered(&mut self) {
        if self.outage.take().is_some() {
            tracing::info!(target: "holdup", "poll spans are sent again");
        }
    }

    fn failed(&mut self, failure: &Failure) -> bool {
        self.begin_outage(failure);
        if failure.is_final {
            self.discard();
        }
        failure.is_final
    }

    fn begin_outage(&mut self, failure: &Failure) {
        let pause = match &self.outage {
            Some(outage) => (outage.pause * 2).min(PAUSE_MAX),
            None => PAUSE_MIN,
        };
        if self.outage.is_none()
            && let Sink::Otlp(otlp) = &self.sink
        {
            tracing::warn!(
                target: "holdup",
                "poll spans can't be sent to {}: {failure}; the service is not affected. Start a \
                 collector there or set OTEL_EXPORTER_OTLP_ENDPOINT. Attempts go on, and what \
                 doesn't fit in memory is counted",
                otlp.sender.endpoint(),
            );
        }
        let pause = failure.pause.unwrap_or(pause).min(PAUSE_MAX);
        self.outage = Some(Outage { next_attempt: Instant::now() + pause, pause });
    }
}
