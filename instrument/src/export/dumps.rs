//! Task dumps that are made without being asked for, and sent as logs over OTLP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::Resource as SdkResource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use prost::Message;

use crate::contract;
use crate::export::http::Sender;
use crate::export::metrics::attributes;
use crate::export::variables::Signal;
use crate::install::InstallError;
use crate::measure::report::text;
use crate::polling::clock;
use crate::tasks::settings::TaskDumps;
use crate::tasks::{Endpoint, Stuck, Task, TaskDump, dump};

/// Pause between two dumps that stalls bring about.
const STALLS_PAUSE: Duration = Duration::from_secs(10);
/// Pause between two dumps while a task is stuck.
const STUCK_PAUSE: Duration = Duration::from_secs(30);
/// How often tasks are looked at for those that are stuck.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Findings of polls that go on, since the process began.
static STALLS: AtomicU64 = AtomicU64::new(0);

/// A poll blocks and has not returned.
pub(crate) fn note_stall() {
    STALLS.fetch_add(1, Ordering::Relaxed);
}

/// When they are made, and what with.
pub(super) struct Dumps {
    settings: TaskDumps,
    way: Option<Way>,
    next: Option<Instant>,
    stalls: u64,
    may_tell_stalls: Instant,
    signal: Option<Flag>,
    stuck: Option<Stuck>,
    looked: Instant,
    /// When a dump tells again of what is stuck, while something is.
    tells_stuck: Option<Instant>,
    ids: RandomIdGenerator,
    is_refused: bool,
    /// Serves until it is dropped.
    endpoint: Option<Endpoint>,
}

struct Way {
    sender: Sender,
    resource: Resource,
}

impl Dumps {
    /// `spans` is the way that spans go, if that is one over OTLP.
    pub(super) fn open(
        settings: TaskDumps,
        endpoint: Option<&str>,
        spans: Option<(&Sender, &SdkResource)>,
    ) -> Result<Self, InstallError> {
        let listens = settings.address()?.map(Endpoint::open).transpose()?;
        let sends = settings.every.is_some()
            || settings.on_stall
            || settings.signal.is_some()
            || settings.stuck_after.is_some();
        let way = match spans.filter(|_| sends) {
            Some((like, resource)) => Some(Way {
                sender: Sender::open(Signal::Logs, endpoint, Some(like))?,
                resource: attributes(resource),
            }),
            None => None,
        };
        let now = Instant::now();
        Ok(Self {
            way,
            next: settings.every.map(|every| now + every),
            stalls: STALLS.load(Ordering::Relaxed),
            may_tell_stalls: now,
            signal: settings.signal.map(Flag::register).transpose()?,
            stuck: settings.stuck_after.map(Stuck::new),
            settings,
            looked: now,
            tells_stuck: None,
            ids: RandomIdGenerator::default(),
            is_refused: false,
            endpoint: listens,
        })
    }

    /// Where live tasks are told.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.endpoint.as_ref().map(Endpoint::address)
    }

    /// Makes the dump that is due, if one is.
    pub(super) fn turn(&mut self) {
        let now = Instant::now();
        if let Some(stuck) = self.stuck.as_mut().filter(|_| now - self.looked >= LOOK_EVERY) {
            self.looked = now;
            match (stuck.look(), self.tells_stuck) {
                (true, due) if due.is_none_or(|due| now >= due) => {
                    self.tells_stuck = Some(now + STUCK_PAUSE);
                    self.send(&dump(), "stuck");
                }
                // The last of them says that nothing is.
                (false, Some(_)) => {
                    self.tells_stuck = None;
                    self.send(&dump(), "stuck");
                }
                _ => {}
            }
        }
        if self.signal.as_ref().is_some_and(Flag::take) {
            let dump = dump();
            tracing::info!(target: "holdup::tasks", "{dump}");
            self.send(&dump, "signal");
        }
        if self.next.is_some_and(|next| now >= next) {
            self.next = self.settings.every.map(|every| now + every);
            self.send(&dump(), "periodic");
        }
        let stalls = STALLS.load(Ordering::Relaxed);
        if self.settings.on_stall && stalls != self.stalls && now >= self.may_tell_stalls {
            (self.stalls, self.may_tell_stalls) = (stalls, now + STALLS_PAUSE);
            self.send(&dump(), "stall");
        }
    }

    /// A dump that isn't taken is given up: it says how things are, and the next one does so as well.
    fn send(&mut self, dump: &TaskDump, reason: &str) {
        let Some(way) = &self.way else { return };
        let id = u64::from_be_bytes(self.ids.new_span_id().to_bytes());
        let stuck_after = self.settings.stuck_after;
        let id = format!("{id:016x}");
        let request = request(dump, (reason, &id), stuck_after, way.resource.clone());
        match way.sender.post(&request.encode_to_vec()) {
            Ok(()) => self.is_refused = false,
            Err(failure) => {
                if !self.is_refused {
                    tracing::warn!(
                        target: "holdup",
                        "task dumps can't be sent to {}: {failure}; set \
                         OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
                        way.sender.endpoint(),
                    );
                }
                self.is_refused = true;
            }
        }
    }
}

/// One log record for each task.
fn request(
    dump: &TaskDump,
    (reason, id): (&str, &str),
    stuck_after: Option<Duration>,
    resource: Resource,
) -> ExportLogsServiceRequest {
    let since = dump.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = clock::whole_nanoseconds(since);
    let records = dump.tasks.iter().map(|task| {
        let mut attributes = attributes_of(task);
        attributes
            .extend(stuck_after.map(|idle| {
                integer(contract::TASK_STUCK_AFTER_NS, clock::whole_nanoseconds(idle))
            }));
        attributes.push(text(contract::DUMP_ID, id));
        attributes.push(text(contract::DUMP_REASON, reason));
        attributes.extend(dump.unknown.map(|count| integer(contract::DUMP_UNKNOWN, count)));
        LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: time,
            severity_number: SeverityNumber::Info.into(),
            severity_text: "INFO".to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(task.to_string())) }),
            event_name: contract::TASK_EVENT.to_owned(),
            attributes,
            ..LogRecord::default()
        }
    });
    let scope = InstrumentationScope {
        name: contract::SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_logs = vec![ScopeLogs {
        scope: Some(scope),
        log_records: records.collect(),
        ..ScopeLogs::default()
    }];
    let resource = Some(resource);
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    }
}

fn attributes_of(task: &Task) -> Vec<KeyValue> {
    let ns = clock::whole_nanoseconds;
    let mut attributes = vec![
        text(contract::TASK_NAME, &task.name),
        text(contract::TASK_STATE, task.state.name()),
        integer(contract::TASK_SINCE_NS, ns(task.since)),
        integer(contract::TASK_AGE_NS, ns(task.age)),
        integer(contract::TASK_POLLS, task.polls),
        integer(contract::TASK_BUSY_NS, ns(task.busy)),
    ];
    attributes.extend(task.id.map(|id| integer(contract::TASK_ID, id)));
    attributes.extend(task.woken.map(|woken| integer(contract::TASK_WOKEN_NS, ns(woken))));
    if !task.file.is_empty() {
        attributes.push(text(contract::FILE, &task.file));
        attributes.push(integer(contract::LINE, u64::from(task.line)));
    }
    attributes
}

fn integer(key: &str, value: u64) -> KeyValue {
    let value = Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX));
    let value = Some(AnyValue { value: Some(value) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// A signal that came since it was last looked at.
struct Flag {
    came: Arc<AtomicBool>,
    #[cfg(unix)]
    id: signal_hook::SigId,
}

impl Flag {
    #[cfg(unix)]
    fn register(signal: i32) -> Result<Self, InstallError> {
        let came = Arc::new(AtomicBool::new(false));
        let id = signal_hook::flag::register(signal, Arc::clone(&came))
            .map_err(|source| InstallError::Signal { signal, source })?;
        Ok(Self { came, id })
    }

    #[cfg(not(unix))]
    fn register(signal: i32) -> Result<Self, InstallError> {
        let source = std::io::Error::from(std::io::ErrorKind::Unsupported);
        Err(InstallError::Signal { signal, source })
    }

    fn take(&self) -> bool {
        self.came.swap(false, Ordering::AcqRel)
    }
}

#[cfg(unix)]
impl Drop for Flag {
    fn drop(&mut self) {
        signal_hook::low_level::unregister(self.id);
    }
}
