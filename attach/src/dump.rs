//! One look at all threads of a process.

use std::time::Duration;

use serde::Serialize;

use crate::error::AttachError;
use crate::naming::{Frame, Names};
use crate::process::Process;
use crate::role::{Activity, Reading, Role};
use crate::sampler::{Counts, Missed, RawStack, Sampler};
use crate::thread::call_name;

/// How long a thread that runs is waited for, on a machine that has no CPU for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// All threads of a process, as they were found one after another.
#[derive(Clone, Debug, Serialize)]
pub struct Dump {
    /// The process.
    pub pid: i32,
    /// Its id in its own namespace, if that is another.
    pub inner_pid: Option<i32>,
    /// Its command line.
    pub command: String,
    /// In the order of their ids.
    pub threads: Vec<ThreadDump>,
    /// How the stacks were taken.
    #[serde(skip)]
    pub counts: Counts,
}

/// One thread.
#[derive(Clone, Debug, Serialize)]
pub struct ThreadDump {
    /// Its id.
    pub tid: i32,
    /// Its name, 15 bytes at most.
    pub name: String,
    /// The letter of the kernel for its state: R runs or waits for a CPU, S and D sleep, T is stopped.
    pub state: Option<char>,
    /// Whether it was on a CPU, or waited for one.
    pub on_cpu: bool,
    /// The system call in which it waits.
    pub call: Option<String>,
    /// The function of the kernel in which it waits, where that is told.
    pub wait_channel: Option<String>,
    /// What it is for.
    pub role: Role,
    /// What it did.
    pub activity: Activity,
    /// Which of the frames is to blame, for a thread inside a poll.
    pub blame: Option<usize>,
    /// Leaf first.
    pub frames: Vec<Frame>,
    /// Whether the stack was followed to where the thread began. Else outer frames are missing.
    pub complete: bool,
    /// Why there are no frames.
    pub missing: Option<String>,
}

/// Looks at all threads once.
///
/// Threads that sleep are read without their help. A thread that runs is stopped for some
/// microseconds. Names are looked up afterwards.
///
/// # Errors
///
/// When the process has ended, or may not be looked at.
pub fn dump(process: &Process) -> Result<Dump, AttachError> {
    let mut sampler = Sampler::new(process, PATIENCE)?;
    let tids = process.threads().map_err(|error| process.explain("its threads", error))?;
    // First all stacks, as near to each other as can be.
    let mut taken = Vec::with_capacity(tids.len());
    for tid in tids {
        let state = sampler.thread(tid).map(|t| (t.name(), t.state(), t.wait_channel()));
        let Some((name, state, wait_channel)) = state else { continue };
        let sample = match sampler.sample(tid) {
            Ok(sample) => Ok(sample),
            Err(Missed::Gone) => continue,
            Err(Missed::Restless) => Err("it did not stand still in time".to_owned()),
            Err(Missed::Refused(error)) => Err(process.explain("a thread", error).to_string()),
        };
        taken.push((tid, name, state, wait_channel, sample));
    }
    let (epochs, counts) = sampler.finish();
    let mut names = Names::default();
    let threads = taken.into_iter().map(|(tid, name, state, wait_channel, sample)| {
        let (sample, missing) = match sample {
            Ok(sample) => (Some(sample), None),
            Err(reason) => (None, Some(reason)),
        };
        let stack = sample.as_ref().map(|sample| sample.stack.as_ref());
        let frames = stack.map(|stack| names.of(stack, &epochs)).unwrap_or_default();
        let Reading { role, activity, blame, .. } = Reading::of(&frames);
        let on_cpu = sample.as_ref().map_or(state == Some('R'), |sample| sample.on_cpu);
        ThreadDump {
            tid,
            name,
            state,
            on_cpu,
            call: sample.as_ref().filter(|s| !s.on_cpu).and_then(|s| s.call).map(call_name),
            wait_channel: wait_channel.filter(|_| !on_cpu),
            role,
            activity,
            blame,
            complete: stack.is_some_and(RawStack::is_complete),
            frames,
            missing,
        }
    });
    Ok(Dump {
        threads: threads.collect(),
        pid: process.pid,
        inner_pid: process.status().ok().and_then(|status| status.inner_pid),
        command: process.command(),
        counts,
    })
}
