//! The API behind the page and the command: one path for every panel of `queries/`.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use serde_json::json;

use super::{Page, advice};
use crate::store::{Answer, PanelQuery, StoreError, catalog};

/// The range that is asked for when none is given, ms.
const RANGE_MS_DEFAULT: u64 = 15 * 60_000;
/// Rows when no limit is given.
const LIMIT_DEFAULT: u32 = 200;

pub(super) fn routes() -> Router<Page> {
    Router::new()
        .route("/query/{name}", get(query))
        .route("/status", get(status))
        .fallback(|| async { ApiError::not_found("no such path of the API").into_response() })
}

/// What the client is told.
#[derive(Debug)]
struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    fn bad_request(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", message }
    }

    fn not_found(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status: StatusCode::NOT_FOUND, code: "not_found", message }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::Exception { .. } => (StatusCode::BAD_GATEWAY, "clickhouse_error"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "clickhouse_unavailable"),
        };
        Self { status, code, message: error.to_string() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = json!({"error": {"code": self.code, "message": self.message}});
        (self.status, Json(error)).into_response()
    }
}

async fn query(
    State(page): State<Page>,
    Path(name): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    let panel = catalog::panel(&name).ok_or_else(|| {
        ApiError::not_found(format!("no query {name:?}: ask {}", catalog::panel_names().join(", ")))
    })?;
    let now_ms = crate::clock::now_ns() / 1_000_000;
    let asked = parse(panel.sql, raw.as_deref().unwrap_or_default(), now_ms)?;
    let mut answer = page.store.ask(&asked)?;
    // An error before the first byte still has a status of its own; a later one cuts the answer.
    let first = if name == advice::PANEL {
        with_advice(&mut answer).await?
    } else {
        answer.next().await?.unwrap_or_default()
    };
    let rest = stream::unfold(answer, |mut answer| async move {
        let part = answer.next().await.transpose()?;
        Some((part, answer))
    });
    let body = Body::from_stream(stream::iter([Ok(first)]).chain(rest));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
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

/// Reads the address's parameters.
fn parse(sql: String, raw: &str, now_ms: u64) -> Result<PanelQuery, ApiError> {
    let mut asked = PanelQuery {
        sql,
        from_ms: 0,
        to_ms: now_ms,
        services: Vec::new(),
        environments: Vec::new(),
        versions: Vec::new(),
        instances: Vec::new(),
        function: String::new(),
        limit: LIMIT_DEFAULT,
    };
    let mut from_ms = None;
    for (key, value) in form_urlencoded::parse(raw.as_bytes()) {
        match key.as_ref() {
            "from" => from_ms = Some(number(&key, &value)?),
            "to" => asked.to_ms = number(&key, &value)?,
            "limit" => {
                let limit = number(&key, &value)?;
                asked.limit = u32::try_from(limit).unwrap_or(u32::MAX).max(1);
            }
            "service" => choose(&key, &mut asked.services, value)?,
            "environment" => choose(&key, &mut asked.environments, value)?,
            "version" => choose(&key, &mut asked.versions, value)?,
            "instance" => choose(&key, &mut asked.instances, value)?,
            "function" => asked.function = value.into_owned(),
            other => {
                let known = "from, to, service, environment, version, instance, function, limit";
                let message = format!("unknown parameter {other:?}: known are {known}");
                return Err(ApiError::bad_request(message));
            }
        }
    }
    asked.from_ms = from_ms.unwrap_or(asked.to_ms.saturating_sub(RANGE_MS_DEFAULT));
    if asked.from_ms >= asked.to_ms {
        return Err(ApiError::bad_request("the range is empty: from must be before to"));
    }
    Ok(asked)
}

/// The most names of one kind that a question may choose.
const CHOSEN_MAX: usize = 100;

fn choose(key: &str, chosen: &mut Vec<String>, name: Cow<'_, str>) -> Result<(), ApiError> {
    if chosen.len() == CHOSEN_MAX {
        return Err(ApiError::bad_request(format!("name at most {CHOSEN_MAX} {key}s")));
    }
    chosen.push(name.into_owned());
    Ok(())
}

/// Where the times end that `DateTime64(3)` holds, unix ms.
const TIME_MS_END: u64 = 10_413_791_999_000;

fn number(key: &str, value: &str) -> Result<u64, ApiError> {
    match value.parse() {
        Ok(number) if number < TIME_MS_END => Ok(number),
        _ => Err(ApiError::bad_request(format!(
            "{key}={value:?} is no whole number in range (times are unix milliseconds)"
        ))),
    }
}

async fn status(State(page): State<Page>) -> Response {
    let totals = page.metrics.totals();
    let (ok, version, message) = match page.store.server_version().await {
        Ok(version) => (true, version, String::new()),
        Err(error) => (false, String::new(), error.to_string()),
    };
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "clickhouse": {
            "ok": ok, "embedded": page.engine_restarts.is_some(), "version": version, "message": message,
        },
        "log": {
            "refusing": page.intake.refusing(),
            "all_stored": page.intake.progress().all_stored(),
            "oldest_age_ms":
                page.intake.progress().oldest_age_ns(crate::clock::now_ns()) / 1_000_000,
        },
        "received_spans": totals.received,
        "ignored_spans": totals.ignored,
        "dropped_by_services": totals.dropped_by_services,
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_range_defaults_to_fifteen_minutes() {
        let asked = parse(String::new(), "", 1_000_000_000).unwrap();
        assert_eq!((asked.from_ms, asked.to_ms), (1_000_000_000 - 900_000, 1_000_000_000));
    }

    #[test]
    fn parameters_are_read_as_given() {
        let raw = "from=5&to=9&service=a%20b&service=c&function=x%3A%3Ay&limit=0";
        let asked = parse(String::new(), raw, 1).unwrap();
        assert_eq!((asked.from_ms, asked.to_ms, asked.limit), (5, 9, 1));
        assert_eq!(
            (asked.services, asked.function.as_str()),
            (vec!["a b".into(), "c".into()], "x::y")
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (raw, expected) in [
            ("from=yesterday", "unix milliseconds"),
            ("from=9&to=9", "before"),
            ("servce=x", "known are from, to, service"),
            ("to=99999999999999999", "in range"),
        ] {
            let error = parse(String::new(), raw, 10).unwrap_err();
            assert!(error.message.contains(expected), "{raw}: {}", error.message);
        }
    }
}
