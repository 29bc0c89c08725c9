//! Fills in what the settings leave out, and refuses what does not go together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::bounds::{at_least_1, is_http, is_url};
use super::file::{read, read_text, read_tokens};
use super::{ClickHouse, Config, ConfigError, Settings};
use crate::batch::NameLimits;
use crate::connections::Bounds;
use crate::receive::RequestLimits;
use crate::store::{Address, Cluster};
use crate::{batch, evaluate, fold, forward, log, notify, rules, tls};

/// The smallest file of the log that is of use.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
/// Where the page is unless the user says so.
const PAGE_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4380);

/// The longest gap within an episode.
const EPISODE_GAP_MAX: Duration = Duration::from_secs(3_600);

/// A list, or where it has nothing, the other.
fn some_or(list: Vec<String>, other: Vec<String>) -> Vec<String> {
    if list.is_empty() { other } else { list }
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
    pub(super) fn over(self, file: Self) -> Self {
        Self {
            config: self.config,
            grpc_listen: self.grpc_listen.or(file.grpc_listen),
            http_listen: self.http_listen.or(file.http_listen),
            page_listen: self.page_listen.or(file.page_listen),
            tls_cert: self.tls_cert.or(file.tls_cert),
            tls_key: self.tls_key.or(file.tls_key),
            tls_client_ca: self.tls_client_ca.or(file.tls_client_ca),
            allow_unauthenticated: self.allow_unauthenticated.or(file.allow_unauthenticated),
            tokens_file: self.tokens_file.or(file.tokens_file),
            metrics_without_token: self.metrics_without_token.or(file.metrics_without_token),
            clickhouse_url: self.clickhouse_url.or(file.clickhouse_url),
            clickhouse_user: self.clickhouse_user.or(file.clickhouse_user),
            clickhouse_password_file: self
                .clickhouse_password_file
                .or(file.clickhouse_password_file),
            clickhouse_database: self.clickhouse_database.or(file.clickhouse_database),
            cluster: self.cluster.or(file.cluster),
            cluster_quorum: self.cluster_quorum.or(file.cluster_quorum),
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
            episode_keys_max: self.episode_keys_max.or(file.episode_keys_max),
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
            kafka_brokers: some_or(self.kafka_brokers, file.kafka_brokers),
            kafka_group: self.kafka_group.or(file.kafka_group),
            kafka_traces_topic: self.kafka_traces_topic.or(file.kafka_traces_topic),
            kafka_metrics_topic: self.kafka_metrics_topic.or(file.kafka_metrics_topic),
            kafka_logs_topic: self.kafka_logs_topic.or(file.kafka_logs_topic),
            kafka_tls: self.kafka_tls.or(file.kafka_tls),
            kafka_tls_ca: self.kafka_tls_ca.or(file.kafka_tls_ca),
            kafka_tls_cert: self.kafka_tls_cert.or(file.kafka_tls_cert),
            kafka_tls_key: self.kafka_tls_key.or(file.kafka_tls_key),
            kafka_user: self.kafka_user.or(file.kafka_user),
            kafka_password_file: self.kafka_password_file.or(file.kafka_password_file),
            kafka_sasl: self.kafka_sasl.or(file.kafka_sasl),
            alert_rules: some_or(self.alert_rules, file.alert_rules),
            page_host: some_or(self.page_host, file.page_host),
            external_url: self.external_url.or(file.external_url),
            trace_url: self.trace_url.or(file.trace_url),
            receivers: file.receivers,
            route: file.route,
            silences: file.silences,
            maintenance: file.maintenance,
        }
    }

    pub(super) fn complete(self) -> Result<Config, ConfigError> {
        let clickhouse = self.clickhouse()?;
        let tokens = self.tokens_file.as_deref().map(read_tokens).transpose()?;
        let tls = self.tls()?;
        let forward = self.forward_settings()?;
        let kafka = self.kafka()?;
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
        let fold = self.fold()?;
        let listen = self.listen();
        let is_closed = tokens.is_some() || self.tls_client_ca.is_some();
        self.refuse_strangers(&listen, is_closed)?;
        let [(_, grpc_listen), (_, http_listen), (_, page_listen)] = listen;
        Ok(Config {
            grpc_listen,
            http_listen,
            page_listen,
            page_hosts: self.page_host,
            tls,
            tokens,
            metrics_without_token: self.metrics_without_token.unwrap_or(false),
            clickhouse,
            connections: Bounds {
                connections_max: at_least_1("connections-max", self.connections_max)?
                    .unwrap_or(Bounds::default().connections_max),
                age_max: self.connection_age_max.unwrap_or(Bounds::default().age_max),
                ..Bounds::default()
            },
            forward,
            kafka,
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
                fold,
                ..batches
            },
            alerts,
            log,
            notify,
            stop_within: Duration::from_secs(8),
        })
    }

    /// Where it listens, and by which settings.
    fn listen(&self) -> [(&'static str, SocketAddr); 3] {
        let or = |set: Option<SocketAddr>, port| set.unwrap_or(([127, 0, 0, 1], port).into());
        [
            ("grpc-listen", or(self.grpc_listen, 4317)),
            ("http-listen", or(self.http_listen, 4318)),
            ("page-listen", self.page_listen.unwrap_or(PAGE_LISTEN)),
        ]
    }

    /// Refuses to listen where others can reach it when nothing says who may.
    fn refuse_strangers(
        &self,
        listen: &[(&str, SocketAddr)],
        is_closed: bool,
    ) -> Result<(), ConfigError> {
        if self.allow_unauthenticated == Some(true) {
            return Ok(());
        }
        let reached = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        if let Some((flag, address)) = listen.iter().find(|(_, address)| reached(address))
            && !is_closed
        {
            return Err(ConfigError::Conflict(format!(
                "--{flag} {address} can be reached from other machines, and nothing says who may: \
                 make tokens with `holdup token new NAME --tokens-file FILE` and give \
                 --tokens-file, or ask for certificates with --tls-client-ca. Where something else \
                 keeps strangers out, say --allow-unauthenticated"
            )));
        }
        match self.engine_listen.filter(reached) {
            Some(address) => Err(ConfigError::Conflict(format!(
                "--engine-listen {address} can be reached from other machines, and the embedded \
                 ClickHouse asks nobody who they are: listen on loopback, or run a ClickHouse \
                 server. Where something else keeps strangers out, say --allow-unauthenticated"
            ))),
            None => Ok(()),
        }
    }

    /// The certificate, when it can be used.
    fn tls(&self) -> Result<Option<tls::Files>, ConfigError> {
        let (cert, key) = match (self.tls_cert.clone(), self.tls_key.clone()) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) if self.tls_client_ca.is_none() => return Ok(None),
            (None, None) => {
                return Err(ConfigError::Conflict(
                    "--tls-client-ca asks clients for certificates, which needs one of the \
                     collector's: add --tls-cert and --tls-key"
                        .into(),
                ));
            }
            _ => {
                return Err(ConfigError::Conflict(
                    "--tls-cert and --tls-key go together: give both, or neither".into(),
                ));
            }
        };
        let files = tls::Files { cert, key, client_ca: self.tls_client_ca.clone() };
        files.load()?;
        Ok(Some(files))
    }

    /// Who is told of alerts: what is in the file, and where links lead.
    fn notify(&self) -> Result<notify::Settings, ConfigError> {
        let page_listen = self.page_listen.unwrap_or(PAGE_LISTEN);
        let external_url = match &self.external_url {
            None if self.tls_cert.is_some() => format!("https://{page_listen}"),
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

    pub(super) fn log(&self) -> Result<log::Settings, ConfigError> {
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

    fn fold(&self) -> Result<fold::Settings, ConfigError> {
        let defaults = fold::Settings::default();
        let gap = self.episode_gap.unwrap_or(defaults.gap);
        let keys_max = at_least_1("episode-keys-max", self.episode_keys_max)?;
        if gap > EPISODE_GAP_MAX {
            return Err(ConfigError::Conflict(format!(
                "--episode-gap is more than an hour ({}): polls that far apart are no one episode",
                humantime::format_duration(gap)
            )));
        }
        Ok(fold::Settings::with_gap(gap).with_keys_max(keys_max.unwrap_or(defaults.keys_max)))
    }

    fn cluster(&self) -> Result<Option<Cluster>, ConfigError> {
        let quorum = self.cluster_quorum.clone().unwrap_or_else(|| "auto".into());
        if quorum != "auto" && quorum.parse::<u8>().is_err() {
            return Err(ConfigError::Conflict(format!(
                "--cluster-quorum {quorum:?} is neither auto nor a number of replicas"
            )));
        }
        let Some(name) = self.cluster.clone() else { return Ok(None) };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(ConfigError::Conflict(format!(
                "--cluster {name:?} is no name of a cluster: use letters, digits, _ and -"
            )));
        }
        Ok(Some(Cluster { name, quorum }))
    }

    pub(super) fn clickhouse(&self) -> Result<ClickHouse, ConfigError> {
        let database = self.clickhouse_database.clone().unwrap_or_else(|| "holdup".into());
        let Some(url) = self.clickhouse_url.clone() else {
            if self.clickhouse_user.is_some() || self.clickhouse_password_file.is_some() {
                return Err(ConfigError::Conflict(
                    "a ClickHouse user is given but no ClickHouse: add --clickhouse-url".into(),
                ));
            }
            if self.cluster.is_some() {
                return Err(ConfigError::Conflict(
                    "--cluster names a cluster of a ClickHouse of yours: add --clickhouse-url"
                        .into(),
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
        let cluster = self.cluster()?;
        Ok(ClickHouse::At(Address { url, user, password, database, cluster }))
    }
}
