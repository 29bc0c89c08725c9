//! The API behind the page and the command: one path for every panel of `queries/`.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use serde_json::json;

use super::csv::Defused;
use super::error::ApiError;
use super::parameters::{nearest, parse};
use super::{Page, advice, exports, live, mutes, openapi, rules};
use crate::access::Grant;
use crate::store::{Answer, Format, StoreError, catalog};

pub(super) fn routes() -> Router<Page> {
    Router::new()
        .route("/query/{name}", get(query))
        .route("/status", get(status))
        .route("/live", get(live::live))
        .route("/rules", get(rules::rules))
        .route("/silences", get(rules::silences))
        .route("/export/{format}", get(exports::export))
        .route("/mutes", mutes::routes())
        .route("/openapi.json", get(described))
        .method_not_allowed_fallback(wrong_method)
        .fallback(|| async { ApiError::not_found("no such path of the API").into_response() })
}

async fn wrong_method() -> ApiError {
    let status = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    ApiError::new(status, "bad_request", "no such method here: /api/v1/openapi.json has them")
}

/// The API's description, one line a field, as it is kept in `docs/`.
async fn described() -> Response {
    let text = serde_json::to_string_pretty(&openapi::document()).unwrap_or_default() + "\n";
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// The name that was meant, among all that there are.
pub(super) fn no_query(name: &str) -> ApiError {
    let known = catalog::panel_names();
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean {nearest:?}?"),
        None => "/api/v1/openapi.json lists them".to_owned(),
    };
    ApiError::not_found(format!("no query {name:?}: {hint}"))
}

/// Whether a client would rather have CSV.
fn wants_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().map(str::trim) == Some("text/csv"))
}

async fn query(
    State(page): State<Page>,
    Path(name): Path<String>,
    RawQuery(raw): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let panel = catalog::panel(&name).ok_or_else(|| no_query(&name))?;
    let raw = raw.unwrap_or_default();
    let mut asked = parse(panel.sql, &raw, crate::clock::now_ns() / 1_000_000)?;
    if wants_csv(&headers) && !raw.contains("format=") {
        asked.format = Format::Csv;
    }
    let mut answer = page.store.ask(&asked)?;
    let mut csv = (asked.format == Format::Csv).then(Defused::default);
    // An error before the first byte still has a status of its own; a later one cuts the answer.
    let first = if name == advice::PANEL && asked.format == Format::Json {
        with_advice(&mut answer).await?
    } else {
        safe(&mut csv, answer.next().await?).unwrap_or_default()
    };
    let rest = stream::unfold((answer, csv), |(mut answer, mut csv)| async move {
        let part = answer.next().await.map(|part| safe(&mut csv, part)).transpose()?;
        Some((part, (answer, csv)))
    });
    let body = Body::from_stream(stream::iter([Ok(first)]).chain(rest));
    let mut response = body.into_response();
    let headers = response.headers_mut();
    match asked.format {
        Format::Json => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Format::Csv => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
            let file = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\""));
            headers.extend(file.ok().map(|file| (CONTENT_DISPOSITION, file)));
        }
    }
    Ok(response)
}

/// The part as it goes out, and at the end what was held back.
fn safe(csv: &mut Option<Defused>, part: Option<Bytes>) -> Option<Bytes> {
    match (csv, part) {
        (None, part) => part,
        (Some(csv), Some(part)) => Some(csv.part(&part)),
        (Some(csv), None) => Some(csv.end()).filter(|left| !left.is_empty()),
    }
}

/// The whole answer with advice, or the beginning of one that is too long for that.
async fn with_advice(answer: &mut Answer) -> Result<Bytes, StoreError> {
    let mut read = Vec::new();
    while read.len() <= advice::BYTES_MAX {
        let Some(part) = answer.next().await? else {
            return Ok(Bytes::from(advice::add(&read).unwrap_or(read)));
        };
        read.extend_from_slice(&part);
    }
    Ok(Bytes::from(read))
}

async fn status(State(page): State<Page>, grant: Option<Extension<Grant>>) -> Response {
    let totals = page.metrics.totals();
    let (ok, version, message) = match page.store.server_version().await {
        Ok(version) => (true, version, String::new()),
        Err(error) => (false, String::new(), error.to_string()),
    };
    let (progress, now_ns) = (page.intake.progress(), crate::clock::now_ns());
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "clickhouse": {
            "ok": ok, "embedded": page.engine_restarts.is_some(), "version": version, "message": message,
        },
        "log": {
            "refusing": page.intake.refusing(),
            "all_stored": progress.all_stored(),
            "oldest_age_ms": progress.oldest_age_ns(now_ns) / 1_000_000,
            "live_age_ms": progress.live_age_ns(now_ns) / 1_000_000,
        },
        "trace_url": page.trace_url,
        "token": grant.as_ref().map(|grant| grant.name()),
        "received_spans": totals.received,
        "ignored_spans": totals.ignored,
        "dropped_by_services": totals.dropped_by_services,
    }))
    .into_response()
}
