//! The page's listener: the page itself, the API behind it, and what operators ask.

mod api;
mod assets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::metrics::Metrics;
use crate::store::{Intake, Store};

/// What the page's listener needs of the rest.
#[derive(Clone)]
pub(crate) struct Page {
    /// Where answers come from.
    pub(crate) store: Store,
    /// What waits to be written.
    pub(crate) intake: Intake,
    /// The counters.
    pub(crate) metrics: Arc<Metrics>,
    /// How often the embedded engine was started again; `None` when ClickHouse is somebody else's.
    pub(crate) engine_restarts: Option<Arc<AtomicU64>>,
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
        .fallback(assets::serve)
        .layer(axum::middleware::from_fn(guard))
        .with_state(page)
}

/// Refuses names that only a rebound DNS entry would give, and sets the headers of every answer.
async fn guard(request: Request, next: Next) -> Response {
    if !host_is_local(request.headers()) {
        let text = "this page answers to localhost and IP addresses only\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in SECURITY {
        let name = HeaderName::from_static(name);
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the request names us by address or as localhost. A page elsewhere that has its own name
/// resolve to 127.0.0.1 would otherwise read what this one shows.
fn host_is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get("host").and_then(|h| h.to_str().ok()) else { return true };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name == "localhost" || name.ends_with(".localhost") || name.parse::<std::net::IpAddr>().is_ok()
}

/// Ready when ClickHouse answers, because nothing is acknowledged without it.
async fn ready(State(page): State<Page>) -> Response {
    match page.store.server_version().await {
        Ok(_version) => {
            page.metrics.clickhouse(true);
            "ready\n".into_response()
        }
        Err(error) => {
            page.metrics.clickhouse(false);
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response()
        }
    }
}

async fn metrics(State(page): State<Page>) -> Response {
    let restarts = page.engine_restarts.as_ref().map_or(0, |n| n.load(Ordering::Relaxed));
    let text = page.metrics.text(page.intake.waiting_rows(), restarts);
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::host_is_local;
    use axum::http::{HeaderMap, HeaderValue};

    #[test]
    fn only_local_names_are_answered() {
        for (host, local) in [
            ("127.0.0.1:4380", true),
            ("localhost:4380", true),
            ("[::1]:4380", true),
            ("10.0.0.7", true),
            ("evil.example:4380", false),
            ("localhost.evil.example", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static(host));
            assert_eq!(host_is_local(&headers), local, "{host}");
        }
    }
}
