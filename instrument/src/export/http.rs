//! Requests to an OTLP receiver, made on this thread: no runtime is needed, and none of the
//! service's is used.

use std::fmt;
use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Url;
use reqwest::blocking;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;

use crate::export::tls;
use crate::export::variables::{Signal, Variables};
use crate::install::InstallError;
use crate::settings::variable;

/// More of an answer is not read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The way to a receiver of one signal.
pub(super) struct Sender {
    client: blocking::Client,
    url: Url,
    settings: Variables,
}

/// Why a request was not taken.
#[derive(Debug)]
pub(super) struct Failure {
    reason: String,
    /// It makes no sense to send it again.
    pub(super) is_final: bool,
    /// The receiver may have taken it all the same: the connection broke before it answered.
    pub(super) may_be_taken: bool,
    /// The receiver asked for this pause.
    pub(super) pause: Option<Duration>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl Sender {
    /// `by_code` is a base URL. The client of `like` is shared if it suits.
    pub(super) fn open(
        signal: Signal,
        by_code: Option<&str>,
        like: Option<&Self>,
    ) -> Result<Self, InstallError> {
        let settings = Variables::read(signal, by_code, variable);
        let known =
            |complaint: &&String| !like.is_some_and(|l| l.settings.complaints.contains(*complaint));
        for complaint in settings.complaints.iter().filter(known) {
            tracing::warn!(target: "holdup", "{complaint}");
        }
        let fails = |reason: String| InstallError::Exporter { reason };
        let url = Url::parse(&settings.endpoint)
            .ok()
            .filter(|url| url.has_host() && ["http", "https"].contains(&url.scheme()))
            .ok_or_else(|| fails(format!("{:?} is no URL of http or https", settings.endpoint)))?;
        let is_like = |like: &&Self| {
            like.url.scheme() == url.scheme() && like.settings.files == settings.files
        };
        let client = match like.filter(is_like) {
            Some(like) => like.client.clone(),
            None => client(&url, &settings).map_err(fails)?,
        };
        Ok(Self { client, url, settings })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.settings.endpoint
    }

    /// Sends one request and waits for the answer.
    pub(super) fn post(&self, body: &[u8]) -> Result<(), Failure> {
        let _suppressed = opentelemetry::Context::enter_telemetry_suppressed_scope();
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.settings.headers.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .timeout(self.settings.timeout);
        let request = if self.settings.gzip {
            request.header(CONTENT_ENCODING, "gzip").body(zipped(body))
        } else {
            request.body(body.to_owned())
        };
        let answer = request.send().map_err(|error| self.no_answer(error))?;
        let (code, pause) = (answer.status(), retry_after(answer.headers()));
        // Read, so that the connection can be used again; what it says is nothing to act upon.
        let _unread = std::io::copy(&mut answer.take(ANSWER_BYTES_MAX), &mut std::io::sink());
        if code.is_success() { Ok(()) } else { Err(refusal(code.as_u16(), pause)) }
    }

    fn no_answer(&self, error: reqwest::Error) -> Failure {
        let may_be_taken = !error.is_connect();
        // The URL is told by who tells of the failure.
        let mut reason = causes(&error.without_url());
        if self.url.scheme() == "https" && !cfg!(feature = "tls") {
            reason.push_str("; https needs the feature `tls` of the crate holdup");
        }
        Failure { reason, is_final: false, may_be_taken, pause: None }
    }
}

fn client(url: &Url, settings: &Variables) -> Result<blocking::Client, String> {
    let builder = blocking::Client::builder()
        .timeout(settings.timeout)
        // A redirected POST becomes a GET: it would succeed, and bring nothing.
        .redirect(Policy::none())
        .user_agent(concat!("holdup/", env!("CARGO_PKG_VERSION")));
    let builder = tls::configure(builder, url.scheme() == "https", &settings.files)?;
    builder.build().map_err(|error| causes(&error))
}

/// The receiver said no.
fn refusal(code: u16, pause: Option<Duration>) -> Failure {
    // These four are transient, by the specification of OTLP.
    let is_final = !matches!(code, 429 | 502..=504);
    let reason = format!("it answers with status {code}");
    Failure { reason, is_final, may_be_taken: false, pause }
}

/// The pause that an answer asks for.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
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

fn zipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // A vector takes everything.
    let _infallible = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_zipped_can_be_unzipped() {
        let mut text = String::new();
        let zipped = zipped(b"holdup");
        flate2::read::GzDecoder::new(&zipped[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "holdup");
    }

    #[test]
    fn what_is_refused_for_a_time_is_told_from_what_is_refused_for_good() {
        for (code, is_final) in [(400, true), (429, false), (500, true), (503, false), (307, true)]
        {
            assert_eq!(refusal(code, None).is_final, is_final, "{code}");
        }
        let asks = |value: &'static str| {
            retry_after(&HeaderMap::from_iter([(
                reqwest::header::RETRY_AFTER,
                value.parse().unwrap(),
            )]))
        };
        assert_eq!(asks("7"), Some(Duration::from_secs(7)));
        assert_eq!(asks("Wed, 21 Oct 2015 07:28:00 GMT"), None, "then the pause is our own");
    }
}
