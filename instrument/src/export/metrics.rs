//! Metrics over OTLP/HTTP, from the exporter's thread. They go out although nothing was slow: that is
//! how a service says that it is watched.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::Resource as SdkResource;
use prost::Message;

use crate::export::http::{Failure, Sender};
use crate::export::variables::Signal;
use crate::findings::{self, Unreported};
use crate::install::InstallError;
use crate::measure::merge::Merger;
use crate::measure::report::{self, Report, Span};
use crate::measure::runtimes::Runtimes;
use crate::polling::{allow, clock, record};
use crate::settings::variable;
use crate::{contract, isolate};

/// The first report tells early that the service is there.
const FIRST_AFTER: Duration = Duration::from_secs(1);
/// Counters hold 2³² polls: a hundred cores at seven million a second each for six seconds.
const GATHER_EVERY: Duration = Duration::from_secs(5);

/// What is sent how often, and to where.
pub(super) struct Metrics {
    sender: Sender,
    resource: Resource,
    merger: Merger,
    runtimes: Runtimes,
    captured: u64,
    dropped: u64,
    allowed: u64,
    unreported: Unreported,
    findings: findings::Totals,
    interval: Duration,
    next: Instant,
    gathered: Instant,
    since: u64,
    /// A report that the receiver asked to send again. Later counts wait where they are.
    waiting: Option<Vec<u8>>,
}

impl Metrics {
    /// None when the service wants no metrics. The client for `spans` is shared if it suits.
    pub(super) fn open(
        endpoint: Option<&str>,
        interval: Duration,
        spans: &Sender,
        resource: &SdkResource,
    ) -> Result<Option<Self>, InstallError> {
        let wanted = variable("OTEL_METRICS_EXPORTER").is_none_or(|v| v.trim() != "none");
        if interval.is_zero() || !wanted {
            return Ok(None);
        }
        Ok(Some(Self {
            sender: Sender::open(Signal::Metrics, endpoint, Some(spans))?,
            resource: attributes(resource),
            merger: Merger::start(),
            runtimes: Runtimes::default(),
            captured: record::captured(),
            dropped: record::dropped(),
            allowed: allow::allowed(),
            unreported: findings::unreported(),
            findings: findings::Totals::read(),
            interval,
            next: Instant::now() + FIRST_AFTER.min(interval),
            gathered: Instant::now(),
            since: unix_ns(),
            waiting: None,
        }))
    }

    pub(super) fn endpoint(&self) -> &str {
        self.sender.endpoint()
    }

    /// Takes notice of what was counted, in time before counters wrap.
    pub(super) fn keep_up(&mut self) {
        if self.gathered.elapsed() >= GATHER_EVERY {
            self.gathered = Instant::now();
            self.merger.gather();
        }
    }

    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Sends what was counted since the last time, after what is still to be sent again.
    pub(super) fn send(&mut self) -> Result<(), Failure> {
        self.next = Instant::now() + self.interval;
        if let Some(waiting) = self.waiting.take() {
            self.post(waiting)?;
        }
        let body = self.report();
        self.post(body)
    }

    fn report(&mut self) -> Vec<u8> {
        let span = Span { since: self.since, until: unix_ns() };
        let mut report = Report::new(span);
        let counted = self.merger.take();
        report.polls(counted.functions.iter());
        self.runtimes.report(&counted, &mut report);
        let isolated = isolate::take_times();
        let queue = isolated.iter().map(|(name, times)| (name, &times.queue));
        report.durations(contract::ISOLATE_QUEUE, queue);
        let run = isolated.iter().map(|(name, times)| (name, &times.run));
        report.durations(contract::ISOLATE_RUN, run);
        let (captured, dropped) = (record::captured(), record::dropped());
        let allowed = allow::allowed();
        let unreported = findings::unreported();
        let since = unreported.since(self.unreported);
        for (name, count) in [
            (contract::CAPTURED, captured - self.captured),
            (contract::DROPPED, dropped - self.dropped),
            (contract::ALLOWED, allowed - self.allowed),
            (contract::SUPPRESSED, since.suppressed),
            (contract::DESCHEDULED, since.descheduled),
        ] {
            let count = Number::AsInt(i64::try_from(count).unwrap_or(i64::MAX));
            report.sum(name, "{poll}", None, count);
        }
        let total = findings::Totals::read();
        for (name, count) in total.since(&self.findings) {
            let count = Number::AsInt(i64::try_from(count).unwrap_or(i64::MAX));
            report.sum(&name, "{finding}", None, count);
        }
        self.findings = total;
        (self.captured, self.dropped, self.since) = (captured, dropped, span.until);
        (self.unreported, self.allowed) = (unreported, allowed);
        report.request(self.resource.clone()).encode_to_vec()
    }

    fn post(&mut self, body: Vec<u8>) -> Result<(), Failure> {
        self.sender.post(&body).map_err(|mut failure| {
            // What may have been taken would be counted twice.
            failure.is_final |= failure.may_be_taken;
            if !failure.is_final {
                self.waiting = Some(body);
            }
            failure
        })
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    clock::whole_nanoseconds(since)
}

/// A resource as the requests have it.
pub(super) fn attributes(resource: &SdkResource) -> Resource {
    let attributes =
        resource.iter().map(|(key, value)| report::text(key.as_str(), &value.to_string()));
    Resource { attributes: attributes.collect(), ..Resource::default() }
}
