//! Mutes of functions.

use clickhouse::Row;
use serde::Serialize;

use super::{ANSWER_TIME_MAX, Store, StoreError};

/// A row of `mutes`: the last one of a function holds.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize)]
pub(crate) struct MuteRow {
    /// The service.
    pub(crate) service: String,
    /// The function in it.
    pub(crate) function: String,
    /// Since when, unix ms.
    pub(crate) muted: i64,
    /// When it ends, unix ms; 0 for not at a time.
    pub(crate) until: i64,
    /// It ends when the function is seen in another version; empty for not with a version.
    pub(crate) version: String,
    /// Why.
    pub(crate) reason: String,
    /// False when it is the end of one.
    pub(crate) active: bool,
}

impl Store {
    /// Mutes a function, or ends that.
    pub(crate) async fn keep_mute(&self, mute: MuteRow) -> Result<(), StoreError> {
        let kept = self.insert::<MuteRow>("mutes", "", vec![mute]);
        let in_time = tokio::time::timeout(ANSWER_TIME_MAX, kept).await;
        match in_time {
            Ok(done) => done,
            Err(_late) => Err(self.late(ANSWER_TIME_MAX).await),
        }
    }
}
