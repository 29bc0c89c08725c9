//! Time that the container's CPU quota took from the process.

#[cfg(target_os = "linux")]
pub(super) use linux::Throttle;

#[cfg(not(target_os = "linux"))]
pub(super) struct Throttle;

#[cfg(not(target_os = "linux"))]
impl Throttle {
    pub(super) fn open() -> Self {
        Self
    }

    pub(super) fn read_ns(&mut self) -> Option<u64> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    /// Longest `cpu.stat`.
    const TEXT_BYTES_MAX: usize = 1024;

    /// How many times it is taken for granted that there is no quota.
    const READS_MAX: u32 = 256;

    /// The `cpu.stat` of the process's control group; none where there is no quota to be seen.
    pub(in crate::watchdog) struct Throttle {
        stat: Option<File>,
        quota: Option<File>,
        reads: u32,
        /// As it was read last.
        ns: Option<u64>,
    }

    impl Throttle {
        pub(in crate::watchdog) fn open() -> Self {
            let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            let found = paths(&groups).find_map(|path| Some((File::open(&path).ok()?, path)));
            let (stat, path) = found.unzip();
            let quota = path.and_then(|path| {
                let folder = Path::new(&path).parent()?;
                let open = |name: &str| File::open(folder.join(name)).ok();
                open("cpu.max").or_else(|| open("cpu.cfs_quota_us"))
            });
            let mut throttle = Self { stat, quota, reads: 0, ns: None };
            throttle.ns = throttle.total_ns();
            // A group that never had a quota may have no such line, and need not be read again.
            if throttle.ns.is_none() {
                throttle.stat = None;
            }
            throttle
        }

        /// Total over all CPUs, in nanoseconds. It stays what it was while there is no quota.
        pub(in crate::watchdog) fn read_ns(&mut self) -> Option<u64> {
            if self.reads > 0 {
                self.reads -= 1;
                return self.ns;
            }
            self.ns = self.total_ns();
            if self.is_unlimited() {
                self.reads = READS_MAX;
            }
            self.ns
        }

        fn total_ns(&self) -> Option<u64> {
            let mut text = [0; TEXT_BYTES_MAX];
            let length = self.stat.as_ref()?.read_at(&mut text, 0).ok()?;
            throttled_ns(std::str::from_utf8(text.get(..length)?).ok()?)
        }

        fn is_unlimited(&self) -> bool {
            let mut text = [0; TEXT_BYTES_MAX];
            let read = self.quota.as_ref().and_then(|quota| quota.read_at(&mut text, 0).ok());
            read.is_some_and(|length| says_unlimited(text.get(..length).unwrap_or_default()))
        }
    }

    /// `max 100000` in version 2, `-1` in version 1.
    fn says_unlimited(quota: &[u8]) -> bool {
        quota.starts_with(b"max") || quota.starts_with(b"-1")
    }

    /// Where the numbers may be: version 2, version 1, and what a container sees as its root.
    fn paths(groups: &str) -> impl Iterator<Item = String> {
        let group = |line: &str| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let path = path.trim_end_matches('/');
            if controllers.is_empty() {
                return Some(format!("/sys/fs/cgroup{path}/cpu.stat"));
            }
            let is_cpu = controllers.split(',').any(|controller| controller == "cpu");
            is_cpu.then(|| format!("/sys/fs/cgroup/cpu{path}/cpu.stat"))
        };
        let mut paths = groups.lines().filter_map(group).collect::<Vec<_>>();
        paths.push("/sys/fs/cgroup/cpu.stat".to_owned());
        paths.push("/sys/fs/cgroup/cpu/cpu.stat".to_owned());
        paths.into_iter()
    }

    fn throttled_ns(text: &str) -> Option<u64> {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            let value = value.trim().parse::<u64>().ok()?;
            match name {
                "throttled_usec" => Some(value.saturating_mul(1_000)),
                "throttled_time" => Some(value),
                _ => None,
            }
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn both_versions_are_understood() {
            let two = "usage_usec 5\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1500\n";
            assert_eq!(throttled_ns(two), Some(1_500_000));
            assert_eq!(throttled_ns("nr_throttled 2\nthrottled_time 1500\n"), Some(1_500));
            assert_eq!(throttled_ns("usage_usec 5\n"), None);
            assert!(says_unlimited(b"max 100000\n") && says_unlimited(b"-1\n"));
            assert!(!says_unlimited(b"50000 100000\n") && !says_unlimited(b""));
            let found = paths("4:cpu,cpuacct:/a/b\n3:cpuset:/c\n0::/d\n").collect::<Vec<_>>();
            assert_eq!(
                found[..2],
                ["/sys/fs/cgroup/cpu/a/b/cpu.stat", "/sys/fs/cgroup/d/cpu.stat"]
            );
        }
    }
}
