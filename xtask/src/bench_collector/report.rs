//! What was measured, as a table in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

/// What one run has shown.
pub(super) struct Figures {
    pub(super) name: String,
    pub(super) spans: u64,
    /// CPU time in user space and in the kernel.
    pub(super) cpu: (Duration, Duration),
    /// Until the last answer came,
    pub(super) sending: Duration,
    /// and until all was stored.
    pub(super) storing: Duration,
    /// Requests that had to come again.
    pub(super) again: u64,
    /// Bytes in memory at rest, and at the most.
    pub(super) idle: u64,
    pub(super) peak: u64,
    pub(super) inserts: u64,
    pub(super) bytes: u64,
}

/// A line for each run.
pub(super) fn table(figures: &[Figures]) -> String {
    let mut out = String::from(
        "\n| run | CPU ns a span | in user space | in the kernel | spans/s acknowledged | spans/s \
         stored | turned away | MiB at rest | MiB at most | inserts/s | bytes a span sent |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for of in figures {
        let ns = |time: Duration| time.as_nanos() as f64 / of.spans as f64;
        let a_second = |count: u64, time: Duration| count as f64 / time.as_secs_f64();
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (user, kernel) = of.cpu;
        let _infallible = writeln!(
            out,
            "| {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {:.0} | {:.0} | {:.1} | {:.0} |",
            of.name,
            ns(user + kernel),
            ns(user),
            ns(kernel),
            a_second(of.spans, of.sending),
            a_second(of.spans, of.storing),
            of.again,
            mebibytes(of.idle),
            mebibytes(of.peak),
            a_second(of.inserts, of.storing),
            of.bytes as f64 / of.spans as f64,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Figures, table};
    use std::time::Duration;

    #[test]
    fn cpu_time_is_told_by_span() {
        let second = Duration::from_secs(1);
        let text = table(&[Figures {
            name: "http".into(),
            spans: 1_000_000,
            cpu: (second / 2, second / 4),
            sending: second,
            storing: second * 2,
            again: 3,
            idle: 30 << 20,
            peak: 100 << 20,
            inserts: 8,
            bytes: 50_000_000,
        }]);
        let line = "| http | 750 | 500 | 250 | 1000000 | 500000 | 3 | 30 | 100 | 4.0 | 50 |";
        assert!(text.contains(line), "{text}");
    }
}
