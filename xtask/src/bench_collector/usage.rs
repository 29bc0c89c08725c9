//! What a process has used, as Linux tells it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// Linux tells CPU time in these.
const TICK: Duration = Duration::from_millis(10);

/// A process that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process(pub(super) u32);

impl Process {
    /// CPU time of all its threads, in user space and in the kernel.
    pub(super) fn cpu(self) -> anyhow::Result<(Duration, Duration)> {
        cpu(format!("/proc/{}/stat", self.0).as_ref())
    }

    /// CPU time of its threads whose names begin so.
    pub(super) fn of_threads(self, name: &str) -> anyhow::Result<Duration> {
        let mut all = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.0))? {
            let folder = thread?.path();
            // One may have ended meanwhile.
            let Ok(named) = fs::read_to_string(folder.join("comm")) else { continue };
            if named.starts_with(name) {
                let (user, kernel) = cpu(&folder.join("stat"))?;
                all += user + kernel;
            }
        }
        Ok(all)
    }

    /// Bytes of its own that it has in memory: without the program's file, of which Linux maps as
    /// much as it likes.
    pub(super) fn resident(self) -> anyhow::Result<u64> {
        Ok(self.status("VmRSS:")?.saturating_sub(self.file()?))
    }

    /// The most that it ever had there since [`Process::forget_peak`].
    pub(super) fn resident_peak(self) -> anyhow::Result<u64> {
        Ok(self.status("VmHWM:")?.saturating_sub(self.file()?))
    }

    /// Bytes of files that it has in memory.
    pub(super) fn file(self) -> anyhow::Result<u64> {
        self.status("RssFile:")
    }

    /// Begins to look for the peak anew.
    pub(super) fn forget_peak(self) -> anyhow::Result<()> {
        let path = format!("/proc/{}/clear_refs", self.0);
        fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
    }

    fn status(self, name: &str) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.0);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: u64 = number.with_context(|| format!("no {name} in {path}"))?.parse()?;
        Ok(kibibytes << 10)
    }
}

fn cpu(path: &Path) -> anyhow::Result<(Duration, Duration)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path:?}"))?;
    // The name, in brackets, may contain anything.
    let (_, fields) = text.rsplit_once(')').context("no process's state")?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let mut next = || anyhow::Ok(TICK * ticks.next().context("no CPU time")??);
    Ok((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Process;

    #[test]
    fn a_process_knows_what_it_has_used() {
        let this = Process(std::process::id());
        let before = this.cpu().unwrap();
        while this.cpu().unwrap().0 == before.0 {}
        assert!(this.of_threads("").unwrap() > Duration::ZERO);
        assert!(this.resident().unwrap() > 100 << 10);
        assert!(this.file().unwrap() > 1 << 20);
        assert!(this.resident_peak().unwrap() >= this.resident().unwrap() / 2);
    }
}
