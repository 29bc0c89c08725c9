//! The tasks that are alive: what each is doing, and for how long.
//!
//! Read from the table of [`polling::tasks`](crate::polling::tasks) by whoever asks; nothing runs on a
//! runtime, so that one which is blocked can't keep the answer back.

use std::time::{Duration, SystemTime};

use crate::polling::tasks::Known;
use crate::polling::{clock, slot, spans, tasks};
use crate::runtime::registry;

mod endpoint;
mod render;
pub(crate) mod settings;
mod stuck;

pub(crate) use endpoint::Endpoint;
pub(crate) use stuck::Stuck;

/// The live tasks of this process, as far as they are known: see [`tasks`](fn@crate::tasks).
///
/// Its `Display` is a text with a line for each task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskDump {
    /// When it was taken.
    pub time: SystemTime,
    /// Those that run first, then those that are ready, then the others, the longest first.
    pub tasks: Vec<Task>,
    /// Live tasks that are not listed: those that found no place in the table, and tasks of
    /// [watched runtimes](crate::watch_runtime) that are not instrumented (with `--cfg tokio_unstable`:
    /// those spawned before Holdup was switched on), as far as those runtimes have told. Without
    /// a watched runtime only those beyond the table are known of, and `None` stands for none of
    /// those: there may be any number.
    pub unknown: Option<u64>,
}

/// A live task, or another future that is polled as one, such as that of `block_on`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Task {
    /// Number of tokio's task; `None` for others, and during the first poll of one that isn't of
    /// [`spawn`](crate::spawn).
    pub id: Option<u64>,
    /// The instrumented function, or the name that it was given.
    pub name: String,
    /// Source file of where it was made or, for functions, is.
    pub file: String,
    /// Line in [`file`](Self::file), 0 when it isn't known.
    pub line: u32,
    /// What it is doing.
    pub state: TaskState,
    /// For how long it has been doing that.
    pub since: Duration,
    /// Time since it was spawned, or since the end of its first poll.
    pub age: Duration,
    /// Polls that have ended.
    pub polls: u64,
    /// Time of those.
    pub busy: Duration,
    /// How long ago it was last woken; `None` for never, and for tasks whose wakes are not noted: all
    /// but those of [`spawn`](crate::spawn).
    pub woken: Option<Duration>,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TaskState {
    /// It is being polled.
    Running,
    /// It was woken, and waits to be polled. Known for tasks of [`spawn`](crate::spawn); others
    /// are idle until they are polled.
    Ready,
    /// It waits for something.
    Idle,
}

impl TaskState {
    /// Its name on the wire: `running`, `ready`, `idle`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Idle => "idle",
        }
    }
}

/// The live tasks of this process, now.
///
/// Known are tasks of [`spawn`](crate::spawn), and the outermost watched future of every other task
/// from its first poll on; with `--cfg tokio_unstable` every task of a [watched
/// runtime](crate::watch_runtime). 8,192 at one time. Can be called from any thread, also while every
/// runtime is blocked.
///
/// # Examples
///
/// ```
/// # let nowhere = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
/// # let _guard = holdup::builder().tracer_provider(nowhere).install()?;
/// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
/// # runtime.block_on(async {
/// let worker = holdup::spawn_named("shop::worker", std::future::pending::<()>());
/// let dump = holdup::tasks();
/// assert!(dump.tasks.iter().any(|task| task.name == "shop::worker"));
/// println!("{dump}");
/// # worker.abort();
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dump() -> TaskDump {
    let now = clock::now();
    let known = tasks::known();
    let with_number = known.iter().filter(|known| known.task != 0).count() as u64;
    let mut tasks = known.iter().map(|known| Task::of(known, now)).collect::<Vec<_>>();
    tasks.extend(first_polls(&known, now));
    tasks.sort_by(|a, b| (a.state, b.since).cmp(&(b.state, a.since)));
    let runtimes = registry::all();
    let alive = runtimes.iter().map(|runtime| runtime.state().tasks as u64).sum::<u64>();
    let unregistered = tasks::unregistered();
    let unknown =
        (!runtimes.is_empty()).then(|| alive.saturating_sub(with_number).max(unregistered));
    let unknown = unknown.or_else(|| (unregistered > 0).then_some(unregistered));
    TaskDump { time: SystemTime::now(), tasks, unknown }
}

/// Polls of futures that have no entry yet, because it is the first one.
fn first_polls(known: &[Known], now: u64) -> Vec<Task> {
    let is_known = |slot: usize| known.iter().any(|k| k.slot == slot && k.is_running());
    let polls = slot::used().iter().filter(|slot| !is_known(slot.id())).filter_map(|slot| {
        let poll = slot.snapshot().filter(|poll| !spans::is_span(poll.site))?;
        if slot.owner()?.thread.exports() {
            return None;
        }
        let since = duration(now.saturating_sub(poll.start));
        Some(Task {
            id: None,
            name: poll.site.function().into_owned(),
            file: poll.site.file().to_owned(),
            line: poll.site.line(),
            state: TaskState::Running,
            since,
            age: since,
            polls: 0,
            busy: Duration::ZERO,
            woken: None,
        })
    });
    polls.collect()
}

impl Task {
    fn of(known: &Known, now: u64) -> Self {
        let (state, since) = state(known);
        let ago = |then: u64| duration(now.saturating_sub(then));
        Self {
            id: Some(known.task).filter(|id| *id != 0),
            name: known.site.function().into_owned(),
            file: known.site.file().to_owned(),
            line: known.site.line(),
            state,
            since: ago(since),
            age: ago(known.created),
            polls: known.polls,
            busy: duration(known.busy),
            woken: (known.tracks_wakes && known.woken != 0).then(|| ago(known.woken)),
        }
    }
}

/// What a task does, and since which tick.
fn state(known: &Known) -> (TaskState, u64) {
    if known.is_running() {
        (TaskState::Running, known.began)
    } else if known.is_fresh() {
        (TaskState::Ready, known.created)
    } else if known.tracks_wakes && known.woken >= known.began && known.woken != 0 {
        // A wake while it was polled counts from the end of that poll.
        (TaskState::Ready, known.woken.max(known.ended))
    } else {
        (TaskState::Idle, known.ended.max(known.created))
    }
}

fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(clock::nanoseconds(ticks))
}
