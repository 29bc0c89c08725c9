//! What a client of the API is told when it gets no answer: whether it can do something about it, or
//! ClickHouse has to.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::CHALLENGE;
use crate::store::StoreError;

/// ClickHouse's code for a statement that took too long: TIMEOUT_EXCEEDED.
const LATE_CODE: u32 = 159;
/// ClickHouse's codes for having too much to do: TOO_SLOW, TOO_MANY_SIMULTANEOUS_QUERIES,
/// MEMORY_LIMIT_EXCEEDED.
const BUSY_CODES: [u32; 3] = [160, 202, 241];

/// What the client is told.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    code: &'static str,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// There is no more room; later there may be.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::Exception { code: LATE_CODE, .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "clickhouse_timeout")
            }
            StoreError::Exception { code, .. } if BUSY_CODES.contains(code) => {
                (StatusCode::SERVICE_UNAVAILABLE, "clickhouse_busy")
            }
            StoreError::Exception { .. } => (StatusCode::BAD_GATEWAY, "clickhouse_error"),
            StoreError::Slow { .. } => (StatusCode::GATEWAY_TIMEOUT, "clickhouse_timeout"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "clickhouse_unavailable"),
        };
        let hint = match code {
            "clickhouse_timeout" | "clickhouse_busy" => ". A shorter range takes less",
            _ => "",
        };
        Self::new(status, code, format!("{error}{hint}"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let error = json!({"error": {"code": self.code, "message": self.message}});
        let mut response = (self.status, Json(error)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, 5.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::ApiError;
    use crate::store::StoreError;

    #[test]
    fn what_clickhouse_can_not_do_is_no_fault_of_the_client() {
        let url = || "http://clickhouse:8123".to_owned();
        let exception = |code| StoreError::Exception { code, reason: "so it says".to_owned() };
        let away = StoreError::Unreachable { url: url(), reason: "refused".to_owned() };
        let slow = StoreError::Slow { url: url(), reason: "no answer within 10 s".to_owned() };
        for (error, status, code) in [
            (slow, 504, "clickhouse_timeout"),
            (exception(159), 504, "clickhouse_timeout"),
            (exception(241), 503, "clickhouse_busy"),
            (exception(60), 502, "clickhouse_error"),
            (away, 503, "clickhouse_unavailable"),
        ] {
            let told = ApiError::from(error);
            assert_eq!((told.status.as_u16(), told.code), (status, code), "{}", told.message);
        }
    }
}
