//! Muting functions: the one thing that the API changes. It is for the role `admin`, where there are
//! tokens.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use serde::{Deserialize, Serialize};

use super::Page;
use super::error::ApiError;
use crate::clock::now_ns;
use crate::store::MuteRow;

/// The longest body, bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// The longest reason, characters.
const REASON_MAX: usize = 500;
/// The farthest end of a mute: ten years.
const MUTE_MS_MAX: i64 = 10 * 365 * 86_400_000;

/// What is muted, until when, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mute {
    service: String,
    function: String,
    reason: String,
    /// It ends then, unix ms.
    #[serde(default)]
    until_ms: i64,
    /// It ends when the function is seen in another version of the service.
    #[serde(default)]
    version: String,
}

/// Whose mute ends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    service: String,
    function: String,
}

/// What was done.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    muted: bool,
}

pub(super) fn routes() -> MethodRouter<Page> {
    post(mute).delete(end).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn mute(
    State(page): State<Page>,
    body: Result<Json<Mute>, JsonRejection>,
) -> Result<Json<Done>, ApiError> {
    let mute = read(body)?;
    page.store.keep_mute(row(mute, now_ms())?).await?;
    Ok(Json(Done { muted: true }))
}

async fn end(
    State(page): State<Page>,
    body: Result<Json<End>, JsonRejection>,
) -> Result<Json<Done>, ApiError> {
    let End { service, function } = read(body)?;
    let (until, version, reason) = (0, String::new(), String::new());
    let row = MuteRow { service, function, muted: now_ms(), until, version, reason, active: false };
    page.store.keep_mute(row).await?;
    Ok(Json(Done { muted: false }))
}

fn now_ms() -> i64 {
    i64::try_from(now_ns() / 1_000_000).unwrap_or(i64::MAX)
}

fn row(mute: Mute, now_ms: i64) -> Result<MuteRow, ApiError> {
    let Mute { service, function, reason, until_ms, version } = mute;
    let reason = reason.trim().to_owned();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        let message = format!("give a reason of 1 to {REASON_MAX} characters");
        return Err(ApiError::bad_request(message));
    }
    if function.is_empty() {
        return Err(ApiError::bad_request("name the function"));
    }
    if until_ms == 0 && version.is_empty() {
        return Err(ApiError::bad_request("a mute ends: give until_ms, version, or both"));
    }
    if until_ms != 0 && !(now_ms..=now_ms.saturating_add(MUTE_MS_MAX)).contains(&until_ms) {
        return Err(ApiError::bad_request("until_ms is in the future, and within ten years"));
    }
    let (muted, until) = (now_ms, until_ms);
    Ok(MuteRow { service, function, muted, until, version, reason, active: true })
}

fn read<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    let wrong = |rejected: JsonRejection| match rejected.status() {
        status @ (StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::PAYLOAD_TOO_LARGE) => {
            ApiError::new(status, "bad_request", rejected.body_text())
        }
        _ => ApiError::bad_request(rejected.body_text()),
    };
    body.map(|Json(body)| body).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::{Mute, row};

    #[test]
    fn a_mute_has_a_reason_and_an_end() {
        let mute = |reason: &str, until_ms, version: &str| {
            let (service, function) = ("shop".to_owned(), "a::b".to_owned());
            let (reason, version) = (reason.to_owned(), version.to_owned());
            row(Mute { service, function, reason, until_ms, version }, 1_000)
        };
        assert_eq!(mute(" known ", 2_000, "").unwrap().reason, "known");
        assert_eq!(mute("known", 0, "1.2").unwrap().version, "1.2");
        for (refused, expected) in [
            (mute(" ", 2_000, ""), "reason"),
            (mute(&"x".repeat(501), 2_000, ""), "reason"),
            (mute("known", 0, ""), "a mute ends"),
            (mute("known", 999, ""), "future"),
            (mute("known", i64::MAX, ""), "ten years"),
        ] {
            let message = refused.unwrap_err().message;
            assert!(message.contains(expected), "{message}");
        }
    }
}
