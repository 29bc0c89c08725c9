//! The state of alerts, in a file. A file and not ClickHouse: after a restart it must be known what
//! fires although ClickHouse is away, and each collector has a state of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::alerts::{Alert, Machine};
use crate::store::TransitionRow;

const NAME: &str = "evaluation.json";
const VERSION: u32 = 1;

/// What is in the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    version: u32,
    /// This collector's id among those that evaluate.
    pub(super) evaluator: String,
    /// By rule.
    pub(super) rules: BTreeMap<String, KeptRule>,
    /// What is said of the silences of alerts, by fingerprint.
    #[serde(default)]
    pub(super) silenced: BTreeMap<String, String>,
    /// What the history may not have yet.
    #[serde(default)]
    pub(super) unnoted: Vec<TransitionRow>,
}

/// The alerts of one rule.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptRule {
    observed_ms: Option<u64>,
    alerts: Vec<Alert>,
}

impl Kept {
    /// Nothing, under a fresh id.
    fn begun() -> io::Result<Self> {
        let mut random = [0; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        let evaluator = format!("{:016x}", u64::from_le_bytes(random));
        let (rules, silenced) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { version: VERSION, evaluator, rules, silenced, unnoted: Vec::new() })
    }

    /// The state of these machines.
    pub(super) fn of<'a>(
        evaluator: &str,
        machines: impl Iterator<Item = (&'a str, &'a Machine)>,
        silenced: BTreeMap<String, String>,
        unnoted: Vec<TransitionRow>,
    ) -> Self {
        let rule = |(name, machine): (&str, &Machine)| {
            let alerts: Vec<Alert> = machine.alerts().cloned().collect();
            (name.to_owned(), KeptRule { observed_ms: machine.observed_ms(), alerts })
        };
        let rules = machines.map(rule).filter(|(_, rule)| !rule.alerts.is_empty()).collect();
        Self { version: VERSION, evaluator: evaluator.to_owned(), rules, silenced, unnoted }
    }

    /// As it was kept in a folder. What can't be read is set aside, and told.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(NAME);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::begun(),
            Err(error) => return Err(error),
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(kept) if kept.version == VERSION => Ok(kept),
            unusable => {
                let reason = unusable.err().map_or("another version".into(), |e| e.to_string());
                let aside = path.with_extension("damaged");
                fs::rename(&path, &aside)?;
                tracing::warn!(
                    "the state of alerts can't be read ({reason}) and is set aside as {}: what \
                     fires is told again",
                    aside.display()
                );
                Self::begun()
            }
        }
    }

    /// Writes it, whole or not at all.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let path: PathBuf = folder.join(NAME);
        let beside = path.with_extension("tmp");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(folder)?.sync_all()
    }
}

impl KeptRule {
    /// The machine as it was.
    pub(super) fn machine(self) -> Machine {
        Machine::restored(self.alerts, self.observed_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::{Kept, NAME};
    use crate::alerts::{Level, Machine, Observed, Sample, Timing};

    fn fires() -> Machine {
        let timing = Timing { for_ms: 0, keep_firing_ms: 0, gap_ms: 1_000, alerts_max: 9 };
        let labels = BTreeMap::from([("service".to_owned(), "shop".to_owned())]);
        let annotations = BTreeMap::new();
        let sample =
            Sample { labels, annotations, value: 5.5, level: Level::Over, began_ms: Some(7) };
        let mut machine = Machine::default();
        machine.step(&timing, 10, Observed::Rows { samples: vec![sample], complete: true });
        machine
    }

    #[test]
    fn what_fires_is_known_after_a_restart_under_the_same_id() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Kept::read(folder.path()).unwrap();
        assert_eq!(first.evaluator.len(), 16);
        let machine = fires();
        let machines = [("A", &machine)];
        let silenced = BTreeMap::from([("a".to_owned(), "until then".to_owned())]);
        let kept = Kept::of(&first.evaluator, machines.into_iter(), silenced.clone(), vec![]);
        kept.write(folder.path()).unwrap();
        let mut again = Kept::read(folder.path()).unwrap();
        assert_eq!(again.silenced, silenced);
        assert_eq!(again.evaluator, std::mem::take(&mut first.evaluator));
        assert_eq!(again.rules.remove("A").unwrap().machine(), machine);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["{", "{\"version\":2,\"evaluator\":\"x\",\"rules\":{}}", ""] {
            fs::write(folder.path().join(NAME), text).unwrap();
            assert!(Kept::read(folder.path()).unwrap().rules.is_empty());
            assert_eq!(fs::read_to_string(folder.path().join("evaluation.damaged")).unwrap(), text);
        }
    }
}
