//! What holdup costs beside the polls themselves: its own threads, the end of a slow poll, memory.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, bail};

use crate::interrupt::Interrupt;
use crate::repository::command;
use crate::terminal::say;

/// What a service does while the CPU time of holdup's threads is measured, and how that is said.
const SCENES: [(&str, &str, f64); 5] = [
    ("idle", "nothing is polled", 0.01),
    ("short", "1,000 polls of 0.1 ms a second", 0.5),
    ("blocks", "four blocks of 30 ms a second, with stacks", 0.5),
    ("busy", "two workers always in polls of 0.1 ms", 0.5),
    ("many", "64 threads, 10,000 polls of 0.01 ms a second", 0.5),
];
/// How long each is looked at.
const SECONDS: &str = "10";

/// One line of the table.
#[derive(Debug, PartialEq)]
pub(super) struct Cost {
    what: String,
    measured: f64,
    most: f64,
    unit: &'static str,
    decimals: usize,
}

/// Measures them all, each in a process of its own.
pub(super) fn measure(program: &Path, interrupt: &Interrupt) -> anyhow::Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for (scene, what, most) in SCENES {
        say(&format!("holdup's threads while {what}"))?;
        let [watchdog, exporter] = numbers(program, &["watchdog", scene, SECONDS])?;
        let percent = |who: &str, measured, most| {
            let what = format!("{who}: {what}");
            Cost { what, measured, most, unit: "% of a core", decimals: 3 }
        };
        costs.push(percent("watchdog", watchdog, most));
        costs.push(percent("exporter", exporter, f64::INFINITY));
        interrupt.wait(std::time::Duration::ZERO, || Ok(None::<()>))?;
    }
    say("the end of a slow poll, and memory")?;
    let slow = numbers::<2>(program, &["slow"])?;
    for (kind, measured) in ["computed", "slept"].into_iter().zip(slow) {
        let what = format!("end of a slow poll that {kind}, on its own thread");
        costs.push(Cost { what, measured, most: 2_000.0, unit: "ns", decimals: 0 });
    }
    let [bytes] = numbers(program, &["memory"])?;
    let what = "memory of a thread that polls 200 functions".to_owned();
    costs.push(Cost { what, measured: bytes / 1024.0, most: 64.0, unit: "KiB", decimals: 1 });
    Ok(costs)
}

fn numbers<const N: usize>(program: &Path, arguments: &[&str]) -> anyhow::Result<[f64; N]> {
    let output = command(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers = said.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>();
    match numbers.ok().and_then(|numbers| <[f64; N]>::try_from(numbers).ok()) {
        Some(numbers) if output.status.success() => Ok(numbers),
        _ => bail!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

/// A table in Markdown.
pub(super) fn table(costs: &[Cost]) -> String {
    let mut out = String::from("| cost | measured | at most |\n|---|---:|---:|\n");
    for Cost { what, measured, most, unit, decimals } in costs {
        let bar = if most.is_finite() { format!("{most} {unit}") } else { String::new() };
        let over = if measured > most { " (over)" } else { "" };
        let _infallible = writeln!(out, "| {what} | {measured:.decimals$} {unit}{over} | {bar} |");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Cost, table};

    #[test]
    fn what_is_over_its_bar_is_marked() {
        let of = |measured, most| Cost {
            what: "watchdog".into(),
            measured,
            most,
            unit: "% of a core",
            decimals: 3,
        };
        let text = table(&[of(0.21, 0.5), of(0.51, 0.5), of(0.51, f64::INFINITY)]);
        assert!(text.contains("| watchdog | 0.210 % of a core | 0.5 % of a core |"), "{text}");
        assert!(text.contains("| watchdog | 0.510 % of a core (over) | 0.5 % of a core |"));
        assert!(text.contains("| watchdog | 0.510 % of a core |  |"), "{text}");
    }
}
