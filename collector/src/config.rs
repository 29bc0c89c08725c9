//! The configuration: a flag goes over an environment variable, that over the file, that over the
//! default.

mod bounds;
mod changed;
mod complete;
mod file;
mod kafka;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::access::Tokens;
use crate::connections::Bounds;
use crate::forward;
use crate::receive::RequestLimits;
use crate::rules::LoadError;
use crate::store::Address;
use crate::{batch, evaluate, kafka as broker, log, notify, tls};
pub(crate) use file::parse_tokens;
use file::read;

/// What `holdup serve` runs with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// OTLP over gRPC.
    pub(crate) grpc_listen: SocketAddr,
    /// OTLP over HTTP.
    pub(crate) http_listen: SocketAddr,
    /// The page.
    pub(crate) page_listen: SocketAddr,
    /// Names that the page answers to, beside localhost and addresses.
    pub(crate) page_hosts: Vec<String>,
    /// The certificate of the listeners; without one, they speak no TLS.
    pub(crate) tls: Option<tls::Files>,
    /// Who may do what; without any, everybody may do everything.
    pub(crate) tokens: Option<Tokens>,
    /// Whether /metrics needs no token.
    pub(crate) metrics_without_token: bool,
    /// Where ClickHouse is.
    pub(crate) clickhouse: ClickHouse,
    /// Bounds on the connections of each listener.
    pub(crate) connections: Bounds,
    /// Where requests are passed on to, if they are.
    pub(crate) forward: Option<forward::Settings>,
    /// Topics that requests are read from, if there are any.
    pub(crate) kafka: Option<broker::Settings>,
    /// Bounds on requests.
    pub(crate) requests: RequestLimits,
    /// Bounds of batches, and how polls become episodes.
    pub(crate) batches: batch::Settings,
    /// Where requests are kept until ClickHouse has them.
    pub(crate) log: log::Settings,
    /// Rules of alerts, and where their state is.
    pub(crate) alerts: evaluate::Settings,
    /// Who is told of alerts.
    pub(crate) notify: notify::Settings,
    /// How long requests under way may take when it stops.
    pub(crate) stop_within: Duration,
}

/// Somebody's ClickHouse, or our own.
#[derive(Clone, Debug)]
pub(crate) enum ClickHouse {
    /// One that the user runs.
    At(Address),
    /// The embedded engine.
    Embedded {
        /// Folder for its data.
        data_dir: PathBuf,
        /// Where it serves ClickHouse's HTTP interface.
        listen: SocketAddr,
        /// The library, when it is not where it is installed to.
        library: Option<PathBuf>,
        /// Database that holds the tables.
        database: String,
    },
}

/// Why the configuration can't be used. The exit code is 78.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file that can't be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file with something wrong in it.
    #[error("{path}: {reason}")]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What and where.
        reason: String,
    },
    /// Values that don't go together.
    #[error("{0}")]
    Conflict(String),
    /// A certificate, key or authority that can't be used.
    #[error("{0}")]
    Tls(#[from] tls::TlsError),
    /// Alert rules that can't be used.
    #[error("{0}")]
    Rules(LoadError),
}

/// The settings of `holdup serve`. Each is also an environment variable, and all but `--config` a
/// key of the file, with `_` for `-`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Configuration file (TOML)
    #[arg(long, env = "HOLDUP_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Where OTLP over gRPC is taken [default: 127.0.0.1:4317]
    #[arg(long, env = "HOLDUP_GRPC_LISTEN", value_name = "ADDR")]
    grpc_listen: Option<SocketAddr>,
    /// Where OTLP over HTTP is taken [default: 127.0.0.1:4318]
    #[arg(long, env = "HOLDUP_HTTP_LISTEN", value_name = "ADDR")]
    http_listen: Option<SocketAddr>,
    /// Where the page, the API and /metrics are served [default: 127.0.0.1:4380]
    #[arg(long, env = "HOLDUP_PAGE_LISTEN", value_name = "ADDR")]
    page_listen: Option<SocketAddr>,
    /// Certificate of all listeners (PEM), with those between it and its authority; they then speak
    /// TLS only
    #[arg(long, env = "HOLDUP_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, env = "HOLDUP_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Authorities (PEM): every client has to show a certificate by one of them
    #[arg(long, env = "HOLDUP_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Listen beyond loopback though nothing says who may send and read
    #[arg(
        long, env = "HOLDUP_ALLOW_UNAUTHENTICATED", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    pub(crate) allow_unauthenticated: Option<bool>,
    /// File of tokens (TOML) that clients, people and scrapers have to show: see `holdup token new`
    #[arg(long, env = "HOLDUP_TOKENS_FILE", value_name = "FILE")]
    tokens_file: Option<PathBuf>,
    /// Let /metrics be read without a token
    #[arg(
        long, env = "HOLDUP_METRICS_WITHOUT_TOKEN", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    metrics_without_token: Option<bool>,
    /// ClickHouse's HTTP interface, for example http://clickhouse:8123; without it, holdup runs its
    /// own
    #[arg(long, env = "HOLDUP_CLICKHOUSE_URL", value_name = "URL")]
    clickhouse_url: Option<String>,
    /// ClickHouse's user [default: default]
    #[arg(long, env = "HOLDUP_CLICKHOUSE_USER", value_name = "NAME")]
    clickhouse_user: Option<String>,
    /// File with the user's password
    #[arg(long, env = "HOLDUP_CLICKHOUSE_PASSWORD_FILE", value_name = "FILE")]
    clickhouse_password_file: Option<PathBuf>,
    /// Database for the tables, made when absent [default: holdup]
    #[arg(long, env = "HOLDUP_CLICKHOUSE_DATABASE", value_name = "NAME")]
    clickhouse_database: Option<String>,
    /// Cluster of that ClickHouse in which the tables are replicated and spread over shards, by its
    /// name in remote_servers
    #[arg(long, env = "HOLDUP_CLUSTER", value_name = "NAME")]
    cluster: Option<String>,
    /// Replicas that have a row before the log gives it up: a number, or auto for most of them
    /// [default: auto]
    #[arg(long, env = "HOLDUP_CLUSTER_QUORUM", value_name = "COUNT")]
    cluster_quorum: Option<String>,
    /// Folder for the log, and for the data of the embedded engine [default: $XDG_DATA_HOME/holdup]
    #[arg(long, env = "HOLDUP_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder for the log of requests that ClickHouse does not have yet [default: `log` in the
    /// data folder]
    #[arg(long, env = "HOLDUP_LOG_DIR", value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Bytes that the log may have before senders are told to come again [default: 4294967296]
    #[arg(long, env = "HOLDUP_LOG_BYTES_MAX", value_name = "BYTES")]
    log_bytes_max: Option<u64>,
    /// Bytes that the log leaves free on its disk [default: 268435456]
    #[arg(long, env = "HOLDUP_LOG_FREE_MIN", value_name = "BYTES")]
    log_free_min: Option<u64>,
    /// Bytes of one file of the log [default: 67108864, or an eighth of --log-bytes-max]
    #[arg(long, env = "HOLDUP_LOG_SEGMENT_BYTES", value_name = "BYTES")]
    log_segment_bytes: Option<u64>,
    /// Between two inserts of few rows: shorter shows data sooner, longer makes fewer parts
    /// [default: 2s]
    #[arg(long, env = "HOLDUP_BATCH_INTERVAL", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    batch_interval: Option<Duration>,
    /// Rows of a full batch; where more come it grows to four times as many [default: 50000]
    #[arg(long, env = "HOLDUP_BATCH_ROWS", value_name = "COUNT")]
    batch_rows: Option<usize>,
    /// Where the embedded engine serves ClickHouse's HTTP interface [default: 127.0.0.1:8123]
    #[arg(long, env = "HOLDUP_ENGINE_LISTEN", value_name = "ADDR")]
    engine_listen: Option<SocketAddr>,
    /// The engine's library, when `holdup engine install` did not put it in its place
    #[arg(long, env = "HOLDUP_ENGINE_LIBRARY", value_name = "FILE")]
    engine_library: Option<PathBuf>,
    /// Slow polls further apart than this are different episodes [default: 1s]
    #[arg(long, env = "HOLDUP_EPISODE_GAP", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    episode_gap: Option<Duration>,
    /// Functions times instances whose episodes are followed at once, with ten times as many episodes
    /// and fifty times as many polls; the rest is kept as otel.metric.overflow [default: 10000]
    #[arg(long, env = "HOLDUP_EPISODE_KEYS_MAX", value_name = "COUNT")]
    episode_keys_max: Option<usize>,
    /// Largest gRPC message, bytes [default: 20971520]
    #[arg(long, env = "HOLDUP_GRPC_BYTES_MAX", value_name = "BYTES")]
    grpc_bytes_max: Option<usize>,
    /// Largest HTTP body, compressed and decompressed alike, bytes [default: 20971520]
    #[arg(long, env = "HOLDUP_HTTP_BYTES_MAX", value_name = "BYTES")]
    http_bytes_max: Option<usize>,
    /// Spans, attributes and events of one request [default: 1000000]
    #[arg(long, env = "HOLDUP_ELEMENTS_MAX", value_name = "COUNT")]
    elements_max: Option<usize>,
    /// Bytes of requests under way before senders are told to come again; rows that wait in memory
    /// have as many at most [default: 268435456]
    #[arg(long, env = "HOLDUP_WAITING_BYTES_MAX", value_name = "BYTES")]
    waiting_bytes_max: Option<usize>,
    /// Services that are told apart; the rest is kept as otel.metric.overflow [default: 5000]
    #[arg(long, env = "HOLDUP_SERVICES_MAX", value_name = "COUNT")]
    services_max: Option<usize>,
    /// Functions of a service that are told apart, and ten times as many of all [default: 10000]
    #[arg(long, env = "HOLDUP_FUNCTIONS_MAX", value_name = "COUNT")]
    functions_max: Option<usize>,
    /// Instances of a service that are told apart within a day, and ten times as many of all
    /// [default: 10000]
    #[arg(long, env = "HOLDUP_INSTANCES_MAX", value_name = "COUNT")]
    instances_max: Option<usize>,
    /// Connections of each listener at a time; one more has the most silent one end [default: 4096]
    #[arg(long, env = "HOLDUP_CONNECTIONS_MAX", value_name = "COUNT")]
    connections_max: Option<usize>,
    /// Connections older than this are asked to end, so that clients spread anew [default: 1h]
    #[arg(long, env = "HOLDUP_CONNECTION_AGE_MAX", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(with = "humantime_serde")]
    connection_age_max: Option<Duration>,
    /// Another OTLP receiver (HTTP), for example http://otel-collector:4318, that requests are passed
    /// on to
    #[arg(long, env = "HOLDUP_FORWARD_URL", value_name = "URL")]
    forward_url: Option<String>,
    /// What is passed on: all requests as they came, or all but what the crate holdup sends
    /// [default: others]
    #[arg(long, env = "HOLDUP_FORWARD", value_name = "WHAT", value_enum)]
    forward: Option<forward::What>,
    /// Brokers of Kafka (HOST:PORT) whose topics requests are read from; in a holdup that was built with
    /// the feature `kafka`
    #[arg(long, env = "HOLDUP_KAFKA_BROKERS", value_name = "BROKERS", value_delimiter = ',')]
    kafka_brokers: Vec<String>,
    /// Group whose members share the partitions: all collectors on one ClickHouse [default: holdup]
    #[arg(long, env = "HOLDUP_KAFKA_GROUP", value_name = "NAME")]
    kafka_group: Option<String>,
    /// Topic of requests of traces [default: otlp_spans]
    #[arg(long, env = "HOLDUP_KAFKA_TRACES_TOPIC", value_name = "TOPIC")]
    kafka_traces_topic: Option<String>,
    /// Topic of requests of metrics [default: otlp_metrics]
    #[arg(long, env = "HOLDUP_KAFKA_METRICS_TOPIC", value_name = "TOPIC")]
    kafka_metrics_topic: Option<String>,
    /// Topic of requests of logs [default: otlp_logs]
    #[arg(long, env = "HOLDUP_KAFKA_LOGS_TOPIC", value_name = "TOPIC")]
    kafka_logs_topic: Option<String>,
    /// Speak TLS with the brokers
    #[arg(
        long, env = "HOLDUP_KAFKA_TLS", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true"
    )]
    kafka_tls: Option<bool>,
    /// Authorities of the brokers' certificates (PEM) [default: those of the system]
    #[arg(long, env = "HOLDUP_KAFKA_TLS_CA", value_name = "FILE")]
    kafka_tls_ca: Option<PathBuf>,
    /// Certificate to show to brokers that ask for one (PEM)
    #[arg(long, env = "HOLDUP_KAFKA_TLS_CERT", value_name = "FILE")]
    kafka_tls_cert: Option<PathBuf>,
    /// Key of that certificate (PEM)
    #[arg(long, env = "HOLDUP_KAFKA_TLS_KEY", value_name = "FILE")]
    kafka_tls_key: Option<PathBuf>,
    /// User to be to the brokers
    #[arg(long, env = "HOLDUP_KAFKA_USER", value_name = "NAME")]
    kafka_user: Option<String>,
    /// File with that user's password
    #[arg(long, env = "HOLDUP_KAFKA_PASSWORD_FILE", value_name = "FILE")]
    kafka_password_file: Option<PathBuf>,
    /// How the user is proven [default: scram-sha-512]
    #[arg(long, env = "HOLDUP_KAFKA_SASL", value_name = "MECHANISM", value_enum)]
    kafka_sasl: Option<broker::Mechanism>,
    /// Files with alert rules of your own, beside those that come with holdup; may be patterns, and
    /// may be given several times
    #[arg(long, env = "HOLDUP_ALERT_RULES", value_name = "FILES", value_delimiter = ',')]
    alert_rules: Vec<String>,
    /// Another name that the page answers to, beside localhost and addresses; may be given several
    /// times
    #[arg(long, env = "HOLDUP_PAGE_HOST", value_name = "NAME", value_delimiter = ',')]
    page_host: Vec<String>,
    /// Base address of the page as people reach it, for links in notifications [default: that of
    /// --page-listen]
    #[arg(long, env = "HOLDUP_EXTERNAL_URL", value_name = "URL")]
    external_url: Option<String>,
    /// Where a trace is shown, with {trace_id} in its place, for links in notifications
    #[arg(long, env = "HOLDUP_TRACE_URL", value_name = "URL")]
    trace_url: Option<String>,
    // What follows is of the file alone: see docs/alerting-receivers.md.
    #[arg(skip)]
    receivers: Vec<notify::Receiver>,
    #[arg(skip)]
    route: Option<notify::RouteKeys>,
    #[arg(skip)]
    silences: Vec<notify::Silence>,
    #[arg(skip)]
    maintenance: Vec<notify::Maintenance>,
}

/// Where ClickHouse is, by the settings that name it.
pub(crate) fn clickhouse(
    clickhouse_url: Option<String>,
    clickhouse_user: Option<String>,
    clickhouse_password_file: Option<PathBuf>,
    clickhouse_database: Option<String>,
) -> Result<ClickHouse, ConfigError> {
    let settings = Settings {
        clickhouse_url,
        clickhouse_user,
        clickhouse_password_file,
        clickhouse_database,
        ..Settings::default()
    };
    settings.clickhouse()
}

/// The log's folder, by the settings that name it.
pub(crate) fn log_folder(
    config: Option<&Path>,
    data_dir: Option<PathBuf>,
    log_dir: Option<PathBuf>,
) -> Result<PathBuf, ConfigError> {
    let file = config.map(read).transpose()?.unwrap_or_default();
    let settings = Settings { data_dir, log_dir, ..Settings::default() };
    Ok(settings.over(file).log()?.folder)
}

#[cfg(test)]
#[path = "config_fuzz.rs"]
mod fuzz;

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
