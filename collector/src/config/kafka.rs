//! The settings of topics that requests are read from.

use super::bounds::at_least_1;
use super::file::read_text;
use super::{ConfigError, Settings};
use crate::kafka;
use crate::receive::RequestLimits;

impl Settings {
    /// Where messages are, if any are to be read.
    pub(super) fn kafka(&self) -> Result<Option<kafka::Settings>, ConfigError> {
        let refused = |reason: &str| Err(ConfigError::Conflict(reason.into()));
        if self.kafka_brokers.is_empty() {
            if self.says_of_kafka() {
                return refused("settings of Kafka are given, and no broker: add --kafka-brokers");
            }
            return Ok(None);
        }
        if !cfg!(feature = "kafka") {
            return refused(
                "--kafka-brokers is given, and this holdup was built without Kafka: build it with \
                 `cargo build --release --package holdup-collector --features kafka`",
            );
        }
        if let Some(broker) = self.kafka_brokers.iter().find(|broker| !is_broker(broker)) {
            return Err(ConfigError::Conflict(format!(
                "--kafka-brokers {broker:?} is no broker: give HOST:PORT, most often with 9092"
            )));
        }
        let default = kafka::Topics::default();
        let topics = kafka::Topics {
            traces: self.kafka_traces_topic.clone().unwrap_or(default.traces),
            metrics: self.kafka_metrics_topic.clone().unwrap_or(default.metrics),
            logs: self.kafka_logs_topic.clone().unwrap_or(default.logs),
        };
        let mut names = [&topics.traces, &topics.metrics, &topics.logs];
        names.sort();
        if names.iter().any(|name| name.is_empty()) || names.windows(2).any(|two| two[0] == two[1])
        {
            return refused(
                "--kafka-traces-topic, --kafka-metrics-topic and --kafka-logs-topic are one topic \
                 each: what a message is, its topic says",
            );
        }
        let message_bytes_max = at_least_1("http-bytes-max", self.http_bytes_max)?;
        Ok(Some(kafka::Settings {
            brokers: self.kafka_brokers.clone(),
            group: self.kafka_group.clone().unwrap_or_else(|| "holdup".into()),
            topics,
            tls: self.tls_of_kafka()?,
            user: self.user_of_kafka()?,
            message_bytes_max: message_bytes_max.unwrap_or(RequestLimits::default().http_bytes_max),
        }))
    }

    fn says_of_kafka(&self) -> bool {
        self.kafka_group.is_some()
            || self.kafka_traces_topic.is_some()
            || self.kafka_metrics_topic.is_some()
            || self.kafka_logs_topic.is_some()
            || self.kafka_tls == Some(true)
            || self.kafka_tls_ca.is_some()
            || self.kafka_tls_cert.is_some()
            || self.kafka_tls_key.is_some()
            || self.kafka_user.is_some()
            || self.kafka_password_file.is_some()
            || self.kafka_sasl.is_some()
    }

    fn tls_of_kafka(&self) -> Result<Option<kafka::Tls>, ConfigError> {
        let own = match (self.kafka_tls_cert.clone(), self.kafka_tls_key.clone()) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                return Err(ConfigError::Conflict(
                    "--kafka-tls-cert and --kafka-tls-key go together: give both, or neither"
                        .into(),
                ));
            }
        };
        let tls = kafka::Tls { ca: self.kafka_tls_ca.clone(), own };
        if self.kafka_tls == Some(true) {
            // What can't be read is told here, with its path, and not by the client.
            let own = tls.own.iter().flat_map(|(cert, key)| [cert, key]);
            for path in tls.ca.iter().chain(own) {
                read_text(path)?;
            }
            return Ok(Some(tls));
        }
        if tls != kafka::Tls::default() {
            return Err(ConfigError::Conflict(
                "certificates for Kafka are given, and no TLS: add --kafka-tls".into(),
            ));
        }
        Ok(None)
    }

    fn user_of_kafka(&self) -> Result<Option<kafka::User>, ConfigError> {
        let (name, file) = match (self.kafka_user.clone(), &self.kafka_password_file) {
            (Some(name), Some(file)) => (name, file),
            (None, None) if self.kafka_sasl.is_none() => return Ok(None),
            _ => {
                return Err(ConfigError::Conflict(
                    "--kafka-user and --kafka-password-file go together: give both, or neither and \
                     no --kafka-sasl"
                        .into(),
                ));
            }
        };
        let mechanism = self.kafka_sasl.unwrap_or_default();
        if mechanism == kafka::Mechanism::Plain && self.kafka_tls != Some(true) {
            return Err(ConfigError::Conflict(
                "--kafka-sasl plain sends the password as it is: add --kafka-tls, or use \
                 scram-sha-512"
                    .into(),
            ));
        }
        let password = read_text(file)?.trim_end_matches(['\r', '\n']).to_owned();
        Ok(Some(kafka::User { mechanism, name, password }))
    }
}

/// Whether it is a host and a port.
fn is_broker(broker: &str) -> bool {
    broker.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains([',', '/', ' ']) && port.parse::<u16>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::super::file::parse;
    use super::is_broker;
    use crate::kafka;

    fn resolved(text: &str) -> Result<Option<kafka::Settings>, String> {
        let settings = parse("holdup.toml".as_ref(), text).map_err(|error| error.to_string())?;
        settings.kafka().map_err(|error| error.to_string())
    }

    #[cfg(not(feature = "kafka"))]
    #[test]
    fn without_the_client_brokers_are_refused_with_what_to_do() {
        let error = resolved("kafka_brokers = ['kafka:9092']").unwrap_err();
        assert!(error.contains("--features kafka"), "{error}");
        assert_eq!(resolved(""), Ok(None));
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn settings_that_can_not_work_are_refused_with_what_to_do() {
        let mut password = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut password, b"s3cret\n").unwrap();
        let user = format!("kafka_user = 'me'\nkafka_password_file = {:?}\n", password.path());
        let plain = format!("{user}kafka_sasl = 'plain'");
        for (more, said) in [
            ("kafka_logs_topic = 'otlp_spans'", "one topic each"),
            ("kafka_tls_ca = '/ca.pem'", "add --kafka-tls"),
            ("kafka_tls = true\nkafka_tls_ca = '/no/such'", "cannot read /no/such"),
            ("kafka_tls = true\nkafka_tls_cert = '/x'", "go together"),
            ("kafka_user = 'me'", "--kafka-password-file go together"),
            ("kafka_sasl = 'plain'", "go together"),
            ("kafka_sasl = 'gssapi'", "line 2: "),
            (plain.as_str(), "add --kafka-tls, or use scram-sha-512"),
            ("http_bytes_max = 0", "--http-bytes-max is 0"),
        ] {
            let error = resolved(&format!("kafka_brokers = ['kafka:9092']\n{more}")).unwrap_err();
            assert!(error.contains(said), "{more}: {error}");
        }
        let error = resolved("kafka_group = 'x'").unwrap_err();
        assert!(error.contains("add --kafka-brokers"), "{error}");
        let error = resolved("kafka_brokers = ['kafka']").unwrap_err();
        assert!(error.contains("HOST:PORT"), "{error}");
        let settings = resolved(&format!("kafka_brokers = ['kafka:9092']\n{user}"));
        let settings = settings.unwrap().expect("brokers");
        let (user, topics) = (settings.user.expect("a user"), settings.topics);
        assert_eq!(
            (user.password.as_str(), user.mechanism),
            ("s3cret", kafka::Mechanism::ScramSha512)
        );
        assert_eq!((settings.group.as_str(), topics), ("holdup", kafka::Topics::default()));
    }

    #[test]
    fn a_broker_is_a_host_and_a_port() {
        for broker in ["kafka:9092", "10.0.0.1:9093", "[::1]:9092"] {
            assert!(is_broker(broker), "{broker}");
        }
        for broker in ["kafka", ":9092", "kafka:", "kafka:99999", "http://kafka:9092", "a:1,b:2"] {
            assert!(!is_broker(broker), "{broker}");
        }
    }
}
