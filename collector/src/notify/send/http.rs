//! What is common to receivers over HTTP: certificates, passwords, answers.

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode};

use super::{ANSWER_TIME_MAX, Delivery, detail};
use crate::notify::queue::Retry;
use crate::notify::secret::{Secret, SecretError};
use crate::notify::settings::Http;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// A file of certificates.
    #[error("cannot use the certificates in {path}: {reason}")]
    Certificates {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// TLS can't be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// A client for a receiver.
pub(super) fn client(settings: &Http) -> Result<Client, ClientError> {
    let own = match &settings.ca_file {
        Some(path) => certificates(path)?,
        None => Vec::new(),
    };
    let builder = || {
        Client::builder()
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(ANSWER_TIME_MAX)
            // What is secret goes where it was meant to.
            .redirect(Policy::none())
    };
    match builder().tls_certs_merge(own.clone()).build() {
        Ok(client) => Ok(client),
        // A machine without certificates can talk to those without TLS, and to those of `ca_file`.
        Err(error) => {
            tracing::warn!("no certificates of the system: {}", reason(&error));
            let client = builder().tls_certs_only(own).build();
            client.map_err(|error| ClientError::Tls(reason(&error)))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let wrong = |reason: String| ClientError::Certificates { path: path.to_owned(), reason };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let certificates =
        Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("there are none (PEM) in it".into()));
    }
    Ok(certificates)
}

/// Sends JSON with the receiver's password; `secrets` are kept out of what is told.
pub(super) async fn post(
    client: &Client,
    url: &str,
    settings: &Http,
    body: Vec<u8>,
    secrets: &[&str],
) -> Delivery {
    let request = client.post(url).header(CONTENT_TYPE, "application/json").body(body);
    let (request, own) = match authorised(request, settings) {
        Ok(authorised) => authorised,
        Err(error) => return Delivery::Again(error.to_string(), Retry::Receiver(None)),
    };
    let mut secrets = secrets.to_vec();
    secrets.extend(own.as_ref().map(Secret::expose));
    match request.send().await {
        Ok(answer) => judge(answer, &secrets).await,
        Err(error) => {
            let reason = detail(&reason(&error.without_url()), &secrets);
            Delivery::Again(reason, Retry::Receiver(None))
        }
    }
}

fn authorised(
    request: RequestBuilder,
    settings: &Http,
) -> Result<(RequestBuilder, Option<Secret>), SecretError> {
    if let Some(file) = &settings.bearer_token_file {
        let token = file.read()?;
        let value = format!("Bearer {}", token.expose());
        return Ok((request.header(AUTHORIZATION, value), Some(token)));
    }
    let (Some(user), Some(file)) = (&settings.username, &settings.password_file) else {
        return Ok((request, None));
    };
    let password = file.read()?;
    Ok((request.basic_auth(user, Some(password.expose())), Some(password)))
}

/// What an answer means.
async fn judge(answer: Response, secrets: &[&str]) -> Delivery {
    let status = answer.status();
    let asked = asked_pause(&answer);
    let text = detail(&format!("{status} {}", beginning(answer).await), secrets);
    if status.is_success() {
        return Delivery::Taken(text);
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Delivery::Again(text, Retry::Receiver(asked))
        }
        // A password can be put right without a restart, and the page is sent then.
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Delivery::Again(text, Retry::Receiver(None)),
        StatusCode::REQUEST_TIMEOUT => Delivery::Again(text, Retry::Notification),
        _ if status.is_server_error() => Delivery::Again(text, Retry::Notification),
        _ => Delivery::Refused(text),
    }
}

/// The pause of `Retry-After`: seconds, or a date.
fn asked_pause(answer: &Response) -> Option<Duration> {
    let value = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    pause_of(value, SystemTime::now())
}

fn pause_of(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?;
    SystemTime::from(date.timestamp()).duration_since(now).ok()
}

async fn beginning(mut answer: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The error with its causes, of which the last most often says why.
fn reason(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        assert_eq!(pause_of("120", now), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(pause_of(date, now), Some(Duration::from_secs(30)));
        assert_eq!(pause_of(date, now + Duration::from_secs(60)), None);
        assert_eq!(pause_of("soon", now), None);
    }
}
