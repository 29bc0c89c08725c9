//! What Holdup has to say about one poll, future or task, for handlers and for the log.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::advice::Advice;
use crate::polling::timed::Outcome;
use crate::stack;

/// Something that was found: given to the handlers of [`on_slow_poll`](crate::on_slow_poll),
/// [`on_stall`](crate::on_stall) and [`on_finding`](crate::on_finding).
///
/// A slow poll that goes on is told of when it passes its threshold, then at two, four, … times that,
/// each time with [`ongoing`](Self::ongoing), and at its end without; all with the same
/// [`id`](Self::id).
///
/// # Examples
///
/// ```
/// let _handler = holdup::on_slow_poll(|finding| {
///     let state = if finding.ongoing { "holds" } else { "held" };
///     let thread = &finding.thread;
///     eprintln!("{} {state} {thread} for {:?}", finding.function, finding.busy);
/// });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// What was found.
    pub kind: Kind,
    /// Tells poll from poll, and future from future: all that is said of one has the same.
    pub id: u64,
    /// The instrumented function, as it is named in poll spans.
    pub function: String,
    /// Source file of where that was made, empty when it isn't known.
    pub file: String,
    /// Line in [`file`](Self::file), 0 when it isn't known.
    pub line: u32,
    /// When the poll, or the first poll of the future, began.
    pub started: SystemTime,
    /// From then on: [`busy`](Self::busy) + [`idle`](Self::idle) + [`starved`](Self::starved), and for
    /// one poll the time of instrumented polls nested in it as well.
    pub elapsed: Duration,
    /// Time in polls, without that of instrumented polls nested in it if this is about one poll.
    pub busy: Duration,
    /// Time suspended: nothing had woken it yet. Zero for one poll.
    pub idle: Duration,
    /// Time ready and not polled: from a wake to the poll that followed. Zero for one poll.
    pub starved: Duration,
    /// Polls that this is about.
    pub polls: u64,
    /// What was reached, in the unit of the kind: see [`Kind`].
    pub threshold: Duration,
    /// Name of the OS thread; empty when it has none, or when there were several.
    pub thread: String,
    /// Id of the OS thread, 0 when it isn't known.
    pub thread_id: u32,
    /// Name of the runtime, if it has one.
    pub runtime: Option<String>,
    /// Index of the runtime's worker.
    pub worker: Option<u32>,
    /// Number of tokio's task.
    pub task: Option<u64>,
    /// Why the poll took long, one of [`CAUSES`](crate::contract::CAUSES).
    pub cause: Option<&'static str>,
    /// Whom the stack blames.
    pub blame: Option<Blame>,
    /// The stack while it was blocked, innermost frame first; empty when none was taken.
    pub stack: Vec<String>,
    /// Who held the runtime's threads during the longest wait for a poll: on the thread that
    /// polled afterwards first. Empty when that isn't known, as when nobody who is watched held one
    /// for as long as their threshold.
    pub held_by: Vec<Holder>,
    /// Who held the lock that the poll waited for, when it was looked at. None when that can't be told.
    pub lock_holder: Option<LockHolder>,
    /// What to write instead, as far as the stack tells; [`sentence`](Self::sentence) says something
    /// in any case.
    pub advice: Option<&'static Advice>,
    /// Tasks that were seen to wait meanwhile.
    pub victims: Option<u64>,
    /// What a task said as it panicked.
    pub message: Option<String>,
    /// How a timed future ended, once it did; none for polls.
    pub outcome: Option<Outcome>,
    /// It goes on; more will be said of it.
    pub ongoing: bool,
    /// Findings that a limit kept back since the last one that came through.
    pub suppressed: u64,
}

/// What a [`Finding`] is about. They are never mixed: a future that awaits is not one that blocks, and
/// one that was kept waiting by another is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// One poll kept its thread: [`busy`](Finding::busy) reached the threshold.
    Blocking,
    /// A future was suspended for long: [`idle`](Finding::idle) reached the threshold. Nothing was
    /// blocked by that.
    SlowAwait,
    /// A future was ready and not polled: [`starved`](Finding::starved) reached the threshold. It is a
    /// victim; [`held_by`](Finding::held_by) tells of whom.
    Starvation,
    /// Many short polls kept a thread without a pause: [`busy`](Finding::busy), of
    /// [`polls`](Finding::polls) polls, reached the threshold. Found in [debug mode](crate::debug).
    HeldTogether,
    /// A future was made and dropped, and never polled. Found in [debug mode](crate::debug).
    NeverPolled,
    /// A task panicked and nobody looked at that. Found in [debug mode](crate::debug).
    UnseenPanic,
    /// A task used up its thread without an await that gave it back. Found in [debug mode](crate::debug).
    NeverYields,
}

/// Whom a stack blames.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blame {
    /// The first function outside of the standard library, libc, the allocator and the runtime.
    pub function: String,
    /// The crate that it is in.
    pub crate_name: String,
}

/// Who held a thread of the runtime while something else was ready.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The instrumented function whose poll it was.
    pub function: String,
    /// The function that its stack blames, if one was taken in time.
    pub blame: Option<String>,
    /// How long of the wait it held its thread.
    pub held: Duration,
    /// Whether that was the thread which polled the victim afterwards.
    pub same_thread: bool,
}

/// Who held a lock that a poll waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockHolder {
    /// Name of the OS thread.
    pub thread: String,
    /// Id of the OS thread.
    pub thread_id: u32,
    /// The function that its stack blamed at that instant, if there was one.
    pub function: Option<String>,
    /// How that is known. `owner`: the lock itself names its owner. `address`: the lock's address is on
    /// the stack of this thread, and on that of no other that doesn't wait for the lock; so it is
    /// probable, and not certain.
    pub evidence: &'static str,
}

impl From<stack::Holder> for LockHolder {
    fn from(holder: stack::Holder) -> Self {
        let stack::Holder { thread, thread_name, function, evidence } = holder;
        let function = (!function.is_empty()).then_some(function);
        Self { thread: thread_name, thread_id: thread, function, evidence }
    }
}

/// All kinds, for counters.
pub(crate) const KINDS: [Kind; 7] = [
    Kind::Blocking,
    Kind::SlowAwait,
    Kind::Starvation,
    Kind::HeldTogether,
    Kind::NeverPolled,
    Kind::UnseenPanic,
    Kind::NeverYields,
];

impl Kind {
    /// Its name on the wire and in the log, such as `slow_await`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::SlowAwait => "slow_await",
            Self::Starvation => "starvation",
            Self::HeldTogether => "held_together",
            Self::NeverPolled => "never_polled",
            Self::UnseenPanic => "unseen_panic",
            Self::NeverYields => "never_yields",
        }
    }

    /// What to do about it, where no stack tells more.
    fn sentence(self) -> &'static str {
        match self {
            Self::Blocking => {
                "move the work off the runtime with spawn_blocking, or await in smaller steps"
            }
            Self::SlowAwait => {
                "this blocks nobody: look at what it waits for, and give that a timeout"
            }
            Self::Starvation => "it is not to blame: look at who held its runtime's threads",
            Self::HeldTogether => {
                "make less work of it, spread it over time, or move it off the runtime"
            }
            Self::NeverPolled => "await it or spawn it: a future does nothing until it is polled",
            Self::UnseenPanic => {
                "await the JoinHandle and look at its error, or handle it in the task"
            }
            Self::NeverYields => {
                "call tokio::task::yield_now().await in its loop, or use spawn_blocking"
            }
        }
    }
}

impl Finding {
    /// One with the facts that all have; the others are none.
    pub(crate) fn new(kind: Kind, function: String, started: SystemTime) -> Self {
        Self {
            kind,
            id: 0,
            function,
            file: String::new(),
            line: 0,
            started,
            elapsed: Duration::ZERO,
            busy: Duration::ZERO,
            idle: Duration::ZERO,
            starved: Duration::ZERO,
            polls: 0,
            threshold: Duration::ZERO,
            thread: String::new(),
            thread_id: 0,
            runtime: None,
            worker: None,
            task: None,
            cause: None,
            blame: None,
            stack: Vec::new(),
            held_by: Vec::new(),
            lock_holder: None,
            advice: None,
            victims: None,
            message: None,
            outcome: None,
            ongoing: false,
            suppressed: 0,
        }
    }

    /// About what it takes of memory.
    pub(crate) fn bytes(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let blame = self.blame.as_ref();
        let blame = blame.map_or(0, |blame| blame.function.len() + blame.crate_name.len());
        let holder = |of: &Holder| size_of::<Holder>() + of.function.len() + text(&of.blame);
        let frame = |frame: &String| size_of::<String>() + frame.len();
        size_of::<Self>()
            + self.function.len()
            + self.file.len()
            + self.thread.len()
            + text(&self.runtime)
            + text(&self.message)
            + blame
            + self.held_by.iter().map(holder).sum::<usize>()
            + self.stack.iter().map(frame).sum::<usize>()
    }

    /// What to do about it, in a sentence.
    pub fn sentence(&self) -> &'static str {
        self.advice.map_or_else(|| self.kind.sentence(), |advice| advice.sentence)
    }

    /// How far it reached what its kind is measured by.
    fn measure(&self) -> Duration {
        match self.kind {
            Kind::SlowAwait => self.idle,
            Kind::Starvation => self.starved,
            _ => self.busy,
        }
    }

    fn write_what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (measure, threshold) = (self.measure(), self.threshold);
        let tense = if self.ongoing { "has " } else { "" };
        let still = if self.ongoing { " so far" } else { "" };
        match self.kind {
            Kind::Blocking => {
                let holds = if self.ongoing { "still holds" } else { "held" };
                write!(f, "{holds} its thread for {measure:?} in one poll")?;
            }
            Kind::SlowAwait => write!(f, "{tense}awaited for {measure:?}{still}")?,
            Kind::Starvation => {
                write!(f, "{tense}waited for {measure:?}{still} to be polled although ready")?;
            }
            Kind::HeldTogether => {
                write!(f, "held its thread for {measure:?} with {} short polls", self.polls)?;
            }
            Kind::NeverPolled => return f.write_str("was made and dropped without a poll"),
            Kind::UnseenPanic => {
                f.write_str("panicked, and nobody looked at it")?;
                return self.message.iter().try_for_each(|message| write!(f, ": {message:?}"));
            }
            Kind::NeverYields => {
                write!(f, "{tense}kept its thread for {measure:?} without giving it back")?;
                return self.message.iter().try_for_each(|message| write!(f, ": {message}"));
            }
        }
        write!(f, " (threshold {threshold:?})")
    }
}

/// One line: what, where, why, what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.function)?;
        if !self.file.is_empty() {
            write!(f, " ({}:{})", self.file, self.line)?;
        }
        f.write_str(" ")?;
        self.write_what(f)?;
        match (&self.thread, self.worker) {
            (thread, _) if thread.is_empty() => {}
            (thread, Some(worker)) => write!(f, ", thread {thread}, worker {worker}")?,
            (thread, None) => write!(f, ", thread {thread}")?,
        }
        self.runtime.iter().try_for_each(|runtime| write!(f, " of {runtime}"))?;
        if let Some(cause) = self.cause.filter(|cause| *cause != "unknown") {
            write!(f, ", cause {cause}")?;
        }
        if let Some(blame) = &self.blame {
            write!(f, ", in {}", blame.function)?;
        }
        if let Some(LockHolder { thread, function, .. }) = &self.lock_holder {
            write!(f, ", the lock held by thread {thread}")?;
            function.iter().try_for_each(|function| write!(f, " in {function}"))?;
        }
        if let Some(holder) = self.held_by.first() {
            let Holder { function, held, .. } = holder;
            if holder.same_thread {
                write!(f, ", held up by {function} for {held:?}")?;
            } else {
                write!(f, ", while {function} held another thread for {held:?}")?;
            }
        } else if self.kind == Kind::Starvation {
            f.write_str(", held up by nobody known")?;
        }
        write!(f, "; {}", self.sentence())?;
        if self.suppressed > 0 {
            write!(f, " ({} more were suppressed)", self.suppressed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_where_why_and_what_to_do() {
        let mut finding =
            Finding::new(Kind::Blocking, "shop::pay".to_owned(), SystemTime::UNIX_EPOCH);
        finding.file = "src/shop.rs".to_owned();
        finding.line = 7;
        finding.busy = Duration::from_millis(52);
        finding.threshold = Duration::from_millis(10);
        finding.thread = "worker-1".to_owned();
        finding.worker = Some(1);
        finding.cause = Some("sleep");
        finding.suppressed = 3;
        let line = finding.to_string();
        let expected = "shop::pay (src/shop.rs:7) held its thread for 52ms in one poll (threshold \
                        10ms), thread worker-1, worker 1, cause sleep; ";
        assert!(line.starts_with(expected), "{line}");
        assert!(line.ends_with("(3 more were suppressed)"), "{line}");
        finding.lock_holder = Some(LockHolder {
            thread: "batch".to_owned(),
            thread_id: 7,
            function: Some("shop::export".to_owned()),
            evidence: "address",
        });
        let line = finding.to_string();
        assert!(line.contains(", the lock held by thread batch in shop::export; "), "{line}");
        finding.ongoing = true;
        assert!(finding.to_string().contains("still holds its thread for 52ms"), "{finding}");
    }

    #[test]
    fn each_kind_is_measured_by_its_own_time() {
        let mut finding = Finding::new(Kind::SlowAwait, "f".to_owned(), SystemTime::UNIX_EPOCH);
        (finding.busy, finding.idle, finding.starved) =
            (Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3));
        for (kind, text) in [
            (Kind::Blocking, "held its thread for 1s in one poll"),
            (Kind::SlowAwait, "awaited for 2s"),
            (Kind::Starvation, "waited for 3s to be polled although ready"),
        ] {
            finding.kind = kind;
            assert!(finding.to_string().contains(text), "{finding}");
        }
        assert!(finding.to_string().contains("held up by nobody known"), "{finding}");
    }

    #[test]
    fn names_of_kinds_are_told_apart() {
        let names = KINDS.iter().map(|kind| kind.name()).collect::<std::collections::HashSet<_>>();
        assert_eq!(names.len(), KINDS.len());
        assert!(KINDS.iter().enumerate().all(|(index, kind)| *kind as usize == index));
    }
}
