//! What the collector counts of itself, served on `/metrics` in the OpenMetrics text format.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::batch::Overflowed;
use crate::decode::Counts;
use crate::{access, evaluate, fold, kafka, log, notify, own_polls, tls};

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP.
    Http,
    /// A message of Kafka.
    #[cfg(feature = "kafka")]
    Kafka,
}

impl Transport {
    /// Its name in labels.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
            #[cfg(feature = "kafka")]
            Self::Kafka => "kafka",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTransport {
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    transport: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSignal {
    signal: &'static str,
}

/// What became of a request that was passed on, or of one try to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// The other receiver took it.
    Taken,
    /// It never will.
    Refused,
    /// It will be tried again.
    PutOff,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct From {
    from: &'static str,
}

/// All counters. Each is described where it is registered.
pub(crate) struct Metrics {
    registry: Registry,
    spans: Family<OfTransport, Counter>,
    polls: Counter,
    suspects: Counter,
    ignored: Counter,
    rejected: Counter,
    clamped: Counter,
    cut: Counter,
    dropped_by_senders: Counter,
    requests_refused: Family<Refused, Counter>,
    requests_not_kept: Family<OfSignal, Counter>,
    connections_turned_away: Counter,
    forwarded: Family<Outcome, Counter>,
    forward_waiting: Gauge<u64, AtomicU64>,
    metric_points: Counter,
    inserts: Family<Outcome, Counter>,
    insert_rows: Counter,
    insert_seconds: Histogram,
    episodes_remembered: Gauge,
    functions_overflowed: Gauge<u64, AtomicU64>,
    polls_unremembered: Gauge<u64, AtomicU64>,
    names_overflowed: Family<OfKind, Counter>,
    stacks_left_out: Counter,
    repeated: Counter,
    batches: Batches,
    access: access::Counters,
    tls: tls::Counters,
    own_polls: own_polls::Counters,
    #[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "nobody counts without it"))]
    kafka: kafka::Counters,
    log: log::Counters,
    notify: notify::Counters,
    evaluate: evaluate::Counters,
    bytes_waiting: Gauge<u64, AtomicU64>,
    clickhouse_up: Gauge,
    engine_restarts: Gauge<u64, AtomicU64>,
}

/// How what the log has gets into ClickHouse.
struct Batches {
    stored: Counter,
    rows: Histogram,
    again: Counter,
    late: Counter,
    not_found: Counter,
    put_aside: Counter,
    taken_out: Family<From, Counter>,
    oldest_seconds: Gauge<f64, AtomicU64>,
    live_seconds: Gauge<f64, AtomicU64>,
}

impl Batches {
    fn register(r: &mut Registry) -> Self {
        let rows = Histogram::new(exponential_buckets(1.0, 4.0, 10));
        r.register("batch_rows", "Rows of one batch.", rows.clone());
        let oldest_seconds = Gauge::default();
        let help = "Age of the oldest request that ClickHouse does not have.";
        r.register_with_unit("log_oldest", help, Unit::Seconds, oldest_seconds.clone());
        let live_seconds = Gauge::default();
        let help =
            "The same of requests that go ahead of a backlog, or of all where there is none.";
        r.register_with_unit("log_live", help, Unit::Seconds, live_seconds.clone());
        let again = "Tries after the first, each of a batch's rows of one table.";
        let not_found = "Times that a batch was answered as stored and was not there.";
        let late = "Batches sent again when the tables may have forgotten their tokens.";
        let aside = "Requests that ClickHouse refuses: see holdup spool.";
        Self {
            stored: add(r, "batches", "Batches that ClickHouse has."),
            rows,
            again: add(r, "batches_sent_again", again),
            late: add(r, "batches_sent_late", late),
            not_found: add(r, "batches_not_found", not_found),
            put_aside: add(r, "requests_put_aside", aside),
            taken_out: add(r, "log_taken_out", "Requests out of the log, by where they were read."),
            oldest_seconds,
            live_seconds,
        }
    }
}

/// The totals that the page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Poll spans and suspects taken.
    pub(crate) received: u64,
    /// Spans that are neither.
    pub(crate) ignored: u64,
    /// Records that services say they dropped.
    pub(crate) dropped_by_services: u64,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("holdup");
        let r = &mut registry;
        let insert_seconds = Histogram::new(exponential_buckets(0.002, 2.0, 15));
        let help = "Time of one insert.";
        r.register_with_unit("insert", help, Unit::Seconds, insert_seconds.clone());
        Self {
            access: access::Counters::register(r),
            tls: tls::Counters::register(r),
            own_polls: own_polls::Counters::register(r),
            kafka: kafka::Counters::register(r),
            log: log::Counters::register(r),
            notify: notify::Counters::register(r),
            evaluate: evaluate::Counters::register(r),
            batches: Batches::register(r),
            spans: add(r, "spans_received", "Spans in requests that were answered."),
            polls: add(r, "poll_spans", "Poll spans taken."),
            suspects: add(r, "suspect_spans", "Spans taken because of a large busy_ns."),
            ignored: add(r, "spans_ignored", "Spans that are neither poll spans nor suspects."),
            rejected: add(r, "spans_rejected", "Poll spans that can't be used."),
            clamped: add(r, "spans_clamped", "Spans whose start was set to the time of arrival."),
            cut: add(r, "names_cut", "Names and stacks cut to the bound."),
            dropped_by_senders: add(
                r,
                "dropped_by_services",
                "Records that services say they dropped; 0 means complete.",
            ),
            requests_refused: add(r, "requests_refused", "Requests answered with an error."),
            requests_not_kept: add(r, "requests_not_kept", "Requests with signals not stored."),
            forwarded: add(r, "forwarded", "Requests passed on, or tried to be."),
            forward_waiting: add(r, "forward_waiting", "Requests that wait to be passed on."),
            connections_turned_away: add(
                r,
                "connections_turned_away",
                "Connections closed at once: all others were in use.",
            ),
            metric_points: add(r, "metric_points", "Histograms and numbers taken."),
            inserts: add(r, "inserts", "Inserts sent to ClickHouse."),
            insert_rows: add(r, "insert_rows", "Rows that ClickHouse took."),
            insert_seconds,
            episodes_remembered: add(
                r,
                "episodes_remembered",
                "Episodes that late spans may still join.",
            ),
            functions_overflowed: add(r, "fold_overflow", "Polls folded as otel.metric.overflow."),
            polls_unremembered: add(
                r,
                "fold_unremembered",
                "Polls in episodes whose repeat would count again.",
            ),
            names_overflowed: add(r, "names_overflowed", "Rows kept as otel.metric.overflow."),
            stacks_left_out: add(r, "stacks_left_out", "Stacks past the bound of a day."),
            repeated: add(r, "spans_repeated", "Poll spans that were stored already."),
            bytes_waiting: add(
                r,
                "bytes_waiting",
                "Bytes in memory of requests under way, and of rows that wait.",
            ),
            clickhouse_up: add(r, "clickhouse_up", "1 when ClickHouse answered last."),
            engine_restarts: add(
                r,
                "engine_restarts",
                "Times the embedded engine was started again.",
            ),
            registry,
        }
    }

    /// A request was answered.
    pub(crate) fn received(
        &self,
        transport: Transport,
        counts: &Counts,
        polls: usize,
        suspects: usize,
    ) {
        self.spans.get_or_create(&OfTransport { transport: transport.name() }).inc_by(counts.spans);
        self.polls.inc_by(count(polls));
        self.suspects.inc_by(count(suspects));
        self.ignored.inc_by(counts.ignored);
        self.rejected.inc_by(counts.rejected);
        self.clamped.inc_by(counts.clamped);
        self.cut.inc_by(counts.cut);
        self.dropped_by_senders.inc_by(counts.dropped_by_senders);
    }

    /// A request was answered with an error.
    pub(crate) fn refused(&self, transport: Transport, reason: &'static str) {
        self.requests_refused.get_or_create(&Refused { transport: transport.name(), reason }).inc();
    }

    /// A request was passed on, or not.
    pub(crate) fn forwarded(&self, forwarded: Forwarded) {
        let outcome = match forwarded {
            Forwarded::Taken => "taken",
            Forwarded::Refused => "refused",
            Forwarded::PutOff => "put_off",
        };
        self.forwarded.get_or_create(&Outcome { outcome }).inc();
    }

    /// So many requests wait to be passed on.
    pub(crate) fn forward_waiting(&self, requests: u64) {
        self.forward_waiting.set(requests);
    }

    /// A connection was closed because there was no room for it.
    pub(crate) fn connection_turned_away(&self) {
        self.connections_turned_away.inc();
    }

    /// A request of metrics was answered.
    pub(crate) fn measured(&self, points: usize, counts: &Counts) {
        self.metric_points.inc_by(count(points));
        self.rejected.inc_by(counts.rejected);
        self.clamped.inc_by(counts.clamped);
        self.cut.inc_by(counts.cut);
    }

    /// A request held something that is not stored.
    pub(crate) fn not_kept(&self, signal: &'static str) {
        self.requests_not_kept.get_or_create(&OfSignal { signal }).inc();
    }

    /// ClickHouse took a batch, or not.
    pub(crate) fn insert(&self, rows: usize, took: Duration, taken: bool) {
        let outcome = if taken { "taken" } else { "failed" };
        self.inserts.get_or_create(&Outcome { outcome }).inc();
        self.insert_seconds.observe(took.as_secs_f64());
        self.clickhouse_up.set(i64::from(taken));
        if taken {
            self.insert_rows.inc_by(count(rows));
        }
    }

    /// What the fold remembers, and what passed its bounds.
    pub(crate) fn fold(&self, remembered: usize, counts: fold::Counts) {
        self.episodes_remembered.set(i64::try_from(remembered).unwrap_or(i64::MAX));
        self.functions_overflowed.set(counts.overflowed);
        self.polls_unremembered.set(counts.unremembered);
    }

    /// Rows were renamed because of what is past the bounds on names.
    pub(crate) fn overflowed(&self, rows: Overflowed) {
        let Overflowed { services, functions, instances } = rows;
        for (kind, rows) in
            [("service", services), ("function", functions), ("instance", instances)]
        {
            if rows > 0 && self.names_overflowed.get_or_create(&OfKind { kind }).inc_by(rows) == 0 {
                tracing::warn!(
                    "more names of a {kind} than are told apart: the rest is kept as \
                     otel.metric.overflow, see --{kind}s-max"
                );
            }
        }
    }

    /// Stacks are not stored because there are too many.
    pub(crate) fn stacks_left_out(&self, stacks: usize) {
        self.stacks_left_out.inc_by(count(stacks));
    }

    /// Poll spans came that are stored already.
    pub(crate) fn repeated(&self, spans: usize) {
        self.repeated.inc_by(count(spans));
    }

    /// What is counted of who is let in.
    pub(crate) fn access(&self) -> access::Counters {
        self.access.clone()
    }

    /// What is counted of its own polls.
    pub(crate) fn own_polls(&self) -> own_polls::Counters {
        self.own_polls.clone()
    }

    /// What is counted of TLS.
    pub(crate) fn tls(&self) -> tls::Counters {
        self.tls.clone()
    }

    /// What is counted of messages.
    #[cfg(feature = "kafka")]
    pub(crate) fn kafka(&self) -> kafka::Counters {
        self.kafka.clone()
    }

    /// What the log counts of itself.
    pub(crate) fn log(&self) -> log::Counters {
        self.log.clone()
    }

    /// What the evaluation of rules counts of itself.
    pub(crate) fn evaluate(&self) -> evaluate::Counters {
        self.evaluate.clone()
    }

    /// Requests that were put aside so far.
    pub(crate) fn put_aside_total(&self) -> u64 {
        self.batches.put_aside.get()
    }

    /// What notifications count of themselves.
    pub(crate) fn notify(&self) -> notify::Counters {
        self.notify.clone()
    }

    /// ClickHouse has a batch.
    pub(crate) fn batch(&self, rows: usize) {
        self.batches.stored.inc();
        self.batches.rows.observe(rows as f64);
    }

    /// What was sent before is sent again.
    pub(crate) fn sent_again(&self) {
        self.batches.again.inc();
    }

    /// A batch is sent again so late that it may count twice.
    pub(crate) fn sent_late(&self) {
        self.batches.late.inc();
    }

    /// What took a batch does not have it.
    pub(crate) fn not_found(&self) {
        self.batches.not_found.inc();
    }

    /// A request was put aside.
    pub(crate) fn put_aside(&self) {
        self.batches.put_aside.inc();
    }

    /// A request was taken out of the log.
    pub(crate) fn taken_out(&self, from_disk: bool) {
        let from = if from_disk { "disk" } else { "memory" };
        self.batches.taken_out.get_or_create(&From { from }).inc();
    }

    /// Whether ClickHouse answered.
    pub(crate) fn clickhouse(&self, up: bool) {
        self.clickhouse_up.set(i64::from(up));
    }

    /// The totals that the page shows.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            received: self.polls.get() + self.suspects.get(),
            ignored: self.ignored.get(),
            dropped_by_services: self.dropped_by_senders.get(),
        }
    }

    /// All of it as text, with what is read at this moment.
    pub(crate) fn text(
        &self,
        bytes_waiting: u64,
        (oldest_age_ns, live_age_ns): (u64, u64),
        engine_restarts: u64,
    ) -> String {
        self.batches.oldest_seconds.set(Duration::from_nanos(oldest_age_ns).as_secs_f64());
        self.batches.live_seconds.set(Duration::from_nanos(live_age_ns).as_secs_f64());
        self.bytes_waiting.set(bytes_waiting);
        self.engine_restarts.set(engine_restarts);
        let mut out = String::new();
        if text::encode(&mut out, &self.registry).is_err() {
            let _infallible = out.write_str("# EOF\n");
        }
        out
    }
}

/// Registers a metric at zero and hands it back.
fn add<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Clone + Default,
{
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Metrics;

    #[test]
    fn the_page_for_operators_has_every_metric_and_no_other() {
        // What the registry shows of itself has those as well of which nothing was counted yet.
        let shown = format!("{:?}", Metrics::new().registry);
        let descriptors = shown.split("Descriptor { name: \"").skip(1);
        let registered: BTreeSet<String> = descriptors
            .map(|rest| {
                let name = rest.split('"').next().unwrap();
                let unit = rest.split("unit: ").nth(1).unwrap();
                let unit = if unit.starts_with("Some(Seconds)") { "_seconds" } else { "" };
                format!("holdup_{name}{unit}")
            })
            .collect();
        assert!(registered.len() > 60, "{registered:?}");
        let page = include_str!("../../docs/operations.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `holdup_"));
        let documented: BTreeSet<String> =
            rows.map(|row| format!("holdup_{}", row.split('`').next().unwrap())).collect();
        let missing: Vec<_> = registered.difference(&documented).collect();
        let gone: Vec<_> = documented.difference(&registered).collect();
        assert!(missing.is_empty() && gone.is_empty(), "add {missing:?}, take out {gone:?}");
    }
}
