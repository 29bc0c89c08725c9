//! The configuration: a flag goes over an environment variable, that over the file, that over the
//! default.

mod bounds;
mod file;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::batch::NameLimits;
use crate::connections::Bounds;
use crate::forward;
use crate::receive::RequestLimits;
use crate::rules::{self, LoadError};
use crate::store::Address;
use crate::{batch, evaluate, fold, log, notify};
use bounds::{at_least_1, is_http, is_url};
use file::{read, read_text};

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
    /// Where ClickHouse is.
    pub(crate) clickhouse: ClickHouse,
    /// Bounds on the connections of each listener.
    pub(crate) connections: Bounds,
    /// Where requests are passed on to, if they are.
    pub(crate) forward: Option<forward::Settings>,
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
    /// Largest gRPC message, bytes [default: 4194304]
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

impl Settings {
    /// The configuration, with the file read and the defaults filled in.
    pub(crate) fn resolve(self) -> Result<Config, ConfigError> {
        let file = match &self.config {
            Some(path) => read(path)?,
            None => Self::default(),
        };
        self.over(file).complete()
    }

    /// These settings, and where they say nothing, the others.
    fn over(self, file: Self) -> Self {
        Self {
            config: self.config,
            grpc_listen: self.grpc_listen.or(file.grpc_listen),
            http_listen: self.http_listen.or(file.http_listen),
            page_listen: self.page_listen.or(file.page_listen),
            clickhouse_url: self.clickhouse_url.or(file.clickhouse_url),
            clickhouse_user: self.clickhouse_user.or(file.clickhouse_user),
            clickhouse_password_file: self
                .clickhouse_password_file
                .or(file.clickhouse_password_file),
            clickhouse_database: self.clickhouse_database.or(file.clickhouse_database),
            data_dir: self.data_dir.or(file.data_dir),
            log_dir: self.log_dir.or(file.log_dir),
            log_bytes_max: self.log_bytes_max.or(file.log_bytes_max),
            log_free_min: self.log_free_min.or(file.log_free_min),
            log_segment_bytes: self.log_segment_bytes.or(file.log_segment_bytes),
            batch_interval: self.batch_interval.or(file.batch_interval),
            batch_rows: self.batch_rows.or(file.batch_rows),
            engine_listen: self.engine_listen.or(file.engine_listen),
            engine_library: self.engine_library.or(file.engine_library),
            episode_gap: self.episode_gap.or(file.episode_gap),
            grpc_bytes_max: self.grpc_bytes_max.or(file.grpc_bytes_max),
            http_bytes_max: self.http_bytes_max.or(file.http_bytes_max),
            elements_max: self.elements_max.or(file.elements_max),
            waiting_bytes_max: self.waiting_bytes_max.or(file.waiting_bytes_max),
            services_max: self.services_max.or(file.services_max),
            functions_max: self.functions_max.or(file.functions_max),
            instances_max: self.instances_max.or(file.instances_max),
            connections_max: self.connections_max.or(file.connections_max),
            connection_age_max: self.connection_age_max.or(file.connection_age_max),
            forward_url: self.forward_url.or(file.forward_url),
            forward: self.forward.or(file.forward),
            alert_rules: if self.alert_rules.is_empty() {
                file.alert_rules
            } else {
                self.alert_rules
            },
            page_host: if self.page_host.is_empty() { file.page_host } else { self.page_host },
            external_url: self.external_url.or(file.external_url),
            trace_url: self.trace_url.or(file.trace_url),
            receivers: file.receivers,
            route: file.route,
            silences: file.silences,
            maintenance: file.maintenance,
        }
    }

    fn complete(self) -> Result<Config, ConfigError> {
        let clickhouse = self.clickhouse()?;
        let forward = self.forward_settings()?;
        let requests = RequestLimits::default();
        let log = self.log()?;
        let names = self.names()?;
        let notify = self.notify()?;
        let alerts = evaluate::Settings {
            rules: rules::load(&self.alert_rules).map_err(ConfigError::Rules)?,
            state_dir: self.data_dir().join("alerts"),
            log_bytes_max: log.bytes_max,
        };
        let batches = batch::Settings::default();
        let gap = self.episode_gap.unwrap_or(fold::Settings::default().gap);
        if gap > EPISODE_GAP_MAX {
            return Err(ConfigError::Conflict(format!(
                "--episode-gap is more than an hour ({}): polls that far apart are no one episode",
                humantime::format_duration(gap)
            )));
        }
        Ok(Config {
            grpc_listen: self.grpc_listen.unwrap_or(([127, 0, 0, 1], 4317).into()),
            http_listen: self.http_listen.unwrap_or(([127, 0, 0, 1], 4318).into()),
            page_listen: self.page_listen.unwrap_or(PAGE_LISTEN),
            page_hosts: self.page_host,
            clickhouse,
            connections: Bounds {
                connections_max: at_least_1("connections-max", self.connections_max)?
                    .unwrap_or(Bounds::default().connections_max),
                age_max: self.connection_age_max.unwrap_or(Bounds::default().age_max),
                ..Bounds::default()
            },
            forward,
            requests: RequestLimits {
                grpc_bytes_max: at_least_1("grpc-bytes-max", self.grpc_bytes_max)?
                    .unwrap_or(requests.grpc_bytes_max),
                http_bytes_max: at_least_1("http-bytes-max", self.http_bytes_max)?
                    .unwrap_or(requests.http_bytes_max),
                elements_max: at_least_1("elements-max", self.elements_max)?
                    .unwrap_or(requests.elements_max),
                ..requests
            },
            batches: batch::Settings {
                waiting_bytes_max: at_least_1("waiting-bytes-max", self.waiting_bytes_max)?
                    .unwrap_or(batches.waiting_bytes_max),
                rows_max: at_least_1("batch-rows", self.batch_rows)?.unwrap_or(batches.rows_max),
                interval: self.batch_interval.unwrap_or(batches.interval),
                names,
                fold: fold::Settings::with_gap(gap),
                ..batches
            },
            alerts,
            log,
            notify,
            stop_within: Duration::from_secs(8),
        })
    }

    /// Who is told of alerts: what is in the file, and where links lead.
    fn notify(&self) -> Result<notify::Settings, ConfigError> {
        let page_listen = self.page_listen.unwrap_or(PAGE_LISTEN);
        let external_url = match &self.external_url {
            None => format!("http://{page_listen}"),
            Some(url) if is_url(url, &["http", "https"]) => url.trim_end_matches('/').to_owned(),
            Some(url) => {
                return Err(ConfigError::Conflict(format!(
                    "--external-url {url:?} is no address of the page: it begins with https:// or \
                     http://"
                )));
            }
        };
        let keys = notify::Keys {
            receivers: self.receivers.clone(),
            route: self.route.clone(),
            silences: self.silences.clone(),
            maintenance: self.maintenance.clone(),
            trace_url: self.trace_url.clone(),
        };
        notify::Settings::new(keys, external_url).map_err(ConfigError::Conflict)
    }

    fn names(&self) -> Result<NameLimits, ConfigError> {
        let default = NameLimits::default();
        Ok(NameLimits {
            services_max: at_least_1("services-max", self.services_max)?
                .unwrap_or(default.services_max),
            functions_max: at_least_1("functions-max", self.functions_max)?
                .unwrap_or(default.functions_max),
            instances_max: at_least_1("instances-max", self.instances_max)?
                .unwrap_or(default.instances_max),
        })
    }

    fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(crate::engine::data_home)
    }

    fn log(&self) -> Result<log::Settings, ConfigError> {
        let data_dir = || self.data_dir();
        let bytes_max = self.log_bytes_max.unwrap_or(4 << 30);
        let segment_bytes = self.log_segment_bytes.unwrap_or((bytes_max / 8).min(64 << 20));
        if segment_bytes < SEGMENT_BYTES_MIN || segment_bytes > bytes_max / 4 {
            return Err(ConfigError::Conflict(format!(
                "the log has files of {segment_bytes} bytes and {bytes_max} in all: choose at least \
                 {SEGMENT_BYTES_MIN} for --log-segment-bytes, and four times that for \
                 --log-bytes-max"
            )));
        }
        Ok(log::Settings {
            folder: self.log_dir.clone().unwrap_or_else(|| data_dir().join("log")),
            bytes_max,
            free_min: self.log_free_min.unwrap_or(256 << 20),
            segment_bytes,
        })
    }

    fn forward_settings(&self) -> Result<Option<forward::Settings>, ConfigError> {
        let Some(url) = self.forward_url.clone() else {
            return match self.forward {
                Some(_) => Err(ConfigError::Conflict(
                    "--forward says what to pass on, and nothing where to: add --forward-url"
                        .into(),
                )),
                None => Ok(None),
            };
        };
        if !is_http(&url) {
            return Err(ConfigError::Conflict(format!(
                "--forward-url {url:?} is no address of an OTLP receiver: it begins with http:// \
                 and most often ends with :4318"
            )));
        }
        let what = self.forward.unwrap_or(forward::What::Others);
        Ok(Some(forward::Settings { url, what }))
    }

    fn clickhouse(&self) -> Result<ClickHouse, ConfigError> {
        let database = self.clickhouse_database.clone().unwrap_or_else(|| "holdup".into());
        let Some(url) = self.clickhouse_url.clone() else {
            if self.clickhouse_user.is_some() || self.clickhouse_password_file.is_some() {
                return Err(ConfigError::Conflict(
                    "a ClickHouse user is given but no ClickHouse: add --clickhouse-url".into(),
                ));
            }
            return Ok(ClickHouse::Embedded {
                data_dir: self.data_dir(),
                listen: self.engine_listen.unwrap_or(([127, 0, 0, 1], 8123).into()),
                library: self.engine_library.clone(),
                database,
            });
        };
        if !is_http(&url) {
            return Err(ConfigError::Conflict(format!(
                "--clickhouse-url {url:?} is no address of ClickHouse's HTTP interface: it begins \
                 with http:// and most often ends with :8123"
            )));
        }
        let password = match &self.clickhouse_password_file {
            Some(path) => read_text(path)?.trim_end_matches(['\r', '\n']).to_owned(),
            None => String::new(),
        };
        let user = self.clickhouse_user.clone().unwrap_or_else(|| "default".into());
        Ok(ClickHouse::At(Address { url, user, password, database }))
    }
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

/// The smallest file of the log that is of use.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Where the page is unless the user says so.
const PAGE_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4380);

/// The longest gap within an episode.
const EPISODE_GAP_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
#[path = "config_fuzz.rs"]
mod fuzz;

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
