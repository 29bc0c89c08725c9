//! Requests that wait in topics of Kafka, as the OpenTelemetry Collector's Kafka exporter puts them
//! there.
//!
//! A message is a request, and goes the way of one that came over a connection. How far a partition
//! was read is committed behind what is on disk in the log, never before. `consumer` has the client, a
//! C library, and is there with the feature `kafka` alone; settings and counters always are.

#[cfg(feature = "kafka")]
mod consumer;
mod counters;

use std::path::PathBuf;

use crate::request::Signal;

#[cfg(feature = "kafka")]
pub(crate) use consumer::Consumer;
pub(crate) use counters::Counters;

/// Where messages are, and how they are come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `host:port` of some of the brokers.
    pub(crate) brokers: Vec<String>,
    /// The group whose members share the partitions.
    pub(crate) group: String,
    /// The topic of each signal.
    pub(crate) topics: Topics,
    /// What connections are made with, if it is TLS.
    pub(crate) tls: Option<Tls>,
    /// Who it is to the brokers, if they ask.
    pub(crate) user: Option<User>,
    /// A message that is longer can't be used, bytes.
    pub(crate) message_bytes_max: usize,
}

/// The topic of each signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topics {
    pub(crate) traces: String,
    pub(crate) metrics: String,
    pub(crate) logs: String,
}

impl Default for Topics {
    /// As the OpenTelemetry Collector has them.
    fn default() -> Self {
        Self {
            traces: "otlp_spans".into(),
            metrics: "otlp_metrics".into(),
            logs: "otlp_logs".into(),
        }
    }
}

#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "nobody asks without a client"))]
impl Topics {
    fn all(&self) -> [(&str, Signal); 3] {
        [
            (&self.traces, Signal::Traces),
            (&self.metrics, Signal::Metrics),
            (&self.logs, Signal::Logs),
        ]
    }

    /// What messages of a topic are.
    fn signal_of(&self, topic: &str) -> Option<Signal> {
        self.all().into_iter().find_map(|(name, signal)| (name == topic).then_some(signal))
    }
}

/// What TLS is made with; the authorities of the system, unless one is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) ca: Option<PathBuf>,
    /// Certificate and key, where brokers ask for one.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

/// Who it is to the brokers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) mechanism: Mechanism,
    pub(crate) name: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {:?}", self.name, self.mechanism)
    }
}

/// How the user is proven, in SASL's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mechanism {
    /// PLAIN: the password goes to the broker, so that it needs TLS
    Plain,
    /// SCRAM-SHA-256
    #[serde(rename = "scram-sha-256")]
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// SCRAM-SHA-512
    #[default]
    #[serde(rename = "scram-sha-512")]
    #[value(name = "scram-sha-512")]
    ScramSha512,
}
