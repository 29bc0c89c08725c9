//! ClickHouse, and the only module that talks to it.

mod alerts;
pub(crate) mod catalog;
mod cluster;
mod insert;
mod insert_measured;
mod look_up;
mod migrate;
mod mutes;
mod native;
mod others;
mod read;
mod rows;

use std::time::Duration;

use axum::http::Uri;
use clickhouse::{Client, Compression};
use tokio::net::TcpStream;

pub(crate) use alerts::{LastTold, NotificationRow, Times, TransitionRow};
pub(crate) use cluster::Cluster;
pub(crate) use insert::Table;
pub(crate) use migrate::{MigrateError, schema};
pub(crate) use mutes::MuteRow;
pub(crate) use read::{Answer, Format, PanelQuery, Picked, ROWS_MAX};
pub(crate) use rows::{RecentEpisode, Revision};

/// How to reach ClickHouse.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// Base address of its HTTP interface.
    pub(crate) url: String,
    /// User name.
    pub(crate) user: String,
    /// Password; empty when the user has none.
    pub(crate) password: String,
    /// Database that holds the tables.
    pub(crate) database: String,
    /// The cluster that has them, if it is not a single server.
    pub(crate) cluster: Option<Cluster>,
}

/// A ClickHouse with our tables in it.
#[derive(Clone)]
pub(crate) struct Store {
    client: Client,
    address: Address,
}

/// What ClickHouse, or the way to it, refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nothing answers there.
    #[error(
        "cannot reach ClickHouse at {url}: {reason}. Start it, or correct --clickhouse-url \
         (without it, holdup runs its own)"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// What the connection said.
        reason: String,
    },
    /// It takes connections, and does not answer in time.
    #[error(
        "ClickHouse at {url} is too slow: it takes connections, but gave {reason}. It has too much to \
         do, or too little to do it with: see what runs there in system.processes"
    )]
    Slow {
        /// Where.
        url: String,
        /// How long it was waited for.
        reason: String,
    },
    /// It does not know the user, or the password is wrong.
    #[error(
        "ClickHouse at {url} refuses user {user:?}: {reason}. Correct --clickhouse-user and \
         --clickhouse-password-file"
    )]
    Credentials {
        /// Where.
        url: String,
        /// As whom.
        user: String,
        /// What it said.
        reason: String,
    },
    /// It answered with an exception.
    #[error("ClickHouse refused a statement with code {code}: {reason}")]
    Exception {
        /// ClickHouse's own number of the error.
        code: u32,
        /// What it said.
        reason: String,
    },
    /// It said that it has rows, and does not find them.
    #[error(
        "ClickHouse at {url} does not have what it took. Either several servers are behind this \
         address that do not share their data: name one, or make them replicas; or it was killed \
         while it wrote"
    )]
    Missing {
        /// Where.
        url: String,
    },
    /// Anything else.
    #[error("ClickHouse at {url} did not answer as expected: {reason}")]
    Other {
        /// Where.
        url: String,
        /// What happened.
        reason: String,
    },
}

impl StoreError {
    /// Whether no statement gets an answer there now.
    pub(crate) fn is_of_server(&self) -> bool {
        self.is_of_the_way() || matches!(self, Self::Credentials { .. })
    }

    /// Whether it is the rows that ClickHouse does not take: sent again, they fail again. All else
    /// passes: a server that is away, full, out of memory or overrun with parts.
    pub(crate) fn is_of_rows(&self) -> bool {
        matches!(self, Self::Exception { code, .. } if ROW_CODES.contains(code))
    }

    /// Whether ClickHouse itself said nothing.
    pub(crate) fn is_of_the_way(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Slow { .. })
    }
}

/// ClickHouse's codes for rows that can't be read or are not allowed: unparsable texts, numbers,
/// dates and types, data cut off or incorrect, values out of range, strings and arrays too large, a
/// constraint that is violated, `throwIf` in a view.
const ROW_CODES: [u32; 22] = [
    6, 26, 27, 32, 33, 38, 41, 43, 53, 69, 70, 72, 117, 128, 131, 321, 349, 395, 407, 441, 469, 621,
];
/// How long a question that takes no work may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection may take, to tell a server that is slow from one that is away.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);
/// ClickHouse's codes for users that it does not let in: UNKNOWN_USER, WRONG_PASSWORD,
/// REQUIRED_PASSWORD, AUTHENTICATION_FAILED, ACCESS_DENIED.
const CREDENTIAL_CODES: [u32; 5] = [192, 193, 194, 516, 497];

impl Store {
    /// Opens nothing yet: the first statement does.
    pub(crate) fn new(address: Address) -> Self {
        let client = Client::default()
            .with_url(&address.url)
            .with_user(&address.user)
            .with_password(&address.password)
            .with_database(&address.database)
            .with_product_info("holdup", env!("CARGO_PKG_VERSION"))
            .with_compression(compression(&address.url));
        let settings = address.cluster.iter().flat_map(Cluster::settings);
        let client = settings.fold(client, |it, (name, value)| it.with_setting(name, value));
        Self { client, address }
    }

    /// Asks for the server's version, which also shows that it is there and lets us in.
    pub(crate) async fn server_version(&self) -> Result<String, StoreError> {
        // The database may not exist yet.
        let client = self.client.clone().with_database("system");
        let asked = client.query_raw(&catalog::statement("server_version")).fetch_one::<String>();
        match tokio::time::timeout(ANSWER_TIME_MAX, asked).await {
            Ok(answer) => answer.map_err(|e| self.explain(&e)),
            Err(_late) => Err(self.late(ANSWER_TIME_MAX).await),
        }
    }

    /// What it is that no answer came in this time: whether connections are taken there tells.
    pub(crate) async fn late(&self, waited: Duration) -> StoreError {
        let reason = format!("no answer within {} s", waited.as_secs());
        let url = self.address.url.clone();
        if self.takes_connections().await {
            StoreError::Slow { url, reason }
        } else {
            StoreError::Unreachable { url, reason }
        }
    }

    async fn takes_connections(&self) -> bool {
        let Ok(uri) = self.address.url.parse::<Uri>() else { return false };
        let Some(host) = uri.host() else { return false };
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(usual));
        let connected = tokio::time::timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await;
        connected.is_ok_and(|connected| connected.is_ok())
    }

    /// As `explain`, of what is waited for so long at most.
    async fn explain_late(&self, error: &clickhouse::error::Error, waited: Duration) -> StoreError {
        match error {
            clickhouse::error::Error::TimedOut => self.late(waited).await,
            _ => self.explain(error),
        }
    }

    /// Tells what an error of the client means for whoever has to act on it.
    fn explain(&self, error: &clickhouse::error::Error) -> StoreError {
        use clickhouse::error::Error;
        let url = self.address.url.clone();
        let text = one_line(&root_cause(error));
        if let Some(code) = exception_code(&text) {
            if CREDENTIAL_CODES.contains(&code) {
                return StoreError::Credentials {
                    url,
                    user: self.address.user.clone(),
                    reason: text,
                };
            }
            return StoreError::Exception { code, reason: text };
        }
        match error {
            Error::Network(_) | Error::TimedOut => StoreError::Unreachable { url, reason: text },
            _ => StoreError::Other { url, reason: text },
        }
    }
}

/// What never leaves this machine is not compressed: to copy it costs less.
fn compression(url: &str) -> Compression {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let here = ["127.", "localhost", "[::1]"].iter().any(|name| host.starts_with(name));
    if here { Compression::None } else { Compression::Lz4 }
}

/// The innermost cause, which is the one that says something.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let (outer, inner) = (error.to_string(), innermost.to_string());
    if inner.len() > 3 && !outer.contains(&inner) { inner } else { outer }
}

/// One line, of a length that a terminal takes.
fn one_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(600).collect()
}

/// The number in `Code: 60. DB::Exception: …`.
fn exception_code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clickhouse::Compression;

    use super::{Address, Store, StoreError, compression, exception_code, one_line};

    #[tokio::test]
    async fn who_takes_connections_and_does_not_answer_is_slow_and_not_away() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (user, password) = (String::new(), String::new());
        let database = "holdup".to_owned();
        let store = Store::new(Address { url, user, password, database, cluster: None });
        let late = || store.late(Duration::from_secs(10));
        let slow = late().await;
        assert!(matches!(slow, StoreError::Slow { .. }), "{slow}");
        assert!(slow.to_string().contains("takes connections, but gave no answer within 10 s"));
        assert!(slow.is_of_the_way(), "what was sent is looked up, and not sent again unasked");
        drop(listener);
        let away = late().await;
        assert!(matches!(away, StoreError::Unreachable { .. }), "{away}");
    }

    #[test]
    fn what_stays_on_this_machine_is_not_compressed() {
        let is_none = |url| matches!(compression(url), Compression::None);
        assert!(
            ["http://127.0.0.1:8123", "http://[::1]:1", "http://localhost"].map(is_none)
                == [true; 3]
        );
        assert!(["http://clickhouse:8123", "https://10.0.0.1"].map(is_none) == [false; 2]);
    }

    #[test]
    fn the_code_of_an_exception_is_found() {
        let text = "bad response: Code: 516. DB::Exception: default: Authentication failed";
        assert_eq!(exception_code(text), Some(516));
        assert_eq!(exception_code("connection refused"), None);
    }

    #[test]
    fn errors_are_one_line() {
        assert_eq!(one_line("a\n  b\tc\n"), "a b c");
        assert_eq!(one_line(&"x".repeat(5_000)).len(), 600);
    }
}
