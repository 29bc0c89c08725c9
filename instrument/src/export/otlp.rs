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
use opentelemetry_otlp::{
    OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use reqwest::blocking;

use crate::export::resource::{Identity, resource};
use crate::install::InstallError;
use crate::settings::variable;

const ENDPOINT: &str = "http://localhost:4318";
const PATH: &str = "/v1/traces";
const TIMEOUT: Duration = Duration::from_secs(10);
/// More of an answer is not read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// An OTLP receiver.
pub(super) struct Otlp {
    exporter: SpanExporter,
    endpoint: String,
    answer: Arc<Mutex<Option<Answer>>>,
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
        let endpoint = endpoint_url(endpoint, variable);
        let fails = |reason: String| InstallError::Exporter { reason };
        let http = blocking::Client::builder()
            .timeout(timeout(variable))
            .user_agent(concat!("holdup/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| fails(causes(&error)))?;
        let answer = Arc::new(Mutex::new(None));
        // The client is given by name: if some other crate of the service enables an async client
        // of the exporter, that would be chosen, and panic on a thread without a runtime.
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client { http, answer: Arc::clone(&answer) })
            .with_endpoint(&endpoint)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| fails(error.to_string()))?;
        exporter.set_resource(&resource(identity));
        Ok(Self { exporter, endpoint, answer })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn send(&self, spans: Vec<SpanData>) -> Result<(), Failure> {
        let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
        self.take_answer();
        let Err(error) = block_on(self.exporter.export(spans)) else { return Ok(()) };
        Err(match self.take_answer() {
            Some(Answer::Status { code, retry_after }) => Failure {
                reason: format!("it answers with status {code}"),
                // These four are transient, by the specification of OTLP.
                is_final: !matches!(code, 429 | 502..=504),
                pause: retry_after,
            },
            Some(Answer::None { reason }) => Failure { reason, is_final: false, pause: None },
            // No request was made: the batch itself is at fault, by its size for one.
            None => Failure { reason: error.to_string(), is_final: true, pause: None },
        })
    }

    fn take_answer(&self) -> Option<Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn endpoint_url(by_code: Option<String>, variable: impl Fn(&str) -> Option<String>) -> String {
    let set = |name| variable(name).filter(|value| !value.trim().is_empty());
    let base = by_code.or_else(|| {
        // A full URL, to be used as it is.
        set(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
            .is_none()
            .then(|| set(OTEL_EXPORTER_OTLP_ENDPOINT))?
    });
    match (base, set(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)) {
        (Some(base), _) if base.ends_with(PATH) => base,
        (Some(base), _) => format!("{}{PATH}", base.trim_end_matches('/')),
        (None, Some(full)) => full,
        (None, None) => format!("{ENDPOINT}{PATH}"),
    }
}

fn timeout(variable: impl Fn(&str) -> Option<String>) -> Duration {
    let text = variable(OTEL_EXPORTER_OTLP_TRACES_TIMEOUT)
        .or_else(|| variable(OTEL_EXPORTER_OTLP_TIMEOUT));
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
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
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
            (name == OTEL_EXPORTER_OTLP_ENDPOINT).then(|| "http://general:4318/".to_owned())
        };
        let both = |name: &str| {
            (name == OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
                .then(|| "http://traces/custom".to_owned())
                .or_else(|| general(name))
        };
        let code = || Some("http://code:1".to_owned());
        assert_eq!(endpoint_url(None, |_| None), "http://localhost:4318/v1/traces");
        assert_eq!(endpoint_url(None, general), "http://general:4318/v1/traces");
        assert_eq!(endpoint_url(None, both), "http://traces/custom");
        assert_eq!(endpoint_url(code(), both), "http://code:1/v1/traces");
        let full = Some("http://code:1/v1/traces".to_owned());
        assert_eq!(endpoint_url(full, both), "http://code:1/v1/traces");
    }

    #[test]
    fn the_timeout_is_in_milliseconds() {
        assert_eq!(timeout(|_| None), TIMEOUT);
        assert_eq!(timeout(|_| Some("250".to_owned())), Duration::from_millis(250));
        assert_eq!(timeout(|_| Some("soon".to_owned())), TIMEOUT);
    }
}
