//! What of a configuration that was read again waits for a restart.

use super::Config;

impl Config {
    /// The settings that differ from another's and can't change while it runs.
    pub(crate) fn needs_restart_for(&self, other: &Self) -> Vec<&'static str> {
        let pairs = [
            ("grpc_listen", self.grpc_listen == other.grpc_listen),
            ("http_listen", self.http_listen == other.http_listen),
            ("page_listen", self.page_listen == other.page_listen),
            ("page_host", self.page_hosts == other.page_hosts),
            ("tls_cert, tls_key or tls_client_ca", self.tls == other.tls),
            ("tokens_file", self.tokens.is_some() == other.tokens.is_some()),
            ("metrics_without_token", self.metrics_without_token == other.metrics_without_token),
            ("a setting of clickhouse or engine", same(&self.clickhouse, &other.clickhouse)),
            ("a setting of connections", same(&self.connections, &other.connections)),
            ("forward_url or forward", same(&self.forward, &other.forward)),
            ("a setting of kafka", self.kafka == other.kafka),
            ("a bound of requests", same(&self.requests, &other.requests)),
            ("a setting of batches, names or episodes", same(&self.batches, &other.batches)),
            ("a setting of the log", same(&self.log, &other.log)),
        ];
        pairs.into_iter().filter_map(|(name, same)| (!same).then_some(name)).collect()
    }
}

/// Whether two values are the same in all that they show of themselves, which nobody is shown here.
fn same<T: std::fmt::Debug>(one: &T, other: &T) -> bool {
    format!("{one:?}") == format!("{other:?}")
}
