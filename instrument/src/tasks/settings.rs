//! When dumps are made without being asked for.

use std::net::SocketAddr;
use std::time::Duration;

use crate::install::InstallError;
use crate::settings;

/// When task dumps are made: see [`Builder::task_dumps`](crate::Builder::task_dumps).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let dumps = holdup::TaskDumps::default()
///     .every(Duration::from_secs(60))
///     .on_stall()
///     .stuck_after(Duration::from_secs(300));
/// # let _ = dumps;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "settings do nothing by themselves: give them to the builder"]
pub struct TaskDumps {
    pub(crate) every: Option<Duration>,
    pub(crate) on_stall: bool,
    pub(crate) signal: Option<i32>,
    pub(crate) listen: Option<String>,
    pub(crate) stuck_after: Option<Duration>,
}

impl TaskDumps {
    /// One is sent so often. Else `HOLDUP_TASKS_EVERY`, such as `60s`; else never.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = Some(interval);
        self
    }

    /// One is sent when a poll is found to block that has not returned, at most every ten seconds.
    /// Else `HOLDUP_TASKS_ON_STALL=1`; else never.
    pub fn on_stall(mut self) -> Self {
        self.on_stall = true;
        self
    }

    /// One is logged, at the level INFO and the target `holdup::tasks`, and sent, within a fifth of a
    /// second after this signal, such as `libc::SIGUSR1`. What the process did on that signal
    /// before is done as well. Else `HOLDUP_TASKS_SIGNAL`, `USR1` or `USR2`; else never.
    pub fn on_signal(mut self, signal: i32) -> Self {
        self.signal = Some(signal);
        self
    }

    /// Whoever asks at this address of the loopback interface gets one: `GET /tasks` as text, with
    /// `Accept: application/json` as JSON. Else `HOLDUP_TASKS_LISTEN`, such as `127.0.0.1:4390`;
    /// else nobody. Port 0 takes any, which is logged.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// A task that has been idle for so long is a finding of the kind
    /// [`SlowAwait`](crate::Kind::SlowAwait), once, and while there is one a dump is sent every 30
    /// seconds. Else `HOLDUP_STUCK_AFTER`, such as `5m`; else none is.
    pub fn stuck_after(mut self, idle: Duration) -> Self {
        self.stuck_after = Some(idle);
        self
    }

    /// What the environment says where the code says nothing.
    pub(crate) fn or_environment(
        mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, InstallError> {
        let text = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let time =
            |name: &'static str| match text(name) {
                None => Ok(None),
                Some(text) => settings::duration(text.trim())
                    .map(Some)
                    .ok_or(InstallError::Tasks { name, text, form: "60s" }),
            };
        if self.every.is_none() {
            self.every = time("HOLDUP_TASKS_EVERY")?;
        }
        if self.stuck_after.is_none() {
            self.stuck_after = time("HOLDUP_STUCK_AFTER")?;
        }
        if let Some(text) = text("HOLDUP_TASKS_ON_STALL") {
            self.on_stall |= !settings::says_off(&text);
        }
        if self.signal.is_none()
            && let Some(text) = text("HOLDUP_TASKS_SIGNAL")
        {
            let name = "HOLDUP_TASKS_SIGNAL";
            let number = signal(text.trim());
            self.signal = Some(number.ok_or(InstallError::Tasks { name, text, form: "USR1" })?);
        }
        self.listen = self.listen.or_else(|| text("HOLDUP_TASKS_LISTEN"));
        Ok(self)
    }

    /// The address, if it is one of the loopback interface.
    pub(crate) fn address(&self) -> Result<Option<SocketAddr>, InstallError> {
        let Some(text) = &self.listen else { return Ok(None) };
        let refused = || InstallError::Tasks {
            name: "HOLDUP_TASKS_LISTEN",
            text: text.clone(),
            form: "127.0.0.1:4390",
        };
        let address = text.trim().parse::<SocketAddr>().map_err(|_| refused())?;
        if address.ip().is_loopback() { Ok(Some(address)) } else { Err(refused()) }
    }
}

#[cfg(unix)]
fn signal(name: &str) -> Option<i32> {
    match name.trim_start_matches("SIG") {
        "USR1" => Some(signal_hook::consts::SIGUSR1),
        "USR2" => Some(signal_hook::consts::SIGUSR2),
        _ => None,
    }
}

#[cfg(not(unix))]
fn signal(_: &str) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_wins_and_nonsense_is_named() {
        let environment = |name: &str| match name {
            "HOLDUP_TASKS_EVERY" => Some("30s".to_owned()),
            "HOLDUP_TASKS_ON_STALL" => Some("1".to_owned()),
            _ => None,
        };
        let read = TaskDumps::default().or_environment(environment).unwrap();
        assert_eq!((read.every, read.on_stall), (Some(Duration::from_secs(30)), true));
        let by_code = TaskDumps::default().every(Duration::from_secs(1));
        assert_eq!(
            by_code.or_environment(environment).unwrap().every,
            Some(Duration::from_secs(1))
        );
        let nonsense = |name: &str| (name == "HOLDUP_STUCK_AFTER").then(|| "soon".to_owned());
        let error = TaskDumps::default().or_environment(nonsense).unwrap_err().to_string();
        assert!(error.contains("HOLDUP_STUCK_AFTER") && error.contains("soon"), "{error}");
    }

    #[test]
    fn only_the_loopback_interface_is_listened_on() {
        let address = |text: &str| TaskDumps::default().listen(text).address();
        assert!(address("127.0.0.1:0").unwrap().is_some() && address("[::1]:0").unwrap().is_some());
        for refused in ["0.0.0.0:4390", "192.168.0.1:1", "localhost:1", "4390"] {
            assert!(address(refused).is_err(), "{refused}");
        }
    }
}
