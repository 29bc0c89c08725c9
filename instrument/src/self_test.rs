//! Whether detection works in this process: it blocks on purpose, and looks whether that is found.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::findings::Finding;
use crate::polling::site::Site;
use crate::polling::switch;
use crate::thresholds;
use crate::watched::watch;

/// Its polls are told to nobody else.
const NAME: &str = "holdup::self_test";
static SITE: Site = Site::new(NAME, file!(), line!());

/// It blocks for so many times its threshold, within the bounds: what is over sooner may be told of at
/// its end alone.
const THRESHOLDS: u32 = 3;
const BLOCK_MIN: Duration = Duration::from_millis(500);
/// Tries on a machine that is so busy that nobody looks in time, each twice as long.
const TRIES_MAX: u32 = 3;
const BLOCK_MAX: Duration = Duration::from_secs(5);
/// How long it waits for the finding.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

static FOUND: Mutex<Vec<Finding>> = Mutex::new(Vec::new());
static ALONE: Mutex<()> = Mutex::new(());

/// What [`self_test`] saw of the poll that blocked on purpose.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SelfTest {
    /// Holdup is switched on, with a threshold at which it can be tested.
    pub installed: bool,
    /// The poll was found after its end.
    pub found: bool,
    /// It was found while it lasted, too: a poll that never returns would be found.
    pub while_it_lasted: bool,
    /// Its stack was taken, and shows where it blocked.
    pub stack: bool,
    /// Its cause was told.
    pub cause: bool,
    /// The stack had advice.
    pub advice: bool,
}

impl SelfTest {
    /// Whether blocking polls are found, at their end and while they last. Stack, cause and advice
    /// need the system's help: they make a finding better.
    pub fn is_armed(&self) -> bool {
        self.installed && self.found && self.while_it_lasted
    }
}

impl fmt::Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_armed() { "armed" } else { "not armed" })?;
        let parts = [
            ("installed", self.installed),
            ("found at its end", self.found),
            ("found while it lasted", self.while_it_lasted),
            ("stack", self.stack),
            ("cause", self.cause),
            ("advice", self.advice),
        ];
        for (index, (name, is)) in parts.into_iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { ", " })?;
            write!(f, "{name}: {}", if is { "yes" } else { "no" })?;
        }
        Ok(())
    }
}

/// Blocks a thread of its own on purpose, in a watched poll, and tells whether that was found.
///
/// Takes three times the threshold, and half a second at least; on a machine without a CPU to spare it
/// tries three times, and waits for ten seconds at most each time. No span, log line or handler tells of it.
/// Don't call it on a runtime: it waits.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), holdup::InstallError> {
/// # let nowhere = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
/// let _guard = holdup::builder()
/// #   .tracer_provider(nowhere)
///     .install()?;
/// let result = holdup::self_test();
/// assert!(result.is_armed(), "{result}");
/// # Ok(())
/// # }
/// ```
pub fn self_test() -> SelfTest {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    take();
    if !switch::is_on() {
        return SelfTest::default();
    }
    let threshold = Duration::from_nanos(thresholds::of_site(&SITE, None));
    let mut long = threshold.saturating_mul(THRESHOLDS).max(BLOCK_MIN);
    if long > BLOCK_MAX {
        return SelfTest::default();
    }
    let mut result = SelfTest { installed: true, ..SelfTest::default() };
    for _ in 0..TRIES_MAX {
        result.try_once(long);
        if result.is_armed() || !switch::is_on() {
            break;
        }
        long = long.saturating_mul(2).min(BLOCK_MAX);
    }
    result
}

impl SelfTest {
    fn try_once(&mut self, long: Duration) {
        // The name is none of Holdup's own threads, which are never reported.
        let builder = thread::Builder::new().name("self-test".to_owned());
        let thread = builder.spawn(move || {
            let mut future = pin!(watch(&SITE, async { blocks(long) }));
            let _ready = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        let Ok(thread) = thread else { return };
        let _ended = thread.join();
        let deadline = Instant::now() + PATIENCE;
        self.found = false;
        while !self.found && Instant::now() < deadline && switch::is_on() {
            thread::sleep(LOOK_EVERY);
            take().iter().for_each(|finding| self.see(finding));
        }
    }
}

#[inline(never)]
fn blocks(long: Duration) {
    thread::sleep(std::hint::black_box(long));
}

impl SelfTest {
    fn see(&mut self, finding: &Finding) {
        if finding.ongoing {
            self.while_it_lasted = true;
        } else {
            self.found = true;
        }
        self.stack |= finding.stack.iter().any(|frame| frame.contains("self_test::blocks"));
        self.cause |= finding.cause == Some("sleep");
        self.advice |= finding.advice.is_some_and(|advice| advice.id == "thread-sleep");
    }
}

/// Takes a finding that is of the self-test. Whether it was one.
pub(crate) fn takes(finding: &Finding) -> bool {
    let is_own = finding.function == NAME;
    if is_own {
        FOUND.lock().unwrap_or_else(PoisonError::into_inner).push(finding.clone());
    }
    is_own
}

fn take() -> Vec<Finding> {
    std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner))
}
