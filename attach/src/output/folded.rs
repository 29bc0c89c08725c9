//! Folded stacks: a line for each kind, frames from the outermost, and how often it was seen.

use std::collections::BTreeMap;

use crate::record::{Profile, Stack, Stretch, Track};

/// Stands for outer frames that are missing.
pub(super) const CUT: &str = "…";

/// A recording as folded stacks, in the order of their text. The outermost frames are what the
/// thread did, whether it was on a CPU, and its name. What is further out than a task or a thread's own
/// code, and the stacks of threads that only wait for work, are left out unless `whole`.
///
/// `inside a poll;off CPU;tokio-rt-worker;…;shop::pay;std::thread::sleep 42`
#[must_use]
pub fn folded(profile: &Profile, whole: bool) -> Vec<String> {
    let mut counts = BTreeMap::<String, u64>::new();
    for (track, stack, stretch) in profile.stretches() {
        let path = path(track, stack, stretch, whole);
        let path: Vec<String> = path.iter().map(|frame| without_separators(frame)).collect();
        *counts.entry(path.join(";")).or_default() += u64::from(stretch.looks);
    }
    counts.into_iter().map(|(path, count)| format!("{path} {count}")).collect()
}

/// What stands around a thread's frames.
pub(super) fn outer(track: &Track, stack: &Stack, stretch: Stretch) -> [String; 3] {
    let cpu = if stretch.on_cpu { "on CPU" } else { "off CPU" };
    [stack.activity.label().to_owned(), cpu.to_owned(), track.name.clone()]
}

fn path(track: &Track, stack: &Stack, stretch: Stretch, whole: bool) -> Vec<String> {
    let mut path = outer(track, stack, stretch).to_vec();
    if !stack.complete {
        path.push(CUT.to_owned());
    }
    let kept = if whole { stack.frames.len() } else { stack.inner };
    path.extend(stack.frames[..kept].iter().rev().map(ToString::to_string));
    path
}

/// Types may have a semicolon in them: `[u8; 32]`.
fn without_separators(frame: &str) -> String {
    frame.replace(';', ",")
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::naming::Frame;
    use crate::role::{Activity, Role};
    use crate::sampler::Counts;

    /// One worker, that sleeps in a poll for two looks and computes for one.
    pub(in crate::output) fn profile() -> Profile {
        let frame = |function: &str| Frame { function: function.to_owned(), ..Frame::default() };
        let functions = ["sleep", "shop::pay<[u8; 2]>", "tokio::runtime::task::raw::poll", "clone"];
        let frames: Vec<Frame> = functions.iter().map(|function| frame(function)).collect();
        let stack = |complete| Stack {
            frames: frames.clone(),
            complete,
            role: Role::Worker,
            activity: Activity::Poll,
            blame: Some(1),
            inner: 2,
        };
        let stretch = |stack, on_cpu, looks| Stretch { stack, on_cpu, looks };
        let stretches =
            vec![stretch(None, false, 4), stretch(Some(0), false, 2), stretch(Some(1), true, 1)];
        Profile {
            pid: 7,
            command: "shop --now".to_owned(),
            period: Duration::from_millis(10),
            elapsed: Duration::from_millis(70),
            stacks: vec![stack(true), stack(false)],
            tracks: vec![Track::of(8, "worker", stretches)],
            counts: Counts::default(),
            late: 0,
            ended: false,
        }
    }

    #[test]
    fn a_poll_is_shown_from_its_task_and_whole_on_request() {
        let expected = [
            "inside a poll;off CPU;worker;shop::pay<[u8, 2]>;sleep 2",
            "inside a poll;on CPU;worker;…;shop::pay<[u8, 2]>;sleep 1",
        ];
        assert_eq!(folded(&profile(), false), expected);
        let whole = folded(&profile(), true);
        assert!(
            whole[0].contains("worker;clone;tokio::runtime::task::raw::poll;shop"),
            "{whole:?}"
        );
    }
}
