//! OTLP over HTTP, on this thread: no runtime is needed, and none of the service's is used.

use std::fmt;
use std::future::Future;
use std::io::Read;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use reqwest::blocking;
use reqwest::header::HeaderMap;

use crate::export::resource::{Identity, resource};
use crate::install::InstallError;
use crate::settings::variable;

const ENDPOINT: &str = "http://localhost:4318";
const TIMEOUT: Duration = Duration::from_secs(10);
/// More of an answer is not read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What is sent, each to a path of its own and with variables of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    const ALL: [Self; 2] = [Self::Traces, Self::Metrics];

    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }
}

/// An OTLP receiver.
pub(super) struct Otlp {
    exporter: SpanExporter,
    endpoint: String,
    answer: Arc<Mutex<Option<Answer>>>,
    http: blocking::Client,
    resource: Resource,
}

/// What came of the last request. The exporter's own errors tell neither reason nor status.
#[derive(Clone, Debug)]
enum Answer {
    Status { code: u16, retry_after: Option<Duration> },
    None { reason: String },
}

/// Why a batch was not taken.
#[derive(Debug)]
pub(super) struct Failure {
    reason: String,
    /// It makes no sense to send the batch again.
    pub(super) is_final: bool,
    /// The receiver asked for this pause.
    pub(super) pause: Option<Duration>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Otlp {
    pub(super) fn open(
        endpoint: Option<String>,
        identity: &Identity,
    ) -> Result<Self, InstallError> {
        let endpoint = endpoint_url(Signal::Traces, endpoint, variable);
        let fails = |reason: String| InstallError::Exporter { reason };
        let http = blocking::Client::builder()
            .timeout(timeout(Signal::Traces, variable))
            .user_agent(concat!("holdup/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| fails(causes(&error)))?;
        let answer = Arc::new(Mutex::new(None));
        // The client is given by name: if some other crate of the service enables an async client
        // of the exporter, that would be chosen, and panic on a thread without a runtime.
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client { http: http.clone(), answer: Arc::clone(&answer) })
            .with_endpoint(&endpoint)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| fails(error.to_string()))?;
        let resource = resource(identity);
        exporter.set_resource(&resource);
        Ok(Self { exporter, endpoint, answer, http, resource })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What metrics are sent with.
    pub(super) fn client(&self) -> (blocking::Client, &Resource) {
        (self.http.clone(), &self.resource)
    }

    pub(super) fn send(&self, spans: Vec<SpanData>) -> Result<(), Failure> {
        let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
        self.take_answer();
        let Err(error) = block_on(self.exporter.export(spans)) else { return Ok(()) };
        Err(match self.take_answer() {
            Some(Answer::Status { code, retry_after }) => refusal(code, retry_after),
            Some(Answer::None { reason }) => Failure { reason, is_final: false, pause: None },
            // No request was made: the batch itself is at fault, by its size for one.
            None => Failure { reason: error.to_string(), is_final: true, pause: None },
        })
    }

    fn take_answer(&self) -> Option<Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The receiver said no.
pub(super) fn refusal(code: u16, pause: Option<Duration>) -> Failure {
    // These four are transient, by the specification of OTLP.
    let is_final = !matches!(code, 429 | 502..=504);
    Failure { reason: format!("it answers with status {code}"), is_final, pause }
}

/// The receiver said nothing.
pub(super) fn no_answer(error: &dyn std::error::Error, is_final: bool) -> Failure {
    Failure { reason: causes(error), is_final, pause: None }
}

/// The pause that an answer asks for.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A variable of the exporter: that of the signal before that of all signals.
pub(super) fn setting(
    signal: Signal,
    name: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let set = |name: String| variable(&name).filter(|value| !value.trim().is_empty());
    set(format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.variable()))
        .or_else(|| set(format!("OTEL_EXPORTER_OTLP_{name}")))
}

/// Code over the signal's own variable, which is a full URL to be used as it is, over the base.
pub(super) fn endpoint_url(
    signal: Signal,
    by_code: Option<String>,
    variable: impl Fn(&str) -> Option<String>,
) -> String {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let own = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.variable());
    if by_code.is_none()
        && let Some(full) = set(&own)
    {
        return full;
    }
    let base = by_code.or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let base = base.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
    // A base that was given with the path of some signal is a base all the same.
    let without_path = Signal::ALL.iter().find_map(|signal| base.strip_suffix(signal.path()));
    format!("{}{}", without_path.unwrap_or(base), signal.path())
}

pub(super) fn timeout(signal: Signal, variable: impl Fn(&str) -> Option<String>) -> Duration {
    let text = setting(signal, "TIMEOUT", variable);
    let milliseconds = text.and_then(|text| text.trim().parse::<u64>().ok());
    milliseconds.filter(|ms| *ms > 0).map_or(TIMEOUT, Duration::from_millis)
}

/// An error with all that is behind it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[derive(Debug)]
struct Client {
    http: blocking::Client,
    answer: Arc<Mutex<Option<Answer>>>,
}

impl Client {
    fn send(&self, request: Request<Bytes>) -> Result<(Answer, Response<Bytes>), HttpError> {
        let mut response = self.http.execute(request.try_into()?)?;
        let code = response.status();
        let retry_after = retry_after(response.headers());
        let mut body = Vec::new();
        response.by_ref().take(ANSWER_BYTES_MAX).read_to_end(&mut body)?;
        let answer = Answer::Status { code: code.as_u16(), retry_after };
        Ok((answer, Response::builder().status(code).body(body.into())?))
    }
}

impl HttpClient for Client {
    fn send_bytes<'this, 'future>(
        &'this self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'this: 'future,
        Self: 'future,
    {
        Box::pin(async move {
            let (answer, result) = match self.send(request) {
                Ok((answer, response)) => (answer, Ok(response)),
                Err(error) => (Answer::None { reason: causes(error.as_ref()) }, Err(error)),
            };
            *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            result
        })
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_follow_the_specification() {
        let general = |name: &str| {
            (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://general:4318/".to_owned())
        };
        let both = |name: &str| {
            (name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
                .then(|| "http://traces/custom".to_owned())
                .or_else(|| general(name))
        };
        let code = |url: &str| Some(url.to_owned());
        let traces = |by_code, variable: &dyn Fn(&str) -> Option<String>| {
            endpoint_url(Signal::Traces, by_code, variable)
        };
        assert_eq!(traces(None, &|_| None), "http://localhost:4318/v1/traces");
        assert_eq!(traces(None, &general), "http://general:4318/v1/traces");
        assert_eq!(traces(None, &both), "http://traces/custom");
        assert_eq!(traces(code("http://code:1"), &both), "http://code:1/v1/traces");
        assert_eq!(traces(code("http://code:1/v1/traces"), &both), "http://code:1/v1/traces");

        let metrics = endpoint_url(Signal::Metrics, None, both);
        assert_eq!(metrics, "http://general:4318/v1/metrics");
        let metrics = endpoint_url(Signal::Metrics, code("http://code:1/v1/traces"), both);
        assert_eq!(metrics, "http://code:1/v1/metrics");
    }

    #[test]
    fn the_timeout_is_in_milliseconds() {
        let timeout = |text: Option<&str>| {
            timeout(Signal::Traces, |name| {
                assert!(name.ends_with("_TIMEOUT"));
                text.map(str::to_owned)
            })
        };
        assert_eq!(timeout(None), TIMEOUT);
        assert_eq!(timeout(Some("250")), Duration::from_millis(250));
        assert_eq!(timeout(Some("soon")), TIMEOUT);
    }
}
