//! The alert rules and silences that this collector goes by.

use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::Page;
use crate::clock::now_ns;

/// Each rule, with its state and its last evaluation.
pub(super) async fn rules(State(page): State<Page>) -> Json<Value> {
    Json(page.rules.borrow().rules())
}

/// Each silence and maintenance window, and whether it lasts.
pub(super) async fn silences(State(page): State<Page>) -> Json<Value> {
    Json(page.rules.borrow().silences(UNIX_EPOCH + Duration::from_nanos(now_ns())))
}
