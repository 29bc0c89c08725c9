//! A long-running child: its log goes to a file, its standard output is read line by line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use crate::interrupt::Interrupt;
use crate::process::Group;

/// How many lines of its log are shown when it ends by itself.
const LAST_LINES_MAX: usize = 15;

type LastLines = Arc<Mutex<VecDeque<String>>>;

#[derive(Debug)]
pub(crate) struct Service {
    name: &'static str,
    group: Group,
    lines: Receiver<String>,
    last: LastLines,
    log: Option<JoinHandle<()>>,
}

impl Service {
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut group = Group::spawn(command)?;
        let stdout = group.child().stdout.take().context("no standard output")?;
        let stderr = group.child().stderr.take().context("no standard error")?;
        let last = LastLines::default();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let kept = Arc::clone(&last);
        let log = thread::spawn(move || keep(stderr, file, &kept));
        Ok(Self { name, group, lines, last, log: Some(log) })
    }

    /// Its process's id.
    pub(crate) fn id(&mut self) -> u32 {
        self.group.child().id()
    }

    /// The next line of standard output.
    pub(crate) fn line(&mut self, time: Duration, interrupt: &Interrupt) -> anyhow::Result<String> {
        let line = interrupt.wait(time, || match self.lines.try_recv() {
            Ok(line) => Ok(Some(line)),
            Err(_) => self.check().map(|()| None),
        })?;
        line.ok_or_else(|| anyhow!("{} was not ready within {time:?}{}", self.name, self.tail()))
    }

    /// Fails when it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.group.ended()? else { return Ok(()) };
        if let Some(log) = self.log.take() {
            let _ = log.join();
        }
        bail!("{} ended by itself ({status}){}", self.name, self.tail())
    }

    /// Asks it to end, and returns what else it printed.
    pub(crate) fn stop(&mut self, time: Duration) -> anyhow::Result<Vec<String>> {
        let stopped = self.group.stop(time);
        let status = stopped.with_context(|| format!("stopping {}{}", self.name, self.tail()))?;
        if !status.success() {
            bail!("{} did not stop cleanly ({status}){}", self.name, self.tail());
        }
        Ok(self.lines.iter().collect())
    }

    fn tail(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = last.iter().map(String::as_str).collect();
        format!("; its last lines:\n  {}", lines.join("\n  "))
    }
}

/// Writes all of the log to the file, and keeps its end.
fn keep(log: impl Read, mut file: File, last: &LastLines) {
    for line in BufReader::new(log).lines().map_while(Result::ok) {
        // A full disk must not stop the service.
        let _ = writeln!(file, "{line}");
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES_MAX {
            last.pop_front();
        }
        last.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt;

    fn shell(script: &str) -> Service {
        let log = std::env::temp_dir().join(format!("holdup-xtask-{}", std::process::id()));
        Service::start("it", Command::new("sh").args(["-c", script]), &log).unwrap()
    }

    #[test]
    fn a_death_is_told_with_the_last_lines() {
        let mut service = shell("echo the port is taken >&2; exit 1");
        let interrupt = interrupt::watch().unwrap();
        let error = service.line(Duration::from_secs(10), &interrupt).unwrap_err().to_string();
        assert!(error.starts_with("it ended by itself (exit status: 1)"), "{error}");
        assert!(error.ends_with("\n  the port is taken"), "{error}");
    }

    #[test]
    fn what_is_printed_on_the_way_out_is_read() {
        let mut service =
            shell("trap 'echo end; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        let interrupt = interrupt::watch().unwrap();
        assert_eq!(service.line(Duration::from_secs(10), &interrupt).unwrap(), "up");
        assert_eq!(service.stop(Duration::from_secs(10)).unwrap(), ["end"]);
    }
}
