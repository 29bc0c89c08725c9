//! The wire contract: every name that a service and the collector must agree on.
//!
//! `docs/CONTRACT.md` is the reference for senders in other languages. Names that begin with
//! `code.`, `thread.` or `service.` are those of the [OpenTelemetry semantic conventions].
//!
//! [OpenTelemetry semantic conventions]: https://opentelemetry.io/docs/specs/semconv/

/// Name of the instrumentation scope of every poll span.
pub const SCOPE: &str = "holdup";
/// Name of the instrumentation scope of spans of futures that waited for long. They are no poll
/// spans: nothing was blocked by them.
pub const AWAIT_SCOPE: &str = "holdup.await";
/// What such a span is about: `slow_await` or `starvation`. String.
pub const FINDING: &str = "holdup.finding";
/// Time of the future in polls. Integer, nanoseconds; with the next two it is the span's duration.
pub const AWAIT_BUSY_NS: &str = "holdup.busy_ns";
/// Time of the future suspended. Integer, nanoseconds.
pub const AWAIT_IDLE_NS: &str = "holdup.idle_ns";
/// Time of the future ready and not polled. Integer, nanoseconds.
pub const AWAIT_STARVED_NS: &str = "holdup.starved_ns";
/// Polls of the future. Integer.
pub const AWAIT_POLLS: &str = "holdup.polls";
/// The function whose poll held the thread while the future was ready. String.
pub const HELD_BY: &str = "holdup.held_by";
/// What a poll span's name begins with; the function's name follows.
pub const SPAN_NAME_PREFIX: &str = "poll ";

/// The instrumented function (the site), fully qualified. String.
pub const FUNCTION: &str = "code.function.name";
/// Source file of the site. String.
pub const FILE: &str = "code.file.path";
/// Source line of the site. Integer.
pub const LINE: &str = "code.line.number";
/// The stack while it was blocked, leaf first, one frame a line. String.
pub const STACKTRACE: &str = "code.stacktrace";
/// Id of the OS thread. Integer.
pub const THREAD_ID: &str = "thread.id";
/// Name of the OS thread. String.
pub const THREAD_NAME: &str = "thread.name";

/// Duration of the poll less that of instrumented polls nested in it. Integer, nanoseconds.
pub const SELF_NS: &str = "holdup.self_ns";
/// Time of the poll that its thread spent on a CPU. Integer, nanoseconds.
pub const CPU_NS: &str = "holdup.cpu_ns";
/// Time of the poll that its thread was ready and had no CPU. Integer, nanoseconds.
pub const RUNQUEUE_NS: &str = "holdup.runqueue_ns";
/// The threshold in force when the poll was recorded. Integer, nanoseconds.
pub const THRESHOLD_NS: &str = "holdup.threshold_ns";
/// Why the poll took long: one of [`CAUSES`]. String.
pub const CAUSE: &str = "holdup.cause";
/// The function to blame: the first frame outside std, libc, the allocator and the runtime. String.
pub const BLAME_FUNCTION: &str = "holdup.blame.function";
/// The crate that [`BLAME_FUNCTION`] is in. String.
pub const BLAME_CRATE: &str = "holdup.blame.crate";
/// Fingerprint of the normalised frames. String, 16 hex digits.
pub const STACK_ID: &str = "holdup.stack.id";
/// Tasks that were ready and had to wait. Integer.
pub const VICTIMS: &str = "holdup.victims";
/// Id of the task. Integer.
pub const TASK_ID: &str = "holdup.task.id";
/// Name of the task. String.
pub const TASK_NAME: &str = "holdup.task.name";
/// Where the task was spawned. String, `file:line:column`.
pub const TASK_SPAWNED_AT: &str = "holdup.task.spawned_at";
/// Name of the runtime. String.
pub const RUNTIME: &str = "holdup.runtime";
/// Index of the runtime's worker. Integer.
pub const WORKER: &str = "holdup.worker";
/// True while the poll has not returned: the same span id comes again, longer, and last without it.
/// Boolean.
pub const STALL: &str = "holdup.stall";
/// Records that the sender dropped since it last said so; on the first span of each export.
/// Integer, 0 means complete.
pub const DROPPED: &str = "holdup.poll.dropped";

/// Self time of all polls of a function, fast ones too. Exponential histogram, seconds, delta, with
/// [`FUNCTION`].
pub const POLL_DURATION: &str = "holdup.poll.duration";
/// Slow polls that became records since the last time. Sum, delta.
pub const CAPTURED: &str = "holdup.poll.captured";
/// Slow polls that the budget of reports left out. Sum, delta.
pub const SUPPRESSED: &str = "holdup.poll.suppressed";
/// What the names of the counts of findings begin with; the name of the kind follows, such as
/// `holdup.finding.starvation`. Sums, delta.
pub const FINDING_PREFIX: &str = "holdup.finding.";
/// Findings that handlers were not called for, because they had not returned from others. Sum, delta.
pub const HANDLER_LOST: &str = "holdup.handler.lost";
/// Panics of handlers. Sum, delta.
pub const HANDLER_PANICS: &str = "holdup.handler.panics";
/// Stacks that were taken and not kept, because those of other polls had the room for them. Sum, delta.
pub const STACK_LOST: &str = "holdup.stack.lost";
/// Slow polls that were allowed to be. Sum, delta.
pub const ALLOWED: &str = "holdup.poll.allowed";
/// How long isolated work waited for a thread. Exponential histogram, seconds, delta, with
/// [`FUNCTION`].
pub const ISOLATE_QUEUE: &str = "holdup.isolate.queue";
/// How long isolated work ran. Exponential histogram, seconds, delta, with [`FUNCTION`].
pub const ISOLATE_RUN: &str = "holdup.isolate.run";
/// Workers of a runtime. Gauge, with [`RUNTIME`] like all that follow.
pub const RUNTIME_WORKERS: &str = "holdup.runtime.workers";
/// Time that the workers were not parked. Sum, delta, seconds.
pub const RUNTIME_BUSY: &str = "holdup.runtime.busy";
/// Tasks that have not ended. Gauge.
pub const RUNTIME_TASKS: &str = "holdup.runtime.tasks";
/// Tasks that wait in the queue that all workers share. Gauge.
pub const RUNTIME_QUEUE: &str = "holdup.runtime.queue";
/// Times that a worker parked. Sum, delta.
pub const RUNTIME_PARKS: &str = "holdup.runtime.parks";
/// The longest that a task which was ready waited for its poll. Gauge, seconds.
pub const RUNTIME_LAG: &str = "holdup.runtime.lag";
/// Share of the workers' busy time that was inside of watched polls. Gauge, 0 to 1.
pub const RUNTIME_COVERAGE: &str = "holdup.runtime.coverage";

/// Slow polls that took long only because the OS gave their thread no CPU, and of which no span was
/// sent; since the sender last said so. Integer.
pub const DESCHEDULED: &str = "holdup.poll.descheduled";
/// Time of the poll that the container's CPU quota took from it, ready as it was. Integer,
/// nanoseconds.
pub const THROTTLED_NS: &str = "holdup.throttled_ns";
/// True when every worker of the runtime was held by a slow poll at once. Boolean.
pub const RUNTIME_STALLED: &str = "holdup.runtime.stalled";

/// Id of the thread that held the lock which the poll waited for, when the poll was looked at.
/// Integer.
pub const HOLDER_THREAD_ID: &str = "holdup.lock.holder.thread.id";
/// Name of that thread. String.
pub const HOLDER_THREAD_NAME: &str = "holdup.lock.holder.thread.name";
/// The function to blame of that thread's stack at that instant. String.
pub const HOLDER_FUNCTION: &str = "holdup.lock.holder.function";
/// How the holder is known: `owner`, the lock names it; `address`, the lock's address is on its stack,
/// and on that of no other thread that doesn't wait for it. String.
pub const HOLDER_EVIDENCE: &str = "holdup.lock.holder.evidence";

/// Whether the I/O and timers of the runtime waited as well, because no other worker waited for them.
/// Boolean.
pub const DRIVER_IDLE: &str = "holdup.runtime.driver_idle";

/// True for a worker that was held though no watched poll was in sight: at least one of a few polls
/// took long. Boolean.
pub const SAMPLED: &str = "holdup.sampled";

/// Event name of a log record that tells of one live task.
pub const TASK_EVENT: &str = "holdup.task";
/// What the task is doing: `running`, `ready` or `idle`. String.
pub const TASK_STATE: &str = "holdup.task.state";
/// For how long. Integer, nanoseconds.
pub const TASK_SINCE_NS: &str = "holdup.task.since_ns";
/// Time since the task was made. Integer, nanoseconds.
pub const TASK_AGE_NS: &str = "holdup.task.age_ns";
/// Polls of the task that have ended. Integer.
pub const TASK_POLLS: &str = "holdup.task.polls";
/// Time of those. Integer, nanoseconds.
pub const TASK_BUSY_NS: &str = "holdup.task.busy_ns";
/// How long ago the task was last woken. Integer, nanoseconds.
pub const TASK_WOKEN_NS: &str = "holdup.task.woken_ns";
/// For how long a task may be idle before the service says that it is stuck; absent where it says
/// nothing. Integer, nanoseconds.
pub const TASK_STUCK_AFTER_NS: &str = "holdup.task.stuck_after_ns";
/// The same for all tasks of one dump. String, 16 hex digits.
pub const DUMP_ID: &str = "holdup.dump.id";
/// Why the dump was made: `periodic`, `stall`, `stuck` or `signal`. String.
pub const DUMP_REASON: &str = "holdup.dump.reason";
/// Live tasks that the dump doesn't list, as far as that is known. Integer.
pub const DUMP_UNKNOWN: &str = "holdup.dump.unknown";

/// Busy time of a span made by `tracing-opentelemetry`, a sum over all its polls. Integer,
/// nanoseconds.
pub const BUSY_NS: &str = "busy_ns";
/// Idle time of a span made by `tracing-opentelemetry`. Integer, nanoseconds.
pub const IDLE_NS: &str = "idle_ns";

/// The values of [`CAUSE`].
pub const CAUSES: [&str; 8] =
    ["unknown", "cpu", "sleep", "lock", "disk", "net", "page_fault", "runqueue"];
