//! The plain data that travels from the receiver to the fold and the store.

/// One poll span, checked and with every field in its place. What it measured is in whole
/// microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PollSpan {
    /// Start of the poll, ns since 1970.
    pub(crate) start_ns: u64,
    /// Duration of the poll, ns.
    pub(crate) duration_ns: u64,
    /// Duration less that of instrumented polls nested in it, ns.
    pub(crate) self_ns: u64,
    /// Time on a CPU, ns; 0 when not measured.
    pub(crate) cpu_ns: u64,
    /// Time ready without a CPU, ns; 0 when not measured.
    pub(crate) runqueue_ns: u64,
    /// Threshold in force, ns.
    pub(crate) threshold_ns: u64,
    /// What sent it.
    pub(crate) origin: Origin,
    /// Version of the crate that sent it.
    pub(crate) scope_version: String,
    /// The instrumented function.
    pub(crate) function: String,
    /// Source file of the function.
    pub(crate) file: String,
    /// Source line of the function.
    pub(crate) line: u32,
    /// One of [`holdup::contract::CAUSES`].
    pub(crate) cause: &'static str,
    /// The function to blame; empty when not known.
    pub(crate) blame_function: String,
    /// The crate to blame; empty when not known.
    pub(crate) blame_crate: String,
    /// Fingerprint of the stack; 0 when there is none.
    pub(crate) stack_id: u64,
    /// Tasks that had to wait.
    pub(crate) victims: u32,
    /// Time that the container's quota took, ns.
    pub(crate) throttled_ns: u64,
    /// Every worker of the runtime was held at once.
    pub(crate) runtime_stalled: bool,
    /// The runtime's I/O and timers waited as well.
    pub(crate) driver_idle: bool,
    /// Nobody watched the poll: a worker was seen to be held.
    pub(crate) sampled: bool,
    /// Id of the thread that held the lock; 0 when not known.
    pub(crate) holder_thread_id: u64,
    /// Name of that thread.
    pub(crate) holder_thread_name: String,
    /// The function to blame of that thread's stack.
    pub(crate) holder_function: String,
    /// How the holder is known; empty when it isn't.
    pub(crate) holder_evidence: String,
    /// Id of the OS thread.
    pub(crate) thread_id: u64,
    /// Name of the OS thread.
    pub(crate) thread_name: String,
    /// Name of the runtime.
    pub(crate) runtime: String,
    /// Index of the runtime's worker, -1 when not on one.
    pub(crate) worker: i32,
    /// Id of the task; 0 when not in one.
    pub(crate) task_id: u64,
    /// Name of the task.
    pub(crate) task_name: String,
    /// Where the task was spawned.
    pub(crate) task_spawned_at: String,
    /// The poll has not returned yet.
    pub(crate) stall: bool,
    /// Id of the trace.
    pub(crate) trace_id: [u8; 16],
    /// Id of the span: the same for a stall and for the poll that ends it.
    pub(crate) span_id: [u8; 8],
    /// Id of the parent span; zero when it is a root.
    pub(crate) parent_span_id: [u8; 8],
}

/// The service instance that sent a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// `service.name`.
    pub(crate) service: String,
    /// `deployment.environment.name`.
    pub(crate) environment: String,
    /// `service.version`.
    pub(crate) version: String,
    /// `service.instance.id`, or the host's name and process id where there is none.
    pub(crate) instance: String,
}

/// A span of `tracing-opentelemetry` whose busy time is large.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Suspect {
    /// Start of the span, ns since 1970.
    pub(crate) start_ns: u64,
    /// Duration of the span, ns.
    pub(crate) duration_ns: u64,
    /// Sum over its polls, ns.
    pub(crate) busy_ns: u64,
    /// Time between its polls, ns.
    pub(crate) idle_ns: u64,
    /// What sent it.
    pub(crate) origin: Origin,
    /// The function, or the span's name where the function is not told.
    pub(crate) function: String,
    /// Id of the trace.
    pub(crate) trace_id: [u8; 16],
    /// Id of the span.
    pub(crate) span_id: [u8; 8],
}

/// A stack under its fingerprint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stack {
    /// Fingerprint.
    pub(crate) id: u64,
    /// Frames, leaf first.
    pub(crate) frames: Vec<String>,
}
