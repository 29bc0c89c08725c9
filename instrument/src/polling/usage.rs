//! What the OS counts for a thread: time on a CPU, and time ready without one.

/// Totals of a thread, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cpu: u64,
    pub(crate) runqueue: u64,
    /// How often it was given a CPU, which is no time; 0 where that isn't counted.
    pub(crate) arrivals: u64,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::Accounts;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::Accounts;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::time::{ClockId, clock_gettime};

    use super::Usage;

    /// Files that may be open at one time: a service has uses for its descriptors.
    const OPEN_MAX: u32 = 256;

    static OPEN: AtomicU32 = AtomicU32::new(0);

    /// The accounts of one thread: its `schedstat`, kept open.
    #[derive(Debug)]
    pub(crate) struct Accounts {
        schedstat: File,
    }

    impl Accounts {
        /// Those of this thread.
        pub(crate) fn open() -> Option<Self> {
            if OPEN.fetch_add(1, Ordering::Relaxed) >= OPEN_MAX {
                OPEN.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            let opened =
                File::open("/proc/thread-self/schedstat").map(|file| Self { schedstat: file });
            if opened.is_err() {
                OPEN.fetch_sub(1, Ordering::Relaxed);
            }
            opened.ok()
        }

        /// As the thread itself reads it at the end of a slow poll: one system call, no allocation.
        /// Its time on a CPU is that of when the scheduler looked last, up to a tick ago.
        pub(crate) fn read_own(&self) -> Option<Usage> {
            let usage = self.read()?;
            // A kernel that doesn't count says that a thread which runs was never given a CPU.
            if usage.arrivals == 0 {
                cpu_clock().map(|cpu| Usage { cpu, ..usage })
            } else {
                Some(usage)
            }
        }

        /// Totals as of when the scheduler looked last; the waits are exact.
        pub(crate) fn read(&self) -> Option<Usage> {
            let mut text = [0; 96];
            let length = self.schedstat.read_at(&mut text, 0).ok()?;
            parse(text.get(..length)?)
        }
    }

    fn cpu_clock() -> Option<u64> {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).ok()?.checked_mul(1_000_000_000)?;
        Some(seconds + u64::try_from(time.tv_nsec).ok()?)
    }

    impl Drop for Accounts {
        fn drop(&mut self) {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Time on a CPU, time ready without one, and how often it was given one.
    fn parse(text: &[u8]) -> Option<Usage> {
        let mut numbers = text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let mut next = || {
            numbers.next()?.iter().try_fold(0_u64, |number, digit| {
                let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
                number.checked_mul(10)?.checked_add(u64::from(digit))
            })
        };
        Some(Usage { cpu: next()?, runqueue: next()?, arrivals: next()? })
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::time::{Duration, Instant};

        #[test]
        fn a_busy_thread_is_charged() {
            // Tests beside this one may have all of the files open for a while.
            let deadline = Instant::now() + Duration::from_secs(60);
            let accounts = loop {
                if let Some(accounts) = Accounts::open() {
                    break accounts;
                }
                assert!(Instant::now() < deadline, "no file is given back");
                std::thread::yield_now();
            };
            let (before, start) = (accounts.read_own().unwrap(), Instant::now());
            while start.elapsed() < Duration::from_millis(30) {
                std::hint::spin_loop();
            }
            let (after, wall) = (accounts.read_own().unwrap(), start.elapsed());
            let (cpu, queue) = (after.cpu - before.cpu, after.runqueue - before.runqueue);
            let least = wall.saturating_sub(Duration::from_millis(15));
            assert!(Duration::from_nanos(cpu + queue) >= least, "{cpu} {queue} of {wall:?}");
        }

        #[test]
        fn all_three_numbers_are_read() {
            let usage = Usage { cpu: 12, runqueue: 345, arrivals: 6 };
            assert_eq!(parse(b"12 345 6\n"), Some(usage));
            assert_eq!(parse(b"12 345\n"), None);
            assert_eq!(parse(b"12 x 6\n"), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::Usage;

    /// Nothing is known.
    #[derive(Debug)]
    pub(crate) struct Accounts;

    impl Accounts {
        pub(crate) fn open() -> Option<Self> {
            None
        }

        pub(crate) fn read_own(&self) -> Option<Usage> {
            None
        }

        pub(crate) fn read(&self) -> Option<Usage> {
            None
        }
    }
}
