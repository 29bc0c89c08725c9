//! Switching Holdup on, and off again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::export::{self, Exporter, Target};
use crate::polling::{clock, record, switch};
use crate::settings;

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
    let installed = match builder().install() {
        Err(error @ InstallError::Threshold { .. }) => {
            tracing::warn!(target: "holdup", "{error}; the default of 10ms is used");
            builder().threshold(settings::THRESHOLD).install()
        }
        other => other,
    };
    installed.unwrap_or_else(|error| {
        tracing::warn!(target: "holdup", "blocking is not detected: {error}");
        Guard { exporter: None }
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
    flush_timeout: Option<Duration>,
    metrics_every: Option<Duration>,
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

    /// Poll spans go through this provider and whatever it is configured with, instead of to an
    /// exporter of Holdup's own. It may then drop them: by its sampler, or in its full queue, of
    /// which Holdup learns nothing. It is flushed at the end and not shut down.
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

    /// How long the drop of the guard may wait for what is still to be sent. Default 2 s.
    pub fn flush_timeout(mut self, timeout: Duration) -> Self {
        self.flush_timeout = Some(timeout);
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
            return Ok(Guard { exporter: None });
        }
        let threshold = settings::threshold(self.threshold, settings::variable)?;
        if INSTALLED.swap(true, Ordering::AcqRel) {
            return Err(InstallError::AlreadyInstalled);
        }
        let timeout = self.flush_timeout.unwrap_or(settings::FLUSH_TIMEOUT);
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
        match export::start(target, timeout) {
            Ok(exporter) => {
                switch::on(u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX));
                Ok(Guard { exporter: Some(exporter) })
            }
            Err(error) => {
                INSTALLED.store(false, Ordering::Release);
                Err(error)
            }
        }
    }
}

/// Keeps detection on. Its drop switches detection off and sends what is left, for as long as
/// [`Builder::flush_timeout`] allows.
#[derive(Debug)]
#[must_use = "detection ends when the guard is dropped: bind it to a name, `let _guard = …`"]
pub struct Guard {
    exporter: Option<Exporter>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(exporter) = self.exporter.take() {
            switch::off();
            exporter.finish();
            INSTALLED.store(false, Ordering::Release);
        }
    }
}

/// Why Holdup could not be switched on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// There is a guard already.
    #[error(
        "holdup is installed already: keep the guard of the first call, drop it before a second"
    )]
    AlreadyInstalled,
    /// `HOLDUP_THRESHOLD` is not a duration.
    #[error(
        "HOLDUP_THRESHOLD is {text:?}: write a whole number with a unit, such as 10ms or 250us"
    )]
    Threshold {
        /// What it is set to.
        text: String,
    },
    /// [`Builder::threshold`] was given zero.
    #[error("the threshold is zero, so that every poll would be reported: set at least 1ns")]
    ThresholdIsZero,
    /// The OTLP exporter can't be built from the endpoint or from a variable `OTEL_EXPORTER_OTLP_…`.
    #[error(
        "the OTLP exporter can't be configured: {reason}; see the OTEL_EXPORTER_OTLP_ variables"
    )]
    Exporter {
        /// What is wrong, in the exporter's words.
        reason: String,
    },
    /// The operating system refused a thread.
    #[error("the thread holdup-export can't be started: {source}")]
    Thread {
        /// The operating system's answer.
        source: std::io::Error,
    },
}
