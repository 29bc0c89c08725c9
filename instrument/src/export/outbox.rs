//! Spans that are to be sent, with a bound, and what to do when sending fails.

use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SpanData;

use crate::export::Target;
use crate::export::otlp::{Failure, Otlp};
use crate::export::poll_span::PollSpan;
use crate::export::provider::Provider;
use crate::install::InstallError;
use crate::polling::record;

/// Spans in one request.
const BATCH_SPANS_MAX: usize = 512;
/// How long a span waits for others to share its request.
const BATCH_AGE_MAX: Duration = Duration::from_millis(800);
/// Pauses between attempts, doubled from the one to the other.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// While a batch can't be sent, later records wait in the queue, and those that don't fit there are
/// dropped and counted: one batch and one queue are all the memory there is for them.
pub(super) struct Outbox {
    sink: Sink,
    batch: Vec<PollSpan>,
    since: Instant,
    /// Sent with the batch, so that a batch which is sent again says the same.
    dropped: u64,
    outage: Option<Outage>,
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
    pub(super) fn open(target: Target) -> Result<Self, InstallError> {
        let sink = match target {
            Target::Otlp { endpoint, identity } => {
                Sink::Otlp(Box::new(Otlp::open(endpoint, &identity)?))
            }
            Target::Provider(provider) => Sink::Provider(Provider::open(provider)),
        };
        let (batch, since) = (Vec::with_capacity(BATCH_SPANS_MAX), Instant::now());
        Ok(Self { sink, batch, since, dropped: 0, outage: None })
    }

    /// Fills the batch from the queue.
    pub(super) fn collect(&mut self) {
        while self.batch.len() < BATCH_SPANS_MAX {
            let Some(record) = record::pop() else { break };
            if self.batch.is_empty() {
                self.since = Instant::now();
                self.dropped = record::take_dropped();
            }
            self.batch.push(PollSpan::of(&record));
        }
    }

    pub(super) fn send_if_due(&mut self) {
        while self.is_due() && self.send() {
            self.collect();
        }
    }

    fn is_due(&self) -> bool {
        let full = self.batch.len() >= BATCH_SPANS_MAX;
        let ripe = !self.batch.is_empty() && self.since.elapsed() >= BATCH_AGE_MAX;
        let pausing = self.outage.as_ref().is_some_and(|o| Instant::now() < o.next_attempt);
        (full || ripe) && !pausing
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
    }

    /// Gives up what was not sent, and counts it.
    pub(super) fn discard(&mut self) {
        record::count_dropped(self.batch.len() as u64 + self.dropped);
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
                otlp.endpoint(),
            );
        }
        let pause = failure.pause.unwrap_or(pause).min(PAUSE_MAX);
        self.outage = Some(Outage { next_attempt: Instant::now() + pause, pause });
        if failure.is_final {
            self.discard();
        }
        failure.is_final
    }
}
