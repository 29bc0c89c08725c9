//! Values as people read them in a terminal, and the way to stdout.

use std::io::{IsTerminal, Write};

use anyhow::Context;

/// The most characters of a name that are shown.
const CHARACTERS_MAX: usize = 400;

/// The text without control characters: a name must not be able to drive the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(visible).take(CHARACTERS_MAX).collect()
}

/// The character, or one that stands for it: what changes the direction of the text after it would
/// have a line say something else than it holds.
pub(super) fn visible(c: char) -> char {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { '\u{fffd}' } else { c }
}

/// A field of a row, as text that can be shown; empty when there is none.
pub(super) fn string(row: &serde_json::Value, field: &str) -> String {
    plain(row[field].as_str().unwrap_or_default())
}

/// A field of a row that is a whole number; 0 when there is none.
pub(super) fn number(row: &serde_json::Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_default()
}

/// A duration in the unit that leaves one to three digits before the point.
pub(super) fn duration(ns: u64) -> String {
    let (divisor, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        1_000_000_000..120_000_000_000 => (1_000_000_000, "s"),
        120_000_000_000..7_200_000_000_000 => (60_000_000_000, "min"),
        _ => (3_600_000_000_000, "h"),
    };
    format!("{}.{} {unit}", ns / divisor, ns % divisor * 10 / divisor)
}

/// A time as RFC 3339 has it, to the second, UTC.
pub(super) fn time(unix_ms: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(unix_ms).unwrap_or(i64::MAX));
    // Past the year 9999 there is none.
    at.map(|at| format!("{at:.0}")).unwrap_or_else(|_| unix_ms.to_string())
}

/// Writes data to stdout. On a terminal control characters are left out: they are data, too.
pub(super) fn print(data: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = if out.is_terminal() {
        let text = String::from_utf8_lossy(data);
        let shown = |c| if c == '\n' { c } else { visible(c) };
        let mut text: String = text.chars().map(shown).collect();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        out.write_all(text.as_bytes())
    } else {
        out.write_all(data)
    };
    match written.and_then(|()| out.flush()) {
        // A pager that was closed has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the answer"),
    }
}

/// Tells the user something that is no data. When stderr is gone too, nobody is left to tell.
pub(super) fn tell(text: &str) {
    let _unwritten = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::{duration, plain, time};

    #[test]
    fn durations_are_short() {
        for (ns, text) in [
            (0, "0 ns"),
            (1_500, "1.5 µs"),
            (12_345_678, "12.3 ms"),
            (9_990_000_000, "9.9 s"),
            (180_000_000_000, "3.0 min"),
            (36_000_000_000_000, "10.0 h"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn times_are_of_utc_and_any_number_is_one() {
        assert_eq!(time(1_795_339_164_007), "2026-11-22T09:19:24Z");
        assert_eq!(time(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\n\u{9b}"), "a\u{fffd}[31mb\u{fffd}\u{fffd}");
        assert_eq!(plain("a\u{202e}b"), "a\u{fffd}b");
    }
}
