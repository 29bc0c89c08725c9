//! Tests that fail when they block.
//!
//! The attribute [`test`](macro@crate::test) is what most tests need; a [`Guard`] watches any piece of
//! a test. Both fail it with the stack and with what to write instead. Time that a thread was ready
//! and had no CPU doesn't count, so a busy machine fails no test.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::findings::{Finding, Kind};
use crate::install::{self, Builder};
use crate::polling::site::Site;
use crate::polling::thread::this_thread_id;
use crate::watched::watch;
use crate::{builder, watch_runtime};

/// How long a guard waits at its end for what is still to be judged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(20);
/// A poll that has blocked a test for so long is told of at once: the test may never end.
const HANGS: Duration = Duration::from_secs(5);
/// Frames of a stack that are shown.
const FRAMES_SHOWN_MAX: usize = 40;

/// One guard at a time: there is one installation in a process.
static ALONE: Mutex<()> = Mutex::new(());

/// What a test may do.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let limits = holdup::testing::Limits::new(Duration::from_millis(50)).allow("shop::migrate::*");
/// let guard = holdup::testing::Guard::start(limits);
/// # drop(guard);
/// ```
#[derive(Clone, Debug)]
#[must_use = "limits do nothing by themselves: give them to a guard"]
pub struct Limits {
    max_poll: Duration,
    allowed: Vec<String>,
}

impl Limits {
    /// No poll may keep its thread for so long or longer.
    ///
    /// Below 10 ms the watchdog may come too late for a stack.
    pub fn new(max_poll: Duration) -> Self {
        Self { max_poll, allowed: Vec::new() }
    }

    /// Functions that may block, by pattern: see [`Builder::allow`].
    pub fn allow(mut self, patterns: impl Into<String>) -> Self {
        self.allowed.push(patterns.into());
        self
    }
}

/// Whose polls count: by the id of the OS thread. None for all of the process.
type Threads = Option<Arc<Mutex<HashSet<u32>>>>;

/// Fails a test, when it is dropped, if a watched poll blocked meanwhile.
///
/// Watched are the functions with [`detect_blocking`](macro@crate::detect_blocking), on every thread of
/// the process. There is one guard at a time: a second waits for the first, so tests with guards run
/// one after the other.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use holdup::testing::{Guard, Limits};
///
/// #[holdup::detect_blocking]
/// async fn checkout() -> u64 {
///     7
/// }
///
/// let guard = Guard::start(Limits::new(Duration::from_millis(50)));
/// # tokio::runtime::Builder::new_current_thread().build().unwrap()
/// #     .block_on(async { assert_eq!(checkout().await, 7) });
/// guard.check();
/// ```
#[must_use = "a guard watches until it is dropped: bind it to a name, `let guard = …`"]
pub struct Guard {
    installed: Option<install::Guard>,
    findings: Arc<Mutex<Vec<Arc<Finding>>>>,
    threads: Threads,
    max_poll: Duration,
    /// Dropped last.
    _alone: MutexGuard<'static, ()>,
}

impl Guard {
    /// Begins to watch.
    ///
    /// # Panics
    ///
    /// When Holdup is installed by something else than a guard, or can't be installed: a test that
    /// nobody watches would pass.
    pub fn start(limits: Limits) -> Self {
        Self::of(limits, None)
    }

    fn of(limits: Limits, threads: Threads) -> Self {
        let Limits { max_poll, allowed } = limits;
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let findings = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&findings);
        let mut builder = builder()
            // Spans go nowhere.
            .tracer_provider(SdkTracerProvider::builder().build())
            .threshold(max_poll)
            .reports_per_minute(u32::MAX)
            .flush_timeout(FLUSH_TIMEOUT)
            .log(false)
            .on_finding(move |finding| receive(&sink, finding));
        for patterns in &allowed {
            builder = builder.allow(patterns);
        }
        let installed = Builder::install_for_tests(builder);
        #[allow(clippy::panic)] // What tests do.
        let installed = installed.unwrap_or_else(|error| panic!("no test is watched: {error}"));
        Self { installed: Some(installed), findings, threads, max_poll, _alone: alone }
    }

    /// Ends the watch, and tells of the polls that blocked.
    pub fn finish(mut self) -> Vec<Arc<Finding>> {
        self.end()
    }

    /// Ends the watch, and fails the test if a poll blocked.
    ///
    /// # Panics
    ///
    /// When a poll blocked, with the function, the stack and the advice. The drop of a guard does so
    /// too, unless the thread panics already.
    #[track_caller]
    pub fn check(mut self) {
        let blocked = self.end();
        fail(&blocked, self.max_poll);
    }

    fn end(&mut self) -> Vec<Arc<Finding>> {
        // Its drop waits until all is judged.
        drop(self.installed.take());
        let mut findings =
            std::mem::take(&mut *self.findings.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(threads) = &self.threads {
            let threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
            // 0 where the system has no ids.
            findings
                .retain(|finding| finding.thread_id == 0 || threads.contains(&finding.thread_id));
        }
        findings
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let blocked = self.end();
        if !std::thread::panicking() {
            fail(&blocked, self.max_poll);
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("max_poll", &self.max_poll).finish_non_exhaustive()
    }
}

fn receive(sink: &Mutex<Vec<Arc<Finding>>>, finding: &Finding) {
    if finding.kind != Kind::Blocking {
        return;
    }
    if finding.ongoing {
        if finding.busy >= HANGS {
            // The test runner shows nothing of a test that doesn't end. Nobody misses the line when
            // stderr is closed.
            let _unwritten = writeln!(std::io::stderr(), "{}", described(finding));
        }
        return;
    }
    sink.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(finding.clone()));
}

#[track_caller]
fn fail(blocked: &[Arc<Finding>], max_poll: Duration) {
    if blocked.is_empty() {
        return;
    }
    let mut text = format!("{} polls blocked for {max_poll:?} or longer:\n", blocked.len());
    for finding in blocked {
        let _infallible = writeln!(text, "{}", described(finding));
    }
    #[allow(clippy::panic)] // This is how a test fails.
    {
        panic!("{text}");
    }
}

/// The finding, where to read more, and the stack.
fn described(finding: &Finding) -> String {
    let mut text = format!("- {finding}");
    if let Some(advice) = finding.advice {
        let _infallible = write!(text, " See {}.", advice.link());
    }
    for frame in finding.stack.iter().take(FRAMES_SHOWN_MAX) {
        let _infallible = write!(text, "\n    {frame}");
    }
    if finding.stack.is_empty() {
        text.push_str("\n    no stack was taken");
    }
    text
}

/// What the attribute [`test`](macro@crate::test) expands to: runs a future on a runtime of its own,
/// and fails if a poll of it, or of what it spawns there, blocks.
///
/// `runtime` is a builder without hooks of its own.
///
/// # Panics
///
/// When a poll blocked, when the future panics, and when the runtime can't be built.
#[track_caller]
pub fn run<F: Future>(
    site: &'static Site,
    limits: Limits,
    mut runtime: tokio::runtime::Builder,
    future: F,
) -> F::Output {
    let threads = Arc::new(Mutex::new(HashSet::from([this_thread_id()])));
    let started = Arc::clone(&threads);
    let guard = Guard::of(limits, Some(threads));
    let built = watch_runtime(&mut runtime)
        .enable_all()
        .on_thread_start(move || {
            started.lock().unwrap_or_else(PoisonError::into_inner).insert(this_thread_id());
        })
        .build();
    #[allow(clippy::panic)] // What tests do.
    let runtime = built.unwrap_or_else(|error| panic!("the test has no runtime: {error}"));
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(watch(site, future))));
    drop(runtime);
    match result {
        Ok(output) => {
            guard.check();
            output
        }
        Err(panic) => {
            // What the test itself says goes first.
            let _blocked = guard.finish();
            resume_unwind(panic)
        }
    }
}
