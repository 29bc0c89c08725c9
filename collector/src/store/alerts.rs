//! What alerts ask, and what is kept of them.

use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read::time;
use super::{Store, StoreError, catalog};
use crate::rules::{Answer, Column, Kind, ROWS_MAX};

/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// The most alerts of groups of which it is asked what was told of them.
const LAST_TOLD_MAX: u32 = 100_000;
/// How long ClickHouse may take for a few rows of history.
const HISTORY_TIME_MAX: Duration = Duration::from_secs(5);

/// The times that a rule's query is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// When the rule is evaluated, unix ms.
    pub(crate) now_ms: u64,
    /// Where the range begins.
    pub(crate) from_ms: u64,
    /// Where it ends.
    pub(crate) to_ms: u64,
}

/// A row of `alert_transitions`.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub(crate) struct TransitionRow {
    /// When, unix ms.
    pub(crate) time: i64,
    /// Name of the rule.
    pub(crate) alert: String,
    /// Of the labels.
    pub(crate) fingerprint: String,
    /// Its identity.
    pub(crate) labels: Vec<(String, String)>,
    /// What is told of it.
    pub(crate) annotations: Vec<(String, String)>,
    /// The state that it entered.
    pub(crate) state: String,
    /// Whether it flaps.
    pub(crate) flaps: bool,
    /// The value of the rule's query.
    pub(crate) value: f64,
    /// Which collector found out.
    pub(crate) evaluator: String,
}

/// A row of `alert_notifications`.
#[derive(Clone, Debug, PartialEq, Row, Serialize)]
pub(crate) struct NotificationRow {
    /// When, unix ms.
    pub(crate) time: i64,
    /// Whom it went to.
    pub(crate) receiver: String,
    /// What its alerts have in common.
    pub(crate) group_key: String,
    /// Its alerts.
    pub(crate) fingerprints: Vec<String>,
    /// `firing` or `resolved`, one for each.
    pub(crate) statuses: Vec<String>,
    /// What became of it.
    pub(crate) outcome: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Why it was not taken.
    pub(crate) reason: String,
    /// Which collector sent it.
    pub(crate) evaluator: String,
}

/// What a receiver was told of an alert last.
#[derive(Clone, Debug, Row, Deserialize)]
pub(crate) struct LastTold {
    /// Name of the receiver.
    pub(crate) receiver: String,
    /// What the alerts of the notification have in common.
    pub(crate) group_key: String,
    /// The alert.
    pub(crate) fingerprint: String,
    /// `firing` or `resolved`.
    pub(crate) status: String,
    /// When, unix ms.
    pub(crate) time_ms: i64,
    /// When the alert was over last, unix ms; 0 when it was not.
    pub(crate) ended_ms: i64,
}

#[derive(Row, Serialize)]
struct EvaluatorRow<'a> {
    evaluator: &'a str,
}

/// ClickHouse's `FORMAT JSONCompact`.
#[derive(Deserialize)]
struct Compact {
    meta: Vec<Meta>,
    data: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
struct Meta {
    name: String,
    #[serde(rename = "type")]
    of_type: String,
}

impl Store {
    /// Asks a rule's question. It may take so long, reads with two threads and a bounded memory so
    /// that ingest has the rest, and can't change anything.
    pub(crate) async fn ask_rule(
        &self,
        sql: &str,
        times: Times,
        within: Duration,
    ) -> Result<Answer, StoreError> {
        let asked = self.ask_compact(sql, times, within);
        match tokio::time::timeout(within, asked).await {
            Ok(answer) => {
                let Compact { meta, data } = answer?;
                Ok(Answer { columns: meta.iter().map(Meta::column).collect(), rows: data })
            }
            Err(_late) => Err(self.late(within).await),
        }
    }

    /// The columns that a rule's query gives, without running it.
    pub(crate) async fn describe_rule(&self, sql: &str) -> Result<Vec<Column>, StoreError> {
        // Nothing in the statement's own last line may hide the bracket.
        let described = format!("DESCRIBE TABLE (\n{sql}\n)");
        let times = Times { now_ms: 600_000, from_ms: 300_000, to_ms: 600_000 };
        let answer = self.ask_compact(&described, times, HISTORY_TIME_MAX).await?;
        let text = |row: &[Value], at: usize| {
            row.get(at).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let column =
            |row: &Vec<Value>| Column { name: text(row, 0), kind: Kind::of(&text(row, 1)) };
        Ok(answer.data.iter().map(column).collect())
    }

    async fn ask_compact(
        &self,
        sql: &str,
        times: Times,
        within: Duration,
    ) -> Result<Compact, StoreError> {
        let mut cursor = self
            .client
            .query_raw(sql)
            .with_setting("readonly", "2")
            .with_setting("max_threads", "2")
            .with_setting("max_memory_usage", "2000000000")
            .with_setting("max_execution_time", within.as_secs().max(1).to_string())
            .with_setting("max_result_rows", ROWS_MAX.to_string())
            .with_setting("output_format_json_quote_64bit_integers", "0")
            .with_setting("date_time_output_format", "unix_timestamp")
            .param("now", time(times.now_ms))
            .param("from", time(times.from_ms))
            .param("to", time(times.to_ms))
            .fetch_bytes("JSONCompact")
            .map_err(|e| self.explain(&e))?;
        let mut read = Vec::new();
        while let Some(part) = cursor.next().await.map_err(|e| self.explain(&e))? {
            if read.len() + part.len() > ANSWER_BYTES_MAX {
                return Err(self.unexpected(format!("more than {ANSWER_BYTES_MAX} bytes")));
            }
            read.extend_from_slice(&part);
        }
        serde_json::from_slice(&read).map_err(|error| self.unexpected(error.to_string()))
    }

    fn unexpected(&self, reason: String) -> StoreError {
        StoreError::Other { url: self.address.url.clone(), reason }
    }

    /// Keeps what became of alerts.
    pub(crate) async fn keep_transitions(&self, rows: &[TransitionRow]) -> Result<(), StoreError> {
        self.keep("alert_transitions", rows).await
    }

    /// Keeps who was told.
    pub(crate) async fn keep_notifications(
        &self,
        rows: &[NotificationRow],
    ) -> Result<(), StoreError> {
        self.keep("alert_notifications", rows).await
    }

    async fn keep<T>(&self, table: &str, rows: &[T]) -> Result<(), StoreError>
    where
        T: Clone + clickhouse::RowOwned + clickhouse::RowWrite,
        for<'r> T: Row<Value<'r> = T>,
    {
        let kept = self.insert::<T>(table, "", rows.to_vec());
        let in_time = tokio::time::timeout(HISTORY_TIME_MAX, kept).await;
        match in_time {
            Ok(done) => done,
            Err(_late) => Err(self.late(HISTORY_TIME_MAX).await),
        }
    }

    /// Says that an evaluator is there, and asks which one leads of those heard of within so many
    /// seconds.
    pub(crate) async fn leading_evaluator(
        &self,
        evaluator: &str,
        seconds: u32,
    ) -> Result<String, StoreError> {
        let both = async {
            let rows = vec![EvaluatorRow { evaluator }];
            self.insert::<EvaluatorRow<'_>>("alert_evaluators", "", rows).await?;
            let sql = catalog::statement("leading_evaluator");
            let asked = self.client.query_raw(&sql).param("seconds", seconds);
            asked.fetch_one::<String>().await.map_err(|e| self.explain(&e))
        };
        let in_time = tokio::time::timeout(HISTORY_TIME_MAX, both).await;
        match in_time {
            Ok(done) => done,
            Err(_late) => Err(self.late(HISTORY_TIME_MAX).await),
        }
    }

    /// The last that receivers were told, of each alert of each group, within so many seconds.
    pub(crate) async fn last_told(&self, seconds: u32) -> Result<Vec<LastTold>, StoreError> {
        let sql = catalog::statement("last_told");
        let asked = self.client.query_raw(&sql).param("seconds", seconds);
        let asked = asked.param("limit", LAST_TOLD_MAX).fetch_all::<LastTold>();
        match tokio::time::timeout(HISTORY_TIME_MAX, asked).await {
            Ok(answer) => answer.map_err(|error| self.explain(&error)),
            Err(_late) => Err(self.late(HISTORY_TIME_MAX).await),
        }
    }

    /// Inserts rows of a test, each a JSON object.
    pub(crate) async fn insert_json(&self, table: &str, rows: &[Value]) -> Result<(), StoreError> {
        let mut body = String::new();
        for row in rows {
            body.push_str(&row.to_string());
            body.push('\n');
        }
        let sql = catalog::statement("insert_rows");
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_setting("param_table", table)
            .with_setting("async_insert", "0")
            .with_setting("wait_end_of_query", "1")
            .with_setting("input_format_skip_unknown_fields", "0")
            .with_setting("date_time_input_format", "best_effort");
        insert.send(body.into()).await.map_err(|e| self.explain(&e))?;
        insert.end().await.map_err(|e| self.explain(&e))
    }
}

impl Meta {
    fn column(&self) -> Column {
        Column { name: self.name.clone(), kind: Kind::of(&self.of_type) }
    }
}
