//! Metrics over OTLP/HTTP, from the exporter's thread. They go out although nothing was slow: that is
//! how a service says that it is watched.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::Resource as SdkResource;
use prost::Message;
use reqwest::blocking;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::contract;
use crate::export::judge::{self, Unreported};
use crate::export::otlp::{self, Failure, Signal};
use crate::measure::merge::Merger;
use crate::measure::report::{self, Report, Span};
use crate::measure::runtimes::Runtimes;
use crate::polling::record;
use crate::settings::variable;

/// The first report tells early that the service is there.
const FIRST_AFTER: Duration = Duration::from_secs(1);

/// What is sent how often, and to where.
pub(super) struct Metrics {
    http: blocking::Client,
    endpoint: String,
    headers: HeaderMap,
    timeout: Duration,
    gzip: bool,
    resource: Resource,
    merger: Merger,
    runtimes: Runtimes,
    captured: u64,
    dropped: u64,
    unreported: Unreported,
    interval: Duration,
    next: Instant,
    since: u64,
    /// A report that the receiver asked to send again. Later counts wait where they are.
    waiting: Option<Vec<u8>>,
}

impl Metrics {
    /// None when the service wants no metrics.
    pub(super) fn open(
        http: blocking::Client,
        endpoint: Option<String>,
        interval: Duration,
        resource: &SdkResource,
    ) -> Option<Self> {
        let wanted = variable("OTEL_METRICS_EXPORTER").is_none_or(|v| v.trim() != "none");
        if interval.is_zero() || !wanted {
            return None;
        }
        let compression = otlp::setting(Signal::Metrics, "COMPRESSION", variable);
        Some(Self {
            http,
            endpoint: otlp::endpoint_url(Signal::Metrics, endpoint, variable),
            headers: headers(otlp::setting(Signal::Metrics, "HEADERS", variable).as_deref()),
            timeout: otlp::timeout(Signal::Metrics, variable),
            gzip: compression.is_some_and(|name| name.trim().eq_ignore_ascii_case("gzip")),
            resource: attributes(resource),
            merger: Merger::start(),
            runtimes: Runtimes::default(),
            captured: record::captured(),
            dropped: record::dropped(),
            unreported: judge::unreported(),
            interval,
            next: Instant::now() + FIRST_AFTER.min(interval),
            since: unix_ns(),
            waiting: None,
        })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
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
        let (captured, dropped) = (record::captured(), record::dropped());
        let unreported = judge::unreported();
        for (name, count) in [
            (contract::CAPTURED, captured - self.captured),
            (contract::DROPPED, dropped - self.dropped),
            (contract::SUPPRESSED, unreported.suppressed - self.unreported.suppressed),
            (contract::DESCHEDULED, unreported.descheduled - self.unreported.descheduled),
        ] {
            let count = Number::AsInt(i64::try_from(count).unwrap_or(i64::MAX));
            report.sum(name, "{poll}", None, count);
        }
        (self.captured, self.dropped, self.since) = (captured, dropped, span.until);
        self.unreported = unreported;
        report.request(self.resource.clone()).encode_to_vec()
    }

    fn post(&mut self, body: Vec<u8>) -> Result<(), Failure> {
        let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
        let request = self.http.post(&self.endpoint).headers(self.headers.clone());
        let request =
            request.header("content-type", "application/x-protobuf").timeout(self.timeout);
        let request = if self.gzip {
            request.header("content-encoding", "gzip").body(zipped(&body))
        } else {
            request.body(body.clone())
        };
        let failure = match request.send() {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => {
                otlp::refusal(answer.status().as_u16(), otlp::retry_after(answer.headers()))
            }
            // Where no connection came about, nothing was taken. After any other failure it may
            // have been, and to send it again would count it twice.
            Err(error) => otlp::no_answer(&error, !error.is_connect()),
        };
        if !failure.is_final {
            self.waiting = Some(body);
        }
        Err(failure)
    }
}

fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn attributes(resource: &SdkResource) -> Resource {
    let attributes =
        resource.iter().map(|(key, value)| report::text(key.as_str(), &value.to_string()));
    Resource { attributes: attributes.collect(), ..Resource::default() }
}

fn zipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // A vector takes everything.
    let _infallible = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

/// `key=value,key=value`, with values as in URLs.
fn headers(text: Option<&str>) -> HeaderMap {
    let pairs = text.unwrap_or_default().split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(&decoded(value.trim())).ok()?))
        })
        .collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut index) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(index) {
        let digits = bytes.get(index + 1..index + 3).filter(|_| byte == b'%');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.unwrap_or(byte));
        index += if code.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_variable() {
        let map = headers(Some("authorization=Bearer%20abc, x-tenant = a%2Cb ,broken,=x,p=100%"));
        assert_eq!(map.len(), 3);
        assert_eq!(map["authorization"], "Bearer abc");
        assert_eq!(map["x-tenant"], "a,b");
        assert_eq!(map["p"], "100%");
        assert!(headers(None).is_empty());
    }

    #[test]
    fn what_is_zipped_can_be_unzipped() {
        let mut text = String::new();
        let zipped = zipped(b"holdup");
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&zipped[..]), &mut text)
            .unwrap();
        assert_eq!(text, "holdup");
    }
}
