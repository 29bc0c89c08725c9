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

    pub(super) fn read_ns(&self) -> Option<u64> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    /// Longest `cpu.stat`.
    const TEXT_BYTES_MAX: usize = 1024;

    /// The `cpu.stat` of the process's control group; none where there is no quota to be seen.
    pub(in crate::watchdog) struct Throttle {
        stat: Option<File>,
    }

    impl Throttle {
        pub(in crate::watchdog) fn open() -> Self {
            let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            let throttle = Self { stat: paths(&groups).find_map(|path| File::open(path).ok()) };
            // A group that never had a quota has no such line, and need not be read again.
            if throttle.read_ns().is_some() { throttle } else { Self { stat: None } }
        }

        /// Total over all CPUs, in nanoseconds.
        pub(in crate::watchdog) fn read_ns(&self) -> Option<u64> {
            let mut text = [0; TEXT_BYTES_MAX];
            let length = self.stat.as_ref()?.read_at(&mut text, 0).ok()?;
            throttled_ns(std::str::from_utf8(text.get(..length)?).ok()?)
        }
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
            let found = paths("4:cpu,cpuacct:/a/b\n3:cpuset:/c\n0::/d\n").collect::<Vec<_>>();
            assert_eq!(
                found[..2],
                ["/sys/fs/cgroup/cpu/a/b/cpu.stat", "/sys/fs/cgroup/d/cpu.stat"]
            );
        }
    }
}
