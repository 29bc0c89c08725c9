//! Why a poll took long: decided from where its time went and what its thread waited for.

use crate::contract;

/// The causes of the wire contract, in the order of [`contract::CAUSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Unknown,
    Cpu,
    Sleep,
    Lock,
    Disk,
    Net,
    PageFault,
    Runqueue,
}

impl Cause {
    pub(crate) fn name(self) -> &'static str {
        contract::CAUSES[self as usize]
    }
}

/// What a thread was found to do at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(crate) enum Doing {
    /// On a CPU, or ready for one.
    Running,
    /// In the kernel for this, off the CPU.
    Waiting(Cause),
    /// Stopped by a signal or a debugger.
    Stopped,
}

/// What a worker of a runtime was found to do at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
pub(super) enum Work {
    /// It waits for I/O and timers.
    Drives,
    /// It waits to be woken by another thread.
    Parked,
    Runs,
    Other,
}

/// Kinds of [`Cause`].
const CAUSES: usize = contract::CAUSES.len();
/// CPU time of one minor page fault: 4 KiB of zeroes, the way into the kernel and back, and to give
/// the page back later. Measured 1,500 ns on a virtual machine; less without one.
const FAULT_NS: u64 = 1_500;
/// CPU time of one that reads from the disk, and the longest that one is taken to wait for it.
const DISK_FAULT_NS: u64 = 8_000;
const DISK_FAULT_OFF_NS_MAX: u64 = 1_000_000;

/// How a poll spent its time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Split {
    pub(crate) cpu: u64,
    pub(crate) runqueue: u64,
    pub(crate) off: u64,
    /// Page faults that were served without the disk, and with it: as many as there were at the rate
    /// seen.
    pub(crate) faults: [u64; 2],
}

/// Samples of one poll by what was found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Samples {
    waiting: [u32; CAUSES],
    running: u32,
}

impl Samples {
    pub(crate) fn add(&mut self, doing: Doing) {
        match doing {
            Doing::Running => self.running += 1,
            Doing::Waiting(cause) => self.waiting[cause as usize] += 1,
            Doing::Stopped => {}
        }
    }

    pub(super) fn waiting(&self) -> u32 {
        self.waiting.iter().sum()
    }

    /// Share of the samples in which it was ready, with 16 bits after the point.
    pub(crate) fn share_ready(&self) -> u32 {
        let all = u64::from(self.running) + u64::from(self.waiting());
        u32::try_from((u64::from(self.running) << 16) / all.max(1)).unwrap_or(0)
    }

    /// What it waited for most often.
    fn majority(&self) -> Cause {
        const ALL: [Cause; 6] =
            [Cause::Sleep, Cause::Lock, Cause::Disk, Cause::Net, Cause::PageFault, Cause::Unknown];
        let most = ALL.into_iter().max_by_key(|cause| {
            // Of two that are equally frequent the one with a name.
            (self.waiting[*cause as usize], *cause != Cause::Unknown)
        });
        most.filter(|cause| self.waiting[*cause as usize] > 0).unwrap_or(Cause::Unknown)
    }
}

/// Where most of the time went. Without accounts the samples alone decide.
pub(crate) fn decide(split: Option<Split>, samples: &Samples) -> Cause {
    let Some(split) = split else {
        return if samples.running > samples.waiting() { Cause::Cpu } else { samples.majority() };
    };
    if split.off >= split.cpu && split.off >= split.runqueue {
        // Never seen off the CPU: in bits too short for the eye.
        let [_, from_disk] = split.faults;
        let explained = from_disk.saturating_mul(DISK_FAULT_OFF_NS_MAX) >= split.off;
        return match samples.waiting() {
            0 if split.off > 0 && explained => Cause::PageFault,
            0 => Cause::Unknown,
            _ => samples.majority(),
        };
    }
    if split.runqueue > split.cpu {
        return Cause::Runqueue;
    }
    let [fresh, from_disk] = split.faults;
    let faulting =
        fresh.saturating_mul(FAULT_NS).saturating_add(from_disk.saturating_mul(DISK_FAULT_NS));
    if faulting.saturating_mul(2) >= split.cpu {
        return Cause::PageFault;
    }
    Cause::Cpu
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(cpu: u64, runqueue: u64, off: u64) -> Split {
        Split { cpu, runqueue, off, faults: [0; 2] }
    }

    fn samples(found: &[Doing]) -> Samples {
        let mut samples = Samples::default();
        found.iter().for_each(|doing| samples.add(*doing));
        samples
    }

    #[test]
    fn names_are_those_of_the_contract() {
        assert_eq!(Cause::Unknown.name(), "unknown");
        assert_eq!(Cause::PageFault.name(), "page_fault");
        assert_eq!(Cause::Runqueue.name(), "runqueue");
    }

    #[test]
    fn the_largest_share_of_the_time_decides() {
        let slept = samples(&[Doing::Running, Doing::Waiting(Cause::Sleep)]);
        assert_eq!(decide(Some(split(100, 0, 200)), &slept), Cause::Sleep);
        assert_eq!(decide(Some(split(200, 0, 100)), &slept), Cause::Cpu);
        assert_eq!(decide(Some(split(60, 158, 0)), &slept), Cause::Runqueue);
        assert_eq!(decide(Some(split(0, 0, 200)), &samples(&[])), Cause::Unknown);
        let faults = Split { faults: [10_000, 0], ..split(10_000_000, 0, 0) };
        assert_eq!(decide(Some(faults), &slept), Cause::PageFault);
        let from_disk = Split { faults: [0, 200], ..split(2_000_000, 0, 20_000_000) };
        assert_eq!(decide(Some(from_disk), &samples(&[Doing::Running])), Cause::PageFault);
        assert_eq!(decide(Some(from_disk), &slept), Cause::Sleep, "what was seen is more");
    }

    #[test]
    fn the_most_frequent_wait_names_the_time_off_the_cpu() {
        let found = samples(&[
            Doing::Waiting(Cause::Unknown),
            Doing::Waiting(Cause::Disk),
            Doing::Stopped,
            Doing::Stopped,
        ]);
        assert_eq!(decide(Some(split(0, 0, 1)), &found), Cause::Disk);
        assert_eq!(decide(None, &found), Cause::Disk);
        assert_eq!(decide(None, &samples(&[Doing::Running])), Cause::Cpu);
    }
}
