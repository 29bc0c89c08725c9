//! What is set by code and by environment variables. Code wins, as in OpenTelemetry's SDKs.

use std::time::Duration;

use crate::install::InstallError;
use crate::polling::clock;

/// A poll that takes longer is reported.
pub(crate) const THRESHOLD: Duration = Duration::from_millis(10);
/// How often metrics are sent: they tell that the service is watched, so more often than the minute
/// that OpenTelemetry's SDKs take.
pub(crate) const METRICS_INTERVAL: Duration = Duration::from_secs(10);
/// How long the guard waits at the end for what is still to be sent.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Set to `0`, `false` or `off` to switch everything off.
const ENABLED: &str = "HOLDUP_ENABLED";
/// A duration such as `10ms`.
pub(crate) const THRESHOLD_VARIABLE: &str = "HOLDUP_THRESHOLD";
/// Rules such as `shop::*=200ms,runtime:batch=1s`.
pub(crate) const THRESHOLDS_VARIABLE: &str = "HOLDUP_THRESHOLDS";
/// Patterns such as `shop::startup::*,!shop::startup::serve`.
pub(crate) const ALLOW_VARIABLE: &str = "HOLDUP_ALLOW";
/// A number.
const REPORTS_VARIABLE: &str = "HOLDUP_REPORTS_PER_MINUTE";
/// Poll spans in a minute.
pub(crate) const REPORTS_PER_MINUTE: u32 = 600;
/// Set to `0`, `false` or `off` so that no thread of the service is ever interrupted.
const SIGNAL_VARIABLE: &str = "HOLDUP_SIGNAL";
/// A future that was suspended for longer altogether is told of.
pub(crate) const SLOW_AWAIT: (&str, Duration) = ("HOLDUP_SLOW_AWAIT", Duration::from_secs(1));
/// A future that was ready and not polled for longer altogether is told of.
pub(crate) const STARVED: (&str, Duration) = ("HOLDUP_STARVED", Duration::from_millis(100));
/// Set to `1` for debug mode.
const DEBUG_VARIABLE: &str = "HOLDUP_DEBUG";
/// Set to `0`, `false` or `off` so that findings are no lines in the log.
const LOG_VARIABLE: &str = "HOLDUP_LOG";
/// OpenTelemetry's own switch: `true` switches every SDK of the process off.
const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";

/// Whether the environment allows recording.
pub(crate) fn enabled(variable: impl Fn(&str) -> Option<String>) -> bool {
    let disabled = |value: String| value.trim().eq_ignore_ascii_case("true");
    !variable(ENABLED).as_deref().is_some_and(says_off)
        && !variable(SDK_DISABLED).is_some_and(disabled)
}

/// Whether a thread that runs may be interrupted to copy its stack.
pub(crate) fn signal(by_code: Option<bool>, variable: impl Fn(&str) -> Option<String>) -> bool {
    by_code.unwrap_or_else(|| !variable(SIGNAL_VARIABLE).as_deref().is_some_and(says_off))
}

/// Whether findings are lines in the log.
pub(crate) fn log(by_code: Option<bool>, variable: impl Fn(&str) -> Option<String>) -> bool {
    by_code.unwrap_or_else(|| !variable(LOG_VARIABLE).as_deref().is_some_and(says_off))
}

/// From when on a timed future is told of, in nanoseconds; 0 is never. A variable that can't be used
/// leaves the default in force.
pub(crate) fn limit(
    by_code: Option<Duration>,
    (name, default): (&str, Duration),
    variable: impl Fn(&str) -> Option<String>,
) -> u64 {
    let text = variable(name).filter(|text| !text.trim().is_empty());
    let by_variable = || match &text {
        Some(text) if says_off(text) => Duration::ZERO,
        Some(text) => duration(text.trim()).unwrap_or_else(|| {
            tracing::warn!(
                target: "holdup",
                "{name} is {text:?}: write a whole number with a unit, such as 100ms, or off; the \
                 default of {default:?} is used",
            );
            default
        }),
        None => default,
    };
    clock::whole_nanoseconds(by_code.unwrap_or_else(by_variable))
}

/// Whether debug mode is asked for. It may be on already.
pub(crate) fn debug(variable: impl Fn(&str) -> Option<String>) -> bool {
    let text = variable(DEBUG_VARIABLE).filter(|text| !text.trim().is_empty());
    text.is_some_and(|text| !says_off(&text))
}

/// Whether a switch is set to off.
pub(crate) fn says_off(value: &str) -> bool {
    ["0", "false", "off", "no"].iter().any(|off| value.trim().eq_ignore_ascii_case(off))
}

/// The threshold that is in force.
pub(crate) fn threshold(
    by_code: Option<Duration>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Duration, InstallError> {
    match (by_code, variable(THRESHOLD_VARIABLE)) {
        (Some(Duration::ZERO), _) => Err(InstallError::ThresholdIsZero),
        (Some(threshold), _) => Ok(threshold),
        (None, Some(text)) if !text.trim().is_empty() => {
            duration(text.trim()).ok_or(InstallError::Threshold { text })
        }
        (None, _) => Ok(THRESHOLD),
    }
}

/// How often metrics are sent.
pub(crate) fn metrics_interval(
    by_code: Option<Duration>,
    variable: impl Fn(&str) -> Option<String>,
) -> Duration {
    let by_variable = || variable("OTEL_METRIC_EXPORT_INTERVAL")?.trim().parse::<u64>().ok();
    let by_variable = || by_variable().filter(|ms| *ms > 0).map(Duration::from_millis);
    by_code.or_else(by_variable).unwrap_or(METRICS_INTERVAL)
}

/// How many poll spans may be sent in a minute.
pub(crate) fn reports_per_minute(
    by_code: Option<u32>,
    variable: impl Fn(&str) -> Option<String>,
) -> u32 {
    let by_variable = || variable(REPORTS_VARIABLE)?.trim().parse().ok();
    by_code.or_else(by_variable).unwrap_or(REPORTS_PER_MINUTE)
}

/// An environment variable, if it is set to text.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A whole number with a unit, greater than zero. The attribute's `threshold` has the same form.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number = text[..digits].parse::<u64>().ok()?;
    let duration = match text[digits..].trim_start() {
        "ns" => Duration::from_nanos(number),
        "us" | "µs" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(name: &'static str, value: &'static str) -> impl Fn(&str) -> Option<String> {
        move |asked| (asked == name).then(|| value.to_owned())
    }

    #[test]
    fn durations_have_a_unit() {
        for (text, ns) in
            [("10ms", 10_000_000), ("250us", 250_000), ("3 s", 3_000_000_000), ("7ns", 7)]
        {
            assert_eq!(duration(text), Some(Duration::from_nanos(ns)), "{text}");
        }
        for text in ["", "10", "ms", "0ms", "-1ms", "1.5ms", "10 parsecs", "99999999999999999999s"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn either_switch_is_enough() {
        assert!(enabled(|_| None));
        assert!(enabled(only("HOLDUP_ENABLED", "1")));
        assert!(!enabled(only("HOLDUP_ENABLED", "0")));
        assert!(!enabled(only("HOLDUP_ENABLED", " False ")));
        assert!(!enabled(only("OTEL_SDK_DISABLED", "TRUE")));
        assert!(enabled(only("OTEL_SDK_DISABLED", "1")), "the specification knows true alone");
    }

    #[test]
    fn signals_are_sent_unless_that_is_switched_off() {
        assert!(signal(None, |_| None));
        assert!(!signal(None, only("HOLDUP_SIGNAL", "0")));
        assert!(signal(Some(true), only("HOLDUP_SIGNAL", "0")));
        assert!(!signal(Some(false), only("HOLDUP_SIGNAL", "1")));
    }

    #[test]
    fn a_limit_can_be_none_and_nonsense_leaves_the_default() {
        let of = |by_code, text| limit(by_code, STARVED, only("HOLDUP_STARVED", text));
        assert_eq!(of(None, ""), 100_000_000);
        assert_eq!(of(None, "7ms"), 7_000_000);
        assert_eq!([of(None, "off"), of(None, "0"), of(Some(Duration::ZERO), "7ms")], [0, 0, 0]);
        assert_eq!(of(None, "soon"), 100_000_000);
    }

    #[test]
    fn code_wins_and_nonsense_is_refused() {
        let environment = only("HOLDUP_THRESHOLD", "25ms");
        let by_code = Some(Duration::from_millis(3));
        assert_eq!(threshold(by_code, &environment).unwrap(), Duration::from_millis(3));
        assert_eq!(threshold(None, &environment).unwrap(), Duration::from_millis(25));
        assert_eq!(threshold(None, |_| None).unwrap(), THRESHOLD);
        let error = threshold(None, only("HOLDUP_THRESHOLD", "soon")).unwrap_err().to_string();
        assert!(error.contains("HOLDUP_THRESHOLD") && error.contains("soon"), "{error}");
    }
}
