//! Ctrl-C and its like: noted here, acted on where something is waited for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How often a wait looks at the signals and at its condition.
const LOOK: Duration = Duration::from_millis(50);

/// Whether a signal has asked to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

/// Somebody asked to end.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Notes SIGINT, SIGTERM and SIGHUP from here on.
pub(crate) fn watch() -> anyhow::Result<Interrupt> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(Interrupt(flag))
}

impl Interrupt {
    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits until `ready` gives something or the time is up, whichever is first.
    pub(crate) fn wait<T>(
        &self,
        time: Duration,
        mut ready: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        let deadline = Instant::now() + time;
        loop {
            if self.came() {
                return Err(Interrupted.into());
            }
            if let Some(value) = ready()? {
                return Ok(Some(value));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(left.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupt(came: bool) -> Interrupt {
        Interrupt(Arc::new(AtomicBool::new(came)))
    }

    #[test]
    fn a_wait_ends_with_its_condition_or_its_time() {
        let some = interrupt(false).wait(Duration::from_secs(60), || Ok(Some(1))).unwrap();
        assert_eq!(some, Some(1));
        let none: Option<()> = interrupt(false).wait(Duration::ZERO, || Ok(None)).unwrap();
        assert_eq!(none, None);
    }

    #[test]
    fn an_interrupt_ends_every_wait() {
        let error = interrupt(true).wait(Duration::MAX / 4, || Ok(Some(1))).unwrap_err();
        assert!(error.is::<Interrupted>());
    }
}
