//! What Holdup says, compared with what the demo service measured itself.

use std::fmt;

use anyhow::bail;
use serde::Deserialize;

use super::top::Row;

/// What the demo service measured of one function.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Truth {
    pub(crate) function: String,
    pub(crate) calls: u64,
    pub(crate) blocked_ns: u64,
    pub(crate) culprit: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    culprits: usize,
    innocents: usize,
    missing: Vec<String>,
    blamed: Vec<String>,
    calls_missing: u64,
    /// The largest difference in blocked time, as a share of the truth.
    difference_max: f64,
}

pub(crate) fn of(truth: &[Truth], rows: &[Row]) -> Verdict {
    let mut verdict = Verdict::default();
    for truth in truth {
        let row = rows.iter().find(|row| row.function == truth.function);
        match (truth.culprit, row) {
            (true, Some(row)) => {
                verdict.culprits += 1;
                verdict.calls_missing += truth.calls.saturating_sub(row.calls);
                let difference = share(row.blocked_ns.abs_diff(truth.blocked_ns), truth.blocked_ns);
                verdict.difference_max = verdict.difference_max.max(difference);
            }
            (true, None) => {
                verdict.culprits += 1;
                verdict.missing.push(truth.function.clone());
            }
            (false, Some(row)) => {
                verdict.innocents += 1;
                verdict.blamed.push(format!("{} ({} polls)", row.function, row.calls));
            }
            (false, None) => verdict.innocents += 1,
        }
    }
    verdict
}

#[expect(clippy::cast_precision_loss, reason = "a share of two lengths of time, shown to 0.1 %")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

impl Verdict {
    /// True when every call of every culprit has arrived.
    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.calls_missing == 0
    }

    /// Fails when a culprit is missing or an innocent is blamed.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !self.missing.is_empty() {
            bail!("Holdup missed {}", self.missing.join(", "));
        }
        if !self.blamed.is_empty() {
            bail!("Holdup blamed {}, which only waited", self.blamed.join(", "));
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.culprits - self.missing.len();
        write!(formatter, "{found} of {} culprits found", self.culprits)?;
        if found > 0 {
            let percent = self.difference_max * 100.0;
            write!(formatter, ", blocked time within {percent:.1} % of the truth")?;
        }
        match self.blamed.len() {
            0 => write!(formatter, ", none of {} innocents blamed", self.innocents),
            blamed => write!(formatter, ", {blamed} of {} innocents BLAMED", self.innocents),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(function: &str, culprit: bool) -> Truth {
        Truth { function: function.into(), calls: 10, blocked_ns: 1000, culprit }
    }

    fn row(function: &str, calls: u64, blocked_ns: u64) -> Row {
        Row { function: function.into(), calls, blocked_ns }
    }

    #[test]
    fn all_is_well_when_culprits_are_listed_and_innocents_are_not() {
        let rows = [row("sleeps", 10, 1010), row("main", 3, 9)];
        let verdict = of(&[truth("sleeps", true), truth("awaits", false)], &rows);
        verdict.check().unwrap();
        assert!(verdict.is_complete());
        let said = "1 of 1 culprits found, blocked time within 1.0 % of the truth, \
                    none of 1 innocents blamed";
        assert_eq!(verdict.to_string(), said);
    }

    #[test]
    fn a_culprit_that_is_not_listed_is_missed() {
        let verdict = of(&[truth("sleeps", true)], &[]);
        assert_eq!(verdict.check().unwrap_err().to_string(), "Holdup missed sleeps");
        assert!(!verdict.is_complete());
    }

    #[test]
    fn an_innocent_that_is_listed_is_blamed() {
        let verdict = of(&[truth("awaits", false)], &[row("awaits", 3, 600)]);
        assert!(verdict.check().unwrap_err().to_string().contains("blamed awaits (3 polls)"));
    }

    #[test]
    fn calls_that_have_not_arrived_make_it_incomplete() {
        assert!(!of(&[truth("sleeps", true)], &[row("sleeps", 9, 900)]).is_complete());
    }
}
