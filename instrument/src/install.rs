//! Switching Holdup on, and off again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::export::{self, Exporter, Target};
use crate::findings::{self, Finding, HandlerGuard, Wants};
use crate::polling::{clock, record, timed};
use crate::tasks::settings::TaskDumps;
use crate::thresholds::{self, AllowList, Rule, Threshold};
use crate::{settings, stack, watchdog};

mod error;

pub use error::InstallError;

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Switches Holdup on with what the environment says, until the guard is dropped.
///
/// Never fails: what is wrong is said in one warning through `tracing`, and the service runs on
/// without detection; an unusable `HOLDUP_THRESHOLD` leaves the default in force. `HOLDUP_ENABLED=0`
/// switches everything off without a word. See [`builder`] for what can be set in code.
///
/// # Examples
///
/// ```no_run
/// #[tokio::main]
/// async fn main() {
///     let _guard = holdup::init();
///     // … the service …
/// }
/// ```
#[must_use = "detection ends when the guard is dropped: bind it to a name, `let _guard = …`"]
pub fn init() -> Guard {
    let mut wanted = builder();
    let mut installed = wanted.clone().install();
    // Each of the two variables may be wrong.
    for _ in 0..2 {
        match &installed {
            Err(error @ InstallError::Threshold { .. }) => {
                tracing::warn!(target: "holdup", "{error}; the default of 10ms is used");
                wanted = wanted.threshold(settings::THRESHOLD);
            }
            Err(error @ InstallError::Rule { .. }) => {
                tracing::warn!(target: "holdup", "{error}; no rule of that variable is used");
                wanted.ignores_rules_of_environment = true;
            }
            _ => break,
        }
        installed = wanted.clone().install();
    }
    installed.unwrap_or_else(|error| {
        tracing::warn!(target: "holdup", "blocking is not detected: {error}");
        Guard { running: None }
    })
}

/// Begins to configure Holdup. What is set here wins over environment variables.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> Result<(), holdup::InstallError> {
/// let _guard = holdup::builder()
///     .service_name("checkout")
///     .endpoint("http://127.0.0.1:4318")
///     .threshold(Duration::from_millis(20))
///     .flush_timeout(Duration::ZERO)
///     .install()?;
/// # Ok(())
/// # }
/// ```
pub fn builder() -> Builder {
    Builder::default()
}

/// Settings of Holdup: see [`builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens before `install`"]
pub struct Builder {
    identity: export::Identity,
    endpoint: Option<String>,
    provider: Option<SdkTracerProvider>,
    threshold: Option<Duration>,
    rules: Vec<(String, Threshold)>,
    ignores_rules_of_environment: bool,
    reports_per_minute: Option<u32>,
    report_descheduled: bool,
    allowed: AllowList,
    tasks: TaskDumps,
    signal: Option<bool>,
    flush_timeout: Option<Duration>,
    metrics_every: Option<Duration>,
    handlers: findings::Wanted,
    writes_log: Option<bool>,
    slow_await: Option<Duration>,
    starved: Option<Duration>,
}

impl Builder {
    /// Name of the service. Else `OTEL_SERVICE_NAME`, else `service.name` in
    /// `OTEL_RESOURCE_ATTRIBUTES`, else `unknown_service:` and the program's name.
    pub fn service_name(mut self, name: impl Into<String>) -> Self {
        self.identity.name = Some(name.into());
        self
    }

    /// Version of the service. Else `service.version` in `OTEL_RESOURCE_ATTRIBUTES`.
    pub fn service_version(mut self, version: impl Into<String>) -> Self {
        self.identity.version = Some(version.into());
        self
    }

    /// Which instance of the service this is. Else `service.instance.id` in
    /// `OTEL_RESOURCE_ATTRIBUTES`, else a random UUID.
    pub fn service_instance_id(mut self, id: impl Into<String>) -> Self {
        self.identity.instance = Some(id.into());
        self
    }

    /// Base URL of an OTLP receiver over HTTP; `/v1/traces` is appended. Else
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` (a full URL) or `OTEL_EXPORTER_OTLP_ENDPOINT` (a base
    /// URL), else `http://localhost:4318`.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = Some(url.into());
        self
    }

    /// A poll that takes at least as long is reported, unless its function has a threshold of its
    /// own. Else `HOLDUP_THRESHOLD`, else 10 ms.
    pub fn threshold(mut self, threshold: Duration) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// The threshold of what a pattern matches: `shop::report::*` for functions, `runtime:batch` for
    /// the polls of a runtime with that name. Of several that match, the first counts; all of them
    /// win over `HOLDUP_THRESHOLDS`, which has the form `shop::*=200ms,runtime:batch=1s,shop::a=5xp99`,
    /// and over the attribute's `threshold`. See [`set_threshold`](crate::set_threshold) for changes
    /// at run time.
    pub fn threshold_for(
        mut self,
        pattern: impl Into<String>,
        threshold: impl Into<Threshold>,
    ) -> Self {
        self.rules.push((pattern.into(), threshold.into()));
        self
    }

    /// Poll spans that may be sent in a minute; those beyond are counted, and the count travels on
    /// the next one. Else `HOLDUP_REPORTS_PER_MINUTE`, else 600.
    pub fn reports_per_minute(mut self, reports: u32) -> Self {
        self.reports_per_minute = Some(reports);
        self
    }

    /// Functions that may block, by pattern: `shop::startup::*` may, `!shop::startup::serve` in it
    /// may not. Of the functions on the stack and the one that is watched, the innermost that a pattern
    /// is for decides; of several patterns the last. `HOLDUP_ALLOW` has the same form, with commas, and
    /// comes before those of the code. See also [`allow_blocking`](crate::allow_blocking).
    pub fn allow(mut self, patterns: &str) -> Self {
        self.allowed.add(patterns);
        self
    }

    /// When [dumps of the live tasks](crate::tasks) are made without being asked for. By default
    /// never.
    pub fn task_dumps(mut self, settings: TaskDumps) -> Self {
        self.tasks = settings;
        self
    }

    /// Whether polls are reported that took long only because the OS gave their thread no CPU, with
    /// the cause `runqueue`. By default they are counted alone.
    pub fn report_descheduled(mut self, report: bool) -> Self {
        self.report_descheduled = report;
        self
    }

    /// Poll spans go through this provider and whatever it is configured with, instead of to an
    /// exporter of Holdup's own. It may then drop them: by its sampler, or in its full queue, of
    /// which Holdup learns nothing. It is flushed at the end and not shut down.
    ///
    /// Its type is that of `opentelemetry_sdk` 0.33, which has to be the version of the service.
    pub fn tracer_provider(mut self, provider: SdkTracerProvider) -> Self {
        self.provider = Some(provider);
        self
    }

    /// How often metrics are sent, beginning after a second; zero sends none. Else
    /// `OTEL_METRIC_EXPORT_INTERVAL` in milliseconds, else 10 s. `OTEL_METRICS_EXPORTER=none` sends
    /// none either, nor does [`tracer_provider`](Self::tracer_provider).
    pub fn metrics_interval(mut self, interval: Duration) -> Self {
        self.metrics_every = Some(interval);
        self
    }

    /// Whether a thread that blocks by computing may be interrupted by a signal, for a microsecond,
    /// to copy its stack. One that is blocked in the kernel never is. Else `HOLDUP_SIGNAL`, else
    /// true.
    pub fn signal(mut self, may: bool) -> Self {
        self.signal = Some(may);
        self
    }

    /// How long the drop of the guard may wait for what is still to be sent. Default 2 s.
    pub fn flush_timeout(mut self, timeout: Duration) -> Self {
        self.flush_timeout = Some(timeout);
        self
    }

    /// Calls `handler` for each slow poll until the guard is dropped: see
    /// [`on_slow_poll`](crate::on_slow_poll).
    ///
    /// # Examples
    ///
    /// ```
    /// let builder = holdup::builder().on_slow_poll(|finding| eprintln!("{finding}"));
    /// # drop(builder);
    /// ```
    pub fn on_slow_poll(self, handler: impl Fn(&Finding) + Send + Sync + 'static) -> Self {
        self.on(Wants::SlowPolls, handler)
    }

    /// Calls `handler` for each slow poll while it lasts, until the guard is dropped: see
    /// [`on_stall`](crate::on_stall).
    pub fn on_stall(self, handler: impl Fn(&Finding) + Send + Sync + 'static) -> Self {
        self.on(Wants::Stalls, handler)
    }

    /// Calls `handler` for each finding until the guard is dropped: see
    /// [`on_finding`](crate::on_finding).
    pub fn on_finding(self, handler: impl Fn(&Finding) + Send + Sync + 'static) -> Self {
        self.on(Wants::Everything, handler)
    }

    fn on(mut self, wants: Wants, handler: impl Fn(&Finding) + Send + Sync + 'static) -> Self {
        self.handlers.0.push((wants, Arc::new(handler)));
        self
    }

    /// A [timed](crate::timed()) future that was suspended for so long altogether is told of as a slow
    /// await, unless it has a threshold of its own. Else `HOLDUP_SLOW_AWAIT`, else 1 s; zero, or
    /// `off`, is never.
    pub fn slow_await(mut self, threshold: Duration) -> Self {
        self.slow_await = Some(threshold);
        self
    }

    /// A [timed](crate::timed()) future that was ready and not polled for so long altogether is told
    /// of as starved, unless it has a threshold of its own. Else `HOLDUP_STARVED`, else 100 ms;
    /// zero, or `off`, is never.
    pub fn starved(mut self, threshold: Duration) -> Self {
        self.starved = Some(threshold);
        self
    }

    /// Whether each finding is a line in the log: a warning of the target `holdup` through `tracing`,
    /// for each function and kind at most every ten seconds, and 60 in a minute. Else `HOLDUP_LOG`,
    /// else true.
    pub fn log(mut self, writes: bool) -> Self {
        self.writes_log = Some(writes);
        self
    }

    /// Switches detection on until the guard is dropped.
    ///
    /// Blocks for a few milliseconds, to calibrate the clock. A collector that can't be reached is
    /// no error: records are kept as far as there is room, and one warning is logged.
    ///
    /// # Errors
    ///
    /// When Holdup is installed already, when a setting or an environment variable can't be used,
    /// or when the thread can't be started.
    pub fn install(self) -> Result<Guard, InstallError> {
        if !settings::enabled(settings::variable) {
            return Ok(Guard { running: None });
        }
        self.start()
    }

    /// For tests, which are watched whatever is switched off in general: on a build machine
    /// `OTEL_SDK_DISABLED` is often set. Thresholds are those of the test alone.
    pub(crate) fn install_for_tests(self) -> Result<Guard, InstallError> {
        Self { ignores_rules_of_environment: true, ..self }.start()
    }

    fn start(self) -> Result<Guard, InstallError> {
        let threshold = settings::threshold(self.threshold, settings::variable)?;
        let rules = self.rules()?;
        let reports = settings::reports_per_minute(self.reports_per_minute, settings::variable);
        let tasks = self.tasks.clone().or_environment(settings::variable)?;
        if INSTALLED.swap(true, Ordering::AcqRel) {
            return Err(InstallError::AlreadyInstalled);
        }
        let stacks = stack::Settings { signal: settings::signal(self.signal, settings::variable) };
        let timeout = self.flush_timeout.unwrap_or(settings::FLUSH_TIMEOUT);
        let limits = self.limits();
        let target = match self.provider {
            Some(provider) => Target::Provider(provider),
            None => Target::Otlp {
                endpoint: self.endpoint,
                identity: self.identity,
                metrics_every: settings::metrics_interval(self.metrics_every, settings::variable),
            },
        };
        clock::start();
        record::prepare();
        #[cfg(target_os = "linux")]
        crate::fork_ffi::switch_off_in_children();
        if settings::debug(settings::variable) {
            crate::debug::enable();
        }
        timed::start(limits);
        // A provider gives its spans ids of its own: one that goes on can't be told again by it.
        let stalls = matches!(target, Target::Otlp { .. });
        // First: the watchdog's tick follows from them.
        let allowed = thresholds::allow_list(settings::variable, self.allowed);
        thresholds::start(threshold, rules, allowed);
        let settings = findings::Settings {
            reports_per_minute: reports,
            reports_descheduled: self.report_descheduled,
            sends_stalls: stalls,
            writes_log: settings::log(self.writes_log, settings::variable),
        };
        let handlers = self.handlers.0.into_iter();
        let handlers = handlers.map(|(wants, handler)| findings::register(wants, handler));
        // What has been started ends with its drop when the rest can't be.
        let started = watchdog::start(stacks).and_then(|watchdog| {
            let backlog = Arc::new(export::Backlog::default());
            let exporter = export::start(target, tasks, Arc::clone(&backlog))?;
            let findings = match findings::start(settings, backlog, exporter.stop()) {
                Ok(findings) => findings,
                Err(error) => {
                    exporter.finish(Instant::now());
                    return Err(error);
                }
            };
            let handlers = handlers.collect();
            let process = std::process::id();
            Ok(Running { exporter, findings, handlers, timeout, watchdog, process })
        });
        match started {
            Ok(running) => Ok(Guard { running: Some(running) }),
            Err(error) => {
                thresholds::stop();
                INSTALLED.store(false, Ordering::Release);
                Err(error)
            }
        }
    }

    /// From when on timed futures are told of.
    fn limits(&self) -> timed::Limits {
        let limit = |by_code, variable| settings::limit(by_code, variable, settings::variable);
        timed::Limits {
            slow_await_ns: limit(self.slow_await, settings::SLOW_AWAIT),
            starved_ns: limit(self.starved, settings::STARVED),
        }
    }

    fn rules(&self) -> Result<Vec<Rule>, InstallError> {
        let by_code = self.rules.iter().map(|(pattern, threshold)| Rule::new(pattern, *threshold));
        let mut rules = by_code.collect::<Result<Vec<_>, _>>()?;
        let text = settings::variable(settings::THRESHOLDS_VARIABLE).unwrap_or_default();
        if !self.ignores_rules_of_environment {
            rules.extend(thresholds::parse(&text)?);
        }
        Ok(rules)
    }
}

/// The threads that work for an installation.
#[derive(Debug)]
struct Running {
    exporter: Exporter,
    findings: findings::Findings,
    handlers: Vec<HandlerGuard>,
    timeout: Duration,
    watchdog: watchdog::Watchdog,
    /// Whose threads they are.
    process: u32,
}

/// Keeps detection on. Its drop switches detection off and sends what is left, for as long as
/// [`Builder::flush_timeout`] allows.
#[derive(Debug)]
#[must_use = "detection ends when the guard is dropped: bind it to a name, `let _guard = …`"]
pub struct Guard {
    running: Option<Running>,
}

impl Guard {
    /// Where live tasks are told, if [`TaskDumps::listen`] asked for that.
    pub fn tasks_address(&self) -> Option<std::net::SocketAddr> {
        self.running.as_ref()?.exporter.tasks_address()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // A child of `fork` has none of the threads, and would wait for them.
            if running.process != std::process::id() {
                std::mem::forget(running);
                return;
            }
            let deadline = Instant::now() + running.timeout;
            thresholds::stop();
            drop(running.watchdog);
            running.findings.finish(deadline);
            running.exporter.finish(deadline);
            findings::flush(deadline);
            drop(running.handlers);
            INSTALLED.store(false, Ordering::Release);
        }
    }
}
