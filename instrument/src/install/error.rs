//! What can be wrong with an installation.

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
    #[non_exhaustive]
    Threshold {
        /// What it is set to.
        text: String,
    },
    /// A rule of `HOLDUP_THRESHOLDS`, [`Builder::threshold_for`](crate::Builder::threshold_for) or
    /// [`set_threshold`](crate::set_threshold) can't be used.
    #[error(
        "the threshold rule {text:?} can't be used: {reason}; rules, in HOLDUP_THRESHOLDS too, look \
         like shop::report::*=200ms, runtime:batch=1s or shop::cart=5xp99"
    )]
    #[non_exhaustive]
    Rule {
        /// The rule.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// [`set_threshold`](crate::set_threshold) was given one rule too many.
    #[error("there are {most} threshold rules already: use patterns that match more")]
    #[non_exhaustive]
    TooManyRules {
        /// How many there may be.
        most: usize,
    },
    /// [`set_threshold`](crate::set_threshold) was called without an installation.
    #[error("holdup is not installed: call init or install, and keep the guard")]
    NotInstalled,
    /// [`Builder::threshold`](crate::Builder::threshold) was given zero.
    #[error("the threshold is zero, so that every poll would be reported: set at least 1ns")]
    ThresholdIsZero,
    /// The OTLP exporter can't be built from the endpoint or from a variable `OTEL_EXPORTER_OTLP_…`.
    #[error(
        "the OTLP exporter can't be configured: {reason}; see the OTEL_EXPORTER_OTLP_ variables"
    )]
    #[non_exhaustive]
    Exporter {
        /// What is wrong, in the exporter's words.
        reason: String,
    },
    /// A variable `HOLDUP_TASKS_…` can't be used, or what [`TaskDumps`](crate::TaskDumps) was given in
    /// its place.
    #[error("{name} is {text:?}: write it like {form}")]
    #[non_exhaustive]
    Tasks {
        /// The variable.
        name: &'static str,
        /// What it is set to.
        text: String,
        /// How it could look.
        form: &'static str,
    },
    /// The address for [`TaskDumps::listen`](crate::TaskDumps::listen) is taken, or not to be had.
    #[error("nobody can ask for tasks at {address}: {source}; choose another port, or 0")]
    #[non_exhaustive]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The signal of [`TaskDumps::on_signal`](crate::TaskDumps::on_signal) can't be caught.
    #[error("signal {signal} can't be caught: {source}; choose SIGUSR1 or SIGUSR2")]
    #[non_exhaustive]
    Signal {
        /// Its number.
        signal: i32,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The operating system refused a thread.
    #[error("a thread of Holdup's can't be started: {source}")]
    #[non_exhaustive]
    Thread {
        /// The operating system's answer.
        source: std::io::Error,
    },
}
