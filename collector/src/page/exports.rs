//! Stacks as files for other tools.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::Page;
use super::error::ApiError;
use super::parameters::parse;
use crate::export::{Format, Profile, Stack, read_stacks};
use crate::store::{self, PanelQuery, ROWS_MAX, catalog};

/// The panel whose rows are written.
const PANEL: &str = "stacks";
/// Longer answers are refused.
const BYTES_MAX: usize = 64 << 20;

pub(super) async fn export(
    State(page): State<Page>,
    Path(name): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    let format = Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
        let known = Format::ALL.map(Format::name).join(", ");
        ApiError::not_found(format!("no format {name:?}: there are {known}"))
    })?;
    let raw = raw.unwrap_or_default();
    let sql = catalog::panel(PANEL).map(|panel| panel.sql).unwrap_or_default();
    let mut asked = parse(sql, &raw, crate::clock::now_ns() / 1_000_000)?;
    if !form_urlencoded::parse(raw.as_bytes()).any(|(key, _)| key == "limit") {
        asked.limit = ROWS_MAX - asked.offset;
    }
    asked.format = store::Format::Json;
    let stacks = stacks(&page, &asked).await?;
    let (from_ms, to_ms) = (asked.from_ms, asked.to_ms);
    let title = if asked.function.is_empty() { "Holdup".to_owned() } else { asked.function };
    let profile = Profile { title, from_ms, to_ms, stacks };
    // It may be much to draw.
    let written = tokio::task::spawn_blocking(move || format.write(&profile)).await;
    let bytes = written
        .map_err(|error| error.to_string())
        .and_then(|written| written.map_err(|error| error.to_string()))
        .map_err(|message| ApiError::new(StatusCode::NOT_FOUND, "no_stacks", message))?;
    let file = format!("attachment; filename=\"holdup.{}\"", format.extension());
    let headers = [(CONTENT_TYPE, format.content_type().to_owned()), (CONTENT_DISPOSITION, file)];
    Ok((headers, bytes).into_response())
}

async fn stacks(page: &Page, asked: &PanelQuery) -> Result<Vec<Stack>, ApiError> {
    let read = page.store.ask(asked)?.read(BYTES_MAX).await?.ok_or_else(|| {
        ApiError::bad_request("that are too many stacks for a file: choose a function or a limit")
    })?;
    read_stacks(&read).map_err(|error| {
        let message = format!("ClickHouse's answer can't be read: {error}");
        ApiError::new(StatusCode::BAD_GATEWAY, "clickhouse_error", message)
    })
}
