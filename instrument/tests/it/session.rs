//! One installation of Holdup at a time, with a receiver for what it finds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::receiver::{Poll, Receiver};

static ALONE: Mutex<()> = Mutex::new(());

/// For tests that install Holdup in their own way.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Session {
    pub(crate) receiver: Receiver,
    guard: Option<holdup::Guard>,
    _alone: MutexGuard<'static, ()>,
}

impl Session {
    pub(crate) fn start() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(configure: impl FnOnce(holdup::Builder) -> holdup::Builder) -> Self {
        Self::while_alone(alone(), Receiver::start(), configure)
    }

    pub(crate) fn while_alone(
        alone: MutexGuard<'static, ()>,
        receiver: Receiver,
        configure: impl FnOnce(holdup::Builder) -> holdup::Builder,
    ) -> Self {
        let builder = holdup::builder()
            .service_name("it")
            .endpoint(&receiver.url)
            .threshold(Duration::from_millis(10))
            .reports_per_minute(1_000_000)
            .flush_timeout(Duration::from_secs(20));
        let guard = configure(builder).install().unwrap();
        Self { receiver, guard: Some(guard), _alone: alone }
    }

    /// Ends the installation and leaves what was sent.
    pub(crate) fn end(mut self) -> Receiver {
        drop(self.guard.take());
        self.receiver
    }

    /// Ends the installation, does something while there is none, and starts another.
    pub(crate) fn again(mut self, between: impl FnOnce()) -> (Vec<Poll>, Self) {
        drop(self.guard.take());
        let sent = self.receiver.polls();
        between();
        (sent, Self::while_alone(self._alone, Receiver::start(), |builder| builder))
    }

    /// Ends the installation and returns all that was sent.
    pub(crate) fn finish(mut self) -> Vec<Poll> {
        drop(self.guard.take());
        self.receiver.polls()
    }
}

/// Blocks this thread, and tells for how long it really was.
pub(crate) fn block(milliseconds: u64) -> Duration {
    let start = Instant::now();
    thread::sleep(Duration::from_millis(milliseconds));
    start.elapsed()
}

/// Runs a future on a runtime of one thread, beside what it spawns.
pub(crate) fn on_one_thread<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}

pub(crate) fn names(polls: &[Poll]) -> Vec<String> {
    let mut names = polls.iter().map(Poll::function).collect::<Vec<_>>();
    names.sort();
    names
}

/// Waits for a condition, and fails when it doesn't come true in time.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Allows for the error of the clock's calibration.
pub(crate) fn assert_within(nanoseconds: u64, least: Duration, most: Duration) {
    let measured = Duration::from_nanos(nanoseconds);
    assert!(measured + measured / 50 >= least, "{measured:?} is less than {least:?}");
    assert!(measured <= most + most / 50, "{measured:?} is more than {most:?}");
}
