//! Asks whether ClickHouse has what it said that it took.

use clickhouse::query::Query;

use super::{ANSWER_TIME_MAX, Store, StoreError, Table, catalog};
use crate::decode::Decoded;
use crate::span::Origin;

impl Store {
    /// Asks for the last of those rows of requests that went into a table. It is an error when it is
    /// not there, and `false` when there is nothing to ask for.
    pub(crate) async fn look_up(&self, table: Table, of: &[&Decoded]) -> Result<bool, StoreError> {
        let Some(asked) = self.asked(table, of) else { return Ok(false) };
        match tokio::time::timeout(ANSWER_TIME_MAX, asked.fetch_one::<bool>()).await {
            Ok(Ok(true)) => Ok(true),
            Ok(Ok(false)) => Err(StoreError::Missing { url: self.address.url.clone() }),
            Ok(Err(error)) => Err(self.explain(&error)),
            Err(_late) => Err(self.late(ANSWER_TIME_MAX).await),
        }
    }

    fn asked(&self, table: Table, of: &[&Decoded]) -> Option<Query> {
        let mut of = of.iter().rev();
        match table {
            Table::Stacks => of.find_map(|of| of.stacks.last()).map(|stack| {
                let asked = self.client.query_raw(&catalog::statement("has_stack"));
                asked.param("stack_id", stack.id)
            }),
            Table::Suspects => of.find_map(|of| of.suspects.last()).map(|suspect| {
                let asked = self.about("has_suspect", &suspect.origin);
                let asked = asked.param("function", &suspect.function);
                asked
                    .param("start_ns", signed(suspect.start_ns))
                    .param("span_id", hex(suspect.span_id))
            }),
            Table::Histograms => of.find_map(|of| of.measured.histograms.last()).map(|histogram| {
                let asked = self.about("has_histogram", &histogram.origin);
                let asked = asked.param("function", &histogram.function);
                asked.param("minute_s", histogram.minute_s).param("calls", histogram.calls)
            }),
            Table::Gauges => of.find_map(|of| of.measured.gauges.last()).map(|gauge| {
                let asked = self.about("has_gauge", &gauge.origin);
                let asked = asked.param("metric", &gauge.metric).param("runtime", &gauge.runtime);
                asked.param("time_ms", signed(gauge.time_ms))
            }),
            Table::Heartbeats => of.find_map(|of| of.measured.heartbeats.last()).map(|heartbeat| {
                let asked = self.about("has_heartbeat", &heartbeat.origin);
                asked.param("time_ms", signed(heartbeat.time_ms))
            }),
            Table::Tasks => of.find_map(|of| of.measured.tasks.last()).map(|task| {
                let asked = self.about("has_task", &task.origin).param("dump_id", task.dump_id);
                asked.param("task_id", task.task_id).param("time_ms", signed(task.time_ms))
            }),
            Table::Polls => of.find_map(|of| of.polls.last()).map(|poll| {
                let asked = self.about("has_poll", poll.origin);
                let asked = asked.param("function", poll.function);
                asked.param("start_ns", signed(poll.start_ns)).param("span_id", hex(poll.span_id))
            }),
        }
    }

    /// A question about what an instance sent. A parameter that it does not name is ignored.
    fn about(&self, statement: &str, of: &Origin) -> Query {
        let asked = self.client.query_raw(&catalog::statement(statement));
        let asked = asked.param("service", &of.service).param("environment", &of.environment);
        asked.param("version", &of.version).param("instance", &of.instance)
    }
}

fn hex(bytes: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(bytes))
}

fn signed(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
