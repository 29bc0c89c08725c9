//! Reads messages and hands them over, some at a time, in the order of each partition.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::statistics::Statistics;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Counters, Mechanism, Settings, Topics};
use crate::receive::{Receiver, Untaken};
use crate::request::Signal;

/// Messages under way at a time: as many share a sync of the log.
const UNDER_WAY_MAX: usize = 64;
/// Bytes that the client fetches ahead.
const FETCHED_KIB_MAX: u32 = 16 << 10;
/// The longest answer that the client reads; a message has to fit in.
const ANSWER_BYTES_MIN: usize = 100_000_000;
/// Between two tries of a message that is not taken: doubled from the one to the other.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long brokers may take to be told of an end.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(2);

/// Why the client can't be made.
#[derive(Debug, thiserror::Error)]
#[error("Kafka can't be read with these settings: {0}")]
pub(crate) struct KafkaError(String);

/// A member of a group.
pub(crate) struct Consumer {
    client: Arc<StreamConsumer<Told>>,
    receiver: Receiver,
    topics: Topics,
    counters: Counters,
    stop: watch::Receiver<bool>,
    /// Messages that the collector does not take at present.
    waiting: watch::Sender<usize>,
    paused: bool,
}

/// Where a message is.
#[derive(Clone)]
struct Place {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "offset {} of partition {} of {}", self.offset, self.partition, self.topic)
    }
}

/// What became of a message.
enum Outcome {
    /// It need not come again.
    Done,
    /// It has to come again: the collector stops.
    Left,
}

type UnderWay = FuturesOrdered<BoxFuture<'static, (Place, Outcome)>>;

impl Consumer {
    /// A member that hands over to `receiver`. It connects when it runs.
    ///
    /// # Errors
    ///
    /// Where the client refuses the settings.
    pub(crate) fn new(
        settings: &Settings,
        receiver: Receiver,
        counters: Counters,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, KafkaError> {
        let refused = |error: RdError| KafkaError(error.to_string());
        let told = Told { counters: counters.clone() };
        let client: StreamConsumer<Told> =
            client_config(settings).create_with_context(told).map_err(refused)?;
        let topics: Vec<&str> = settings.topics.all().iter().map(|(name, _)| *name).collect();
        client.subscribe(&topics).map_err(refused)?;
        Ok(Self {
            client: Arc::new(client),
            receiver,
            topics: settings.topics.clone(),
            counters,
            stop,
            waiting: watch::Sender::new(0),
            paused: false,
        })
    }

    /// Runs until it is told to stop; what was taken until then is committed.
    pub(crate) async fn run(mut self) {
        let client = Arc::clone(&self.client);
        let mut under_way = UnderWay::new();
        let (mut stop, mut waiting) = (self.stop.clone(), self.waiting.subscribe());
        loop {
            tokio::select! {
                biased;
                _told = stop.wait_for(|stop| *stop) => break,
                Some((place, outcome)) = under_way.next() => {
                    if !self.ended(&place, &outcome) {
                        break;
                    }
                }
                _changed = waiting.changed() => self.pause_or_resume(*waiting.borrow_and_update()),
                // While it is paused this brings nothing, and says to the group that it lives.
                message = client.recv(), if self.paused || under_way.len() < UNDER_WAY_MAX => {
                    self.received(message, &mut under_way);
                }
            }
        }
        while let Some((place, outcome)) = under_way.next().await {
            if !self.ended(&place, &outcome) {
                break;
            }
        }
        drop((under_way, client));
        self.leave().await;
    }

    fn received(
        &mut self,
        message: Result<BorrowedMessage<'_>, RdError>,
        under_way: &mut UnderWay,
    ) {
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                self.counters.errors.inc();
                return tracing::warn!("Kafka: {error}; it is tried again");
            }
        };
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        let Some(signal) = self.topics.signal_of(topic) else { return };
        if self.paused {
            // It is of a partition that came since.
            self.pause_or_resume(1);
        }
        let place = Place { topic: topic.into(), partition, offset };
        let body = Bytes::copy_from_slice(message.payload().unwrap_or_default());
        let delivery = Delivery {
            receiver: self.receiver.clone(),
            counters: self.counters.clone(),
            waiting: self.waiting.clone(),
            stop: self.stop.clone(),
        };
        under_way.push_back(Box::pin(async move {
            let outcome = delivery.deliver(signal, body, &place).await;
            (place, outcome)
        }));
    }

    /// Notes how far a partition was read. Whether what follows may be noted as well.
    fn ended(&self, place: &Place, outcome: &Outcome) -> bool {
        if matches!(outcome, Outcome::Left) {
            return false;
        }
        // Another member has the partition by now, and reads the message again.
        if let Err(error) = self.client.store_offset(&place.topic, place.partition, place.offset) {
            tracing::debug!(%error, "{place} can't be noted as read");
        }
        true
    }

    /// Fetches no more while messages wait, and goes on when none does.
    fn pause_or_resume(&mut self, waiting: usize) {
        let pause = waiting > 0;
        if !pause && !self.paused {
            return;
        }
        let done = self.client.assignment().and_then(|all| match pause {
            true => self.client.pause(&all),
            false => self.client.resume(&all),
        });
        if let Err(error) = done {
            self.counters.errors.inc();
            tracing::warn!("Kafka: cannot pause or resume: {error}");
        }
        self.paused = pause;
        self.counters.paused.set(i64::from(pause));
    }

    /// Commits what was noted, and gives the partitions to the others.
    async fn leave(self) {
        let client = self.client;
        let leave = move || {
            let committed = client.commit_consumer_state(CommitMode::Sync);
            client.unsubscribe();
            committed
        };
        // The client waits for brokers that are away, longer than a stop may take.
        let left = timeout(LEAVE_TIME_MAX, tokio::task::spawn_blocking(leave)).await;
        let reason = match left {
            Ok(Ok(Ok(()) | Err(RdError::ConsumerCommit(RDKafkaErrorCode::NoOffset)))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_late) => format!("no answer within {} s", LEAVE_TIME_MAX.as_secs()),
        };
        tracing::warn!("Kafka: the last messages are not committed, and come again: {reason}");
    }
}

/// The way of one message into the log.
struct Delivery {
    receiver: Receiver,
    counters: Counters,
    waiting: watch::Sender<usize>,
    stop: watch::Receiver<bool>,
}

/// A message that waits, for as long as it does.
struct Waits(watch::Sender<usize>);

impl Waits {
    fn begin(all: &watch::Sender<usize>) -> Self {
        all.send_modify(|waiting| *waiting += 1);
        Self(all.clone())
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Delivery {
    async fn deliver(mut self, signal: Signal, body: Bytes, place: &Place) -> Outcome {
        let (mut pause, mut waits) = (PAUSE_MIN, None);
        loop {
            let reason = match self.receiver.message(signal, body.clone()).await {
                Ok(()) => {
                    self.counters.taken();
                    return Outcome::Done;
                }
                Err(Untaken::Unusable(reason)) => {
                    self.counters.unusable();
                    tracing::warn!(
                        "{place} is no request that can be used, and is passed over: {reason}; \
                         Kafka keeps it for as long as the topic says"
                    );
                    return Outcome::Done;
                }
                Err(Untaken::NotTaken(reason)) => reason,
            };
            if waits.is_none() {
                tracing::warn!("{place} waits: {reason}");
                waits = Some(Waits::begin(&self.waiting));
            }
            tokio::select! {
                _told = self.stop.wait_for(|stop| *stop) => return Outcome::Left,
                () = sleep(pause) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }
}

/// What the client tells.
struct Told {
    counters: Counters,
}

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!("Kafka: {facility}: {message}"),
            _ => tracing::debug!("Kafka: {facility}: {message}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let lags = partitions.map(|partition| u64::try_from(partition.consumer_lag).unwrap_or(0));
        self.counters.behind.set(lags.sum());
    }

    fn error(&self, error: RdError, reason: &str) {
        self.counters.errors.inc();
        tracing::warn!("Kafka: {error}: {reason}");
    }
}

impl ConsumerContext for Told {
    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let count = consumer.assignment().map_or(0, |all| all.count());
        self.counters.partitions.set(u64::try_from(count).unwrap_or(0));
        match rebalance {
            Rebalance::Error(error) => tracing::warn!("Kafka: the group: {error}"),
            _ => tracing::info!("Kafka: {count} partitions are this collector's"),
        }
    }
}

fn client_config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    let answer_bytes_max = ANSWER_BYTES_MIN.max(settings.message_bytes_max.saturating_mul(2));
    config
        .set("bootstrap.servers", settings.brokers.join(","))
        .set("group.id", &settings.group)
        .set("client.id", "holdup")
        // What is there when the group is new is read as well.
        .set("auto.offset.reset", "earliest")
        // Commits what `store_offset` noted, and nothing else.
        .set("enable.auto.commit", "true")
        .set("enable.auto.offset.store", "false")
        .set("auto.commit.interval.ms", "1000")
        // Nothing pauses a collector for long: one that is gone is noticed sooner than after 45 s.
        .set("session.timeout.ms", "15000")
        // A member that comes or goes leaves the others what they have.
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("queued.max.messages.kbytes", FETCHED_KIB_MAX.to_string())
        .set("fetch.max.bytes", (u64::from(FETCHED_KIB_MAX) << 10).to_string())
        .set("receive.message.max.bytes", answer_bytes_max.min(i32::MAX as usize).to_string())
        .set("statistics.interval.ms", "5000")
        .set("security.protocol", protocol(settings));
    if let Some(tls) = &settings.tls {
        if let Some(ca) = &tls.ca {
            config.set("ssl.ca.location", ca.to_string_lossy());
        }
        if let Some((cert, key)) = &tls.own {
            config.set("ssl.certificate.location", cert.to_string_lossy());
            config.set("ssl.key.location", key.to_string_lossy());
        }
    }
    if let Some(user) = &settings.user {
        let mechanism = match user.mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        };
        config.set("sasl.mechanism", mechanism);
        config.set("sasl.username", &user.name).set("sasl.password", &user.password);
    }
    config
}

fn protocol(settings: &Settings) -> &'static str {
    match (&settings.tls, &settings.user) {
        (None, None) => "plaintext",
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::super::{Mechanism, Settings, Tls, Topics, User};
    use super::client_config;

    #[test]
    fn the_client_has_all_that_settings_may_ask_for() {
        let plain = Settings {
            brokers: vec!["127.0.0.1:1".into()],
            group: "holdup".into(),
            topics: Topics::default(),
            tls: None,
            user: None,
            message_bytes_max: usize::MAX,
        };
        let mechanisms = [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512];
        let users = mechanisms.map(|mechanism| User {
            mechanism,
            name: "holdup".into(),
            password: "secret".into(),
        });
        for user in users.into_iter().map(Some).chain([None]) {
            assert!(!format!("{user:?}").contains("secret"));
            for tls in [None, Some(Tls::default())] {
                let settings = Settings { tls, user: user.clone(), ..plain.clone() };
                let made = client_config(&settings).create::<BaseConsumer>();
                assert!(made.is_ok(), "{settings:?}: {:?}", made.err());
            }
        }
    }
}
