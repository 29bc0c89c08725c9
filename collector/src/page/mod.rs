//! The page's listener: the page itself, the API behind it, and what operators ask.

mod admit;
mod advice;
mod api;
mod assets;
mod csv;
mod error;
mod exports;
mod live;
mod login;
mod mutes;
mod openapi;
mod origin;
mod parameters;
mod rules;
mod runbooks;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{Semaphore, watch};

use crate::access::Access;
use crate::batch::Intake;
use crate::clock::now_ns;
use crate::evaluate::Shown;
use crate::metrics::Metrics;
use crate::store::Store;
use error::ApiError;

/// What the page's listener needs of the rest.
#[derive(Clone)]
pub(crate) struct Page {
    /// Where answers come from.
    pub(crate) store: Store,
    /// What is on its way.
    pub(crate) intake: Intake,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Who is let in.
    pub(crate) access: Arc<Access>,
    /// Whether /metrics needs no token.
    pub(crate) metrics_without_token: bool,
    /// Whether browsers reach it over TLS.
    pub(crate) is_https: bool,
    /// What the evaluation of rules shows.
    pub(crate) rules: watch::Receiver<Shown>,
    /// Names that it answers to, beside localhost and addresses.
    pub(crate) hosts: Arc<[String]>,
    /// Where spans of a trace are shown, with `{trace_id}` in it; empty when that is not known.
    pub(crate) trace_url: String,
    /// Room for clients of the live view.
    pub(crate) streams: Arc<Semaphore>,
    /// Turns true when the collector stops.
    pub(crate) stopped: watch::Receiver<bool>,
    /// How often the embedded engine was started again; `None` when ClickHouse is somebody else's.
    pub(crate) engine_restarts: Option<Arc<AtomicU64>>,
}

impl Page {
    /// Room for as many clients of the live view as there may be.
    pub(crate) fn streams() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(live::STREAMS_MAX))
    }
}

/// Headers of every answer. The page loads nothing from elsewhere and can't be framed.
const SECURITY: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; \
         form-action 'none'; object-src 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// The page's listener.
pub(crate) fn routes(page: Page) -> Router {
    Router::new()
        .nest("/api/v1", api::routes())
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/docs/runbooks/{name}", get(runbooks::serve))
        .fallback(assets::serve)
        .layer(from_fn_with_state(page.clone(), admit::admit))
        .layer(from_fn_with_state(page.clone(), guard))
        .with_state(page)
}

/// What probes and scrapers ask for, by whatever name they know us.
const FOR_ANY_NAME: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Refuses names that only a rebound DNS entry would give, and sets the headers of every answer. A
/// page elsewhere that has its own name resolve to 127.0.0.1 would otherwise read what this one shows.
async fn guard(State(page): State<Page>, request: Request, next: Next) -> Response {
    let host = host(&request).unwrap_or_default().to_owned();
    let known = host.is_empty() || is_local(&host) || page.hosts.contains(&host);
    if !known && !FOR_ANY_NAME.contains(&request.uri().path()) {
        let text = format!("this page is not known as {host:?}: start holdup with --page-host\n");
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let mut response = if reads || origin::from_here(request.headers(), &page.hosts) {
        next.run(request).await
    } else {
        elsewhere().into_response()
    };
    for (name, value) in SECURITY {
        let name = HeaderName::from_static(name);
        // The form that asks for a token has a narrower policy.
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// What a browser is told that another site's page has send something.
fn elsewhere() -> ApiError {
    ApiError::forbidden("another site's page may not change anything here")
}

/// The name that the client knows us by, without the port: HTTP/2 has it in the address.
fn host(request: &Request) -> Option<&str> {
    let header = request.headers().get("host").and_then(|h| h.to_str().ok());
    let host = header.or_else(|| request.uri().authority().map(Authority::as_str))?;
    Some(bare_host(host))
}

/// A host without its port.
fn bare_host(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    }
}

/// Whether a name can't be somebody else's.
fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

/// Ready when the log takes requests, whether ClickHouse answers or not.
async fn ready(State(page): State<Page>) -> Response {
    match page.intake.refusing() {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(page): State<Page>) -> Response {
    let restarts = page.engine_restarts.as_ref().map_or(0, |n| n.load(Ordering::Relaxed));
    let (progress, now_ns) = (page.intake.progress(), now_ns());
    let ages_ns = (progress.oldest_age_ns(now_ns), progress.live_age_ns(now_ns));
    let text = page.metrics.text(page.intake.waiting_bytes(), ages_ns, restarts);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::{host, is_local};
    use axum::body::Body;
    use axum::extract::Request;

    #[test]
    fn only_names_that_are_ours_are_local() {
        for (given, local) in [
            ("127.0.0.1:4380", true),
            ("localhost:4380", true),
            ("[::1]:4380", true),
            ("10.0.0.7", true),
            ("evil.example:4380", false),
            ("localhost.evil.example", false),
        ] {
            let http1 = Request::builder().header("host", given).body(Body::empty()).unwrap();
            assert_eq!(host(&http1).map(is_local), Some(local), "{given}");
            let uri = format!("http://{given}/");
            let http2 = Request::builder().uri(uri).body(Body::empty()).unwrap();
            assert_eq!(host(&http2).map(is_local), Some(local), "{given}");
        }
    }
}
