//! Many looks at all threads of a process, by wall clock: a thread that sleeps counts as one that
//! computes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::AttachError;
use crate::modules::Modules;
use crate::naming::{Frame, Names};
use crate::process::Process;
use crate::role::{Activity, Reading, Role};
use crate::sampler::{Counts, Missed, RawStack, Sampler};

/// Kinds of stacks that are told apart: a few hundred bytes each. What comes beyond is lost.
const STACKS_MAX: usize = 200_000;
/// Stretches of all threads in which nothing changed: 12 bytes each. What comes beyond is lost.
const STRETCHES_MAX: usize = 8_000_000;
/// How long a thread that runs is waited for, while the others aren't looked at.
const PATIENCE: Duration = Duration::from_millis(20);
/// How soon an end that the user asks for is noticed.
const NOTICE: Duration = Duration::from_millis(50);

/// Which samples are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cpu {
    /// All.
    #[default]
    Both,
    /// Of threads that were on a CPU, or waited for one.
    On,
    /// Of threads that were not.
    Off,
}

/// How to record.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For how long.
    pub duration: Duration,
    /// Looks a second, at least 1.
    pub rate: u32,
    /// Which samples are kept.
    pub cpu: Cpu,
    /// Keep only what threads did inside of polls.
    pub polls_only: bool,
}

/// How far a recording is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Since its begin.
    pub elapsed: Duration,
    /// Threads that there were at the last look.
    pub threads: usize,
    /// Stacks so far.
    pub samples: u64,
    /// Stacks that could not be had so far, and looks that came too late.
    pub lost: u64,
}

/// A recording, of which the stacks have no names yet.
#[derive(Debug)]
pub struct Recording {
    pid: i32,
    command: String,
    options: Options,
    elapsed: Duration,
    stacks: Vec<Arc<RawStack>>,
    numbers: HashMap<Arc<RawStack>, usize>,
    tracks: BTreeMap<i32, Track>,
    epochs: Vec<Modules>,
    counts: Counts,
    samples: u64,
    stretches: usize,
    late: u64,
    ended: bool,
}

/// A recording with names.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The process.
    pub pid: i32,
    /// Its command line.
    pub command: String,
    /// Between two looks.
    pub period: Duration,
    /// How long it was looked at.
    pub elapsed: Duration,
    /// All kinds of stacks that there were.
    pub stacks: Vec<Stack>,
    /// What each thread did.
    pub tracks: Vec<Track>,
    /// How the stacks were taken.
    pub counts: Counts,
    /// Looks that were left out, because the one before took too long.
    pub late: u64,
    /// Whether the process ended meanwhile.
    pub ended: bool,
}

/// One kind of stack.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Leaf first.
    pub frames: Vec<Frame>,
    /// Whether it was followed to where its thread began.
    pub complete: bool,
    /// What the thread was for.
    pub role: Role,
    /// What it did.
    pub activity: Activity,
    /// Which frame is to blame, inside a poll.
    pub blame: Option<usize>,
    /// How many frames, from the leaf, are the thread's own: those of a poll, or of what it executes.
    pub inner: usize,
}

/// What one thread did.
#[derive(Clone, Debug)]
pub struct Track {
    /// Its id.
    pub tid: i32,
    /// Its name.
    pub name: String,
    /// One after another, without gaps.
    pub stretches: Vec<Stretch>,
    /// At which look the next one would be.
    next: u64,
}

/// Looks at a thread, one after another, that found the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Which of the profile's stacks; none while it is not known what the thread did.
    pub stack: Option<u32>,
    /// Whether it was on a CPU, or waited for one.
    pub on_cpu: bool,
    /// How many looks.
    pub looks: u32,
}

/// Looks at all threads `options.rate` times a second, until the time is over, the process has
/// ended, or `interrupted` says so. `progress` is called after each look.
///
/// # Errors
///
/// When the process may not be looked at.
pub fn record(
    process: &Process,
    options: Options,
    interrupted: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recording, AttachError> {
    let mut sampler = Sampler::new(process, PATIENCE)?;
    let mut recording = Recording::new(process, options);
    let period = recording.period();
    let begin = Instant::now();
    let mut look = 0_u64;
    while begin.elapsed() < options.duration && !interrupted() {
        let due = period.saturating_mul(u32::try_from(look).unwrap_or(u32::MAX));
        let early = due.saturating_sub(begin.elapsed());
        if !early.is_zero() {
            thread::sleep(early.min(NOTICE));
            continue;
        }
        let tids = process.threads().unwrap_or_default();
        if tids.is_empty() || !sampler.check() {
            recording.ended = true;
            break;
        }
        sampler.retain(&tids);
        for &tid in &tids {
            recording.look(process, &mut sampler, tid, look)?;
        }
        let elapsed = begin.elapsed();
        let lost = sampler.counts.lost + recording.late;
        progress(Progress { elapsed, threads: tids.len(), samples: recording.samples, lost });
        let reached = elapsed.as_nanos() / period.as_nanos().max(1);
        let next = look + 1;
        look = next.max(u64::try_from(reached).unwrap_or(u64::MAX));
        recording.late += look - next;
    }
    recording.elapsed = begin.elapsed();
    (recording.epochs, recording.counts) = sampler.finish();
    Ok(recording)
}

impl Recording {
    fn new(process: &Process, options: Options) -> Self {
        Self {
            pid: process.pid,
            command: process.command(),
            options,
            elapsed: Duration::ZERO,
            stacks: Vec::new(),
            numbers: HashMap::new(),
            tracks: BTreeMap::new(),
            epochs: Vec::new(),
            counts: Counts::default(),
            samples: 0,
            stretches: 0,
            late: 0,
            ended: false,
        }
    }

    fn period(&self) -> Duration {
        Duration::from_secs(1) / self.options.rate.max(1)
    }

    fn look(
        &mut self,
        process: &Process,
        sampler: &mut Sampler<'_>,
        tid: i32,
        look: u64,
    ) -> Result<(), AttachError> {
        let sample = match sampler.sample(tid) {
            Ok(sample) => sample,
            Err(Missed::Gone | Missed::Restless) => return Ok(()),
            // It may have ended in this very moment.
            Err(Missed::Refused(error)) => match process.explain("a thread", error) {
                AttachError::Absent { .. } | AttachError::Ended { .. } => return Ok(()),
                error => return Err(error),
            },
        };
        let is_kept = match self.options.cpu {
            Cpu::Both => true,
            Cpu::On => sample.on_cpu,
            Cpu::Off => !sample.on_cpu,
        };
        if !is_kept {
            return Ok(());
        }
        let Some(stack) = self.number(&sample.stack).filter(|_| self.stretches < STRETCHES_MAX)
        else {
            sampler.counts.lost += 1;
            return Ok(());
        };
        let track = self.tracks.entry(tid).or_insert_with(|| {
            let name = sampler.thread(tid).map(crate::thread::Thread::name).unwrap_or_default();
            Track { tid, name, stretches: Vec::new(), next: 0 }
        });
        self.stretches += track.add(look, stack, sample.on_cpu);
        self.samples += 1;
        Ok(())
    }

    /// The number of this kind of stack.
    fn number(&mut self, stack: &Arc<RawStack>) -> Option<u32> {
        let known = self.numbers.get(stack).copied();
        let number = known.or_else(|| {
            let number = self.stacks.len();
            (number < STACKS_MAX).then(|| {
                self.stacks.push(Arc::clone(stack));
                self.numbers.insert(Arc::clone(stack), number);
                number
            })
        });
        number.and_then(|number| u32::try_from(number).ok())
    }

    /// Looks up the names of all stacks: takes some milliseconds for each megabyte of the program's
    /// debugging information. Works also when the process has ended.
    #[must_use]
    pub fn name(self) -> Profile {
        let period = self.period();
        let mut names = Names::default();
        let stacks = self.stacks.iter().map(|raw| {
            let frames = names.of(raw, &self.epochs);
            let Reading { role, activity, blame, inner } = Reading::of(&frames);
            Stack { frames, complete: raw.complete, role, activity, blame, inner }
        });
        let stacks: Vec<Stack> = stacks.collect();
        let mut tracks: Vec<Track> = self.tracks.into_values().collect();
        if self.options.polls_only {
            let is_poll = |stack: Option<u32>| {
                let found = stack.and_then(|stack| stacks.get(stack as usize));
                found.is_some_and(|stack| stack.activity == Activity::Poll)
            };
            for stretch in tracks.iter_mut().flat_map(|track| &mut track.stretches) {
                stretch.stack = stretch.stack.filter(|_| is_poll(stretch.stack));
            }
            tracks.retain(|track| track.stretches.iter().any(|stretch| stretch.stack.is_some()));
        }
        Profile {
            pid: self.pid,
            command: self.command,
            period,
            elapsed: self.elapsed,
            stacks,
            tracks,
            counts: self.counts,
            late: self.late,
            ended: self.ended,
        }
    }
}

impl Track {
    #[cfg(test)]
    pub(crate) fn of(tid: i32, name: &str, stretches: Vec<Stretch>) -> Self {
        Self { tid, name: name.to_owned(), stretches, next: 0 }
    }

    /// Adds what a look found. Tells how many stretches that makes.
    fn add(&mut self, look: u64, stack: u32, on_cpu: bool) -> usize {
        let before = self.stretches.len();
        let gap = u32::try_from(look.saturating_sub(self.next)).unwrap_or(u32::MAX);
        if gap > 0 {
            self.stretches.push(Stretch { stack: None, on_cpu: false, looks: gap });
        }
        match self.stretches.last_mut() {
            Some(last) if last.stack == Some(stack) && last.on_cpu == on_cpu => last.looks += 1,
            _ => self.stretches.push(Stretch { stack: Some(stack), on_cpu, looks: 1 }),
        }
        self.next = look + 1;
        self.stretches.len() - before
    }
}

impl Profile {
    /// All stretches of which the stack is known, with their tracks.
    pub fn stretches(&self) -> impl Iterator<Item = (&Track, &Stack, Stretch)> {
        self.tracks.iter().flat_map(move |track| {
            let known = track.stretches.iter().filter_map(|stretch| {
                let stack = self.stacks.get(stretch.stack? as usize)?;
                Some((track, stack, *stretch))
            });
            known.collect::<Vec<_>>()
        })
    }

    /// How many stacks were kept.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.stretches().map(|(.., stretch)| u64::from(stretch.looks)).sum()
    }

    /// How many stacks, and looks at all threads, are missing.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.counts.lost + self.late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_looks_are_one_stretch_and_gaps_are_told() {
        let mut track = Track::of(1, "", Vec::new());
        let added = [(2, 7, false), (3, 7, false), (4, 7, true), (7, 7, true)];
        let added = added.map(|(look, stack, on_cpu)| track.add(look, stack, on_cpu));
        assert_eq!(added, [2, 0, 1, 2]);
        let found = track.stretches.iter().map(|s| (s.stack, s.on_cpu, s.looks));
        let expected = [
            (None, false, 2),
            (Some(7), false, 2),
            (Some(7), true, 1),
            (None, false, 2),
            (Some(7), true, 1),
        ];
        assert!(found.eq(expected), "{:?}", track.stretches);
    }
}
