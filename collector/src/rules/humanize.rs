//! Numbers as people read them, with the names and results of Prometheus's template functions.

use std::time::Duration;

/// `1234567` as `1.235M`.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return significant(value);
    }
    if value.abs() >= 1.0 {
        let (scaled, prefix) = scale_down(value, &["k", "M", "G", "T", "P", "E", "Z", "Y"]);
        return format!("{}{prefix}", significant(scaled));
    }
    let (scaled, prefix) = scale_up(value, &["m", "u", "n", "p", "f", "a", "z", "y"]);
    format!("{}{prefix}", significant(scaled))
}

/// Seconds as `1h 2m 3s`, `4.5s` or `20ms`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds == 0.0 || !seconds.is_finite() {
        return format!("{}s", significant(seconds));
    }
    if seconds.abs() < 1.0 {
        let (scaled, prefix) = scale_up(seconds, &["m", "u", "n", "p", "f", "a", "z", "y"]);
        return format!("{}{prefix}s", significant(scaled));
    }
    if seconds.abs() < 60.0 {
        return format!("{}s", significant(seconds));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let whole = Duration::try_from_secs_f64(seconds.abs()).unwrap_or(Duration::MAX).as_secs();
    let (days, hours) = (whole / 86_400, whole / 3_600 % 24);
    let (minutes, rest) = (whole / 60 % 60, whole % 60);
    match (days, hours) {
        (0, 0) => format!("{sign}{minutes}m {rest}s"),
        (0, _) => format!("{sign}{hours}h {minutes}m {rest}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {rest}s"),
    }
}

/// `0.1234` as `12.34%`.
pub(super) fn percentage(share: f64) -> String {
    format!("{}%", significant(share * 100.0))
}

fn scale_down(mut value: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < 1_000.0 {
            break;
        }
        (value, prefix) = (value / 1_000.0, next);
    }
    (value, prefix)
}

fn scale_up(mut value: f64, prefixes: &[&'static str]) -> (f64, &'static str) {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() >= 1.0 {
            break;
        }
        (value, prefix) = (value * 1_000.0, next);
    }
    (value, prefix)
}

/// Four significant digits, as C's `%.4g` writes them.
fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let rounded = format!("{value:.3e}");
    let (digits, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..4).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(digits), exponent.abs());
    }
    let decimals = usize::try_from(3 - exponent).unwrap_or(0);
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

#[cfg(test)]
mod tests {
    use super::{duration, number, percentage};

    #[test]
    fn numbers_read_as_prometheus_writes_them() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (1_234_567.0, "1.235M"),
            (999.96, "1000"),
            (12.0, "12"),
            (0.25, "250m"),
            (-1_500.0, "-1.5k"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn durations_read_as_prometheus_writes_them() {
        for (seconds, expected) in [
            (0.0, "0s"),
            (0.02, "20ms"),
            (0.000_1, "100us"),
            (7.25, "7.25s"),
            (59.9, "59.9s"),
            (60.0, "1m 0s"),
            (3_723.0, "1h 2m 3s"),
            (90_061.0, "1d 1h 1m 1s"),
            (-90.0, "-1m 30s"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }

    #[test]
    fn shares_read_as_percentages() {
        assert_eq!(percentage(0.123_45), "12.35%");
        assert_eq!(percentage(1.0), "100%");
        assert_eq!(percentage(0.000_001), "0.0001%");
    }
}
