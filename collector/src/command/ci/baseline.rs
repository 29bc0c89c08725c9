//! The file of findings that are known.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::Verdict;

/// The format's number.
const VERSION: u32 = 1;
/// Longer files are refused.
const BYTES_MAX: u64 = 16 << 20;

/// What is kept of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Known {
    pub(super) service: String,
    pub(super) function: String,
    pub(super) calls: u64,
    pub(super) max_ns: u64,
    pub(super) blocked_ns: u64,
}

impl Known {
    /// What tells it from others.
    pub(super) fn name(&self) -> (&str, &str) {
        (&self.service, &self.function)
    }
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Baseline {
    version: u32,
    findings: Vec<Known>,
}

impl Baseline {
    pub(super) fn of(findings: Vec<Known>) -> Self {
        Self { version: VERSION, findings }
    }

    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let long = std::fs::metadata(file)
            .with_context(|| format!("cannot read {shown}: make it with --write-baseline"))?
            .len();
        if long > BYTES_MAX {
            bail!("{shown} has {long} bytes, and a baseline {BYTES_MAX} at most");
        }
        let text = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
        let read: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{shown} is no baseline: make it with --write-baseline"))?;
        if read.version != VERSION {
            bail!("{shown} has version {}, and this reads {VERSION}: make it anew", read.version);
        }
        Ok(read)
    }

    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// What a finding is beside this.
    pub(super) fn verdict(&self, found: &Known, worse_by: f64) -> Verdict {
        let Some(known) = self.findings.iter().find(|known| known.name() == found.name()) else {
            return Verdict::New;
        };
        let limit = std::time::Duration::from_nanos(known.max_ns).as_secs_f64() * worse_by;
        let worse = std::time::Duration::from_nanos(found.max_ns).as_secs_f64() > limit;
        if worse { Verdict::Worse } else { Verdict::Known }
    }

    /// What is known and was not found.
    pub(super) fn gone<'a>(
        &'a self,
        found: impl Iterator<Item = &'a Known>,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let found: BTreeSet<_> = found.map(Known::name).collect();
        self.findings.iter().map(Known::name).filter(move |name| !found.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::finding;
    use super::{Baseline, Verdict};

    #[test]
    fn a_finding_is_new_worse_or_known() {
        let baseline = Baseline::of(vec![finding("a", 100).known, finding("gone", 1).known]);
        let verdict = |function, max_ns| baseline.verdict(&finding(function, max_ns).known, 2.0);
        assert_eq!(verdict("b", 1), Verdict::New);
        assert_eq!((verdict("a", 200), verdict("a", 201)), (Verdict::Known, Verdict::Worse));
        let found = [finding("a", 1).known];
        assert_eq!(baseline.gone(found.iter()).collect::<Vec<_>>(), [("shop", "gone")]);
    }
}
