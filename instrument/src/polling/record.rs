//! What a slow poll leaves behind, and the bounded queue that takes it to the exporter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_queue::ArrayQueue;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId};
use tokio::task::Id;

use crate::polling::site::Site;
use crate::polling::slot::Slot;
use crate::polling::thread::Owner;
use crate::polling::usage::{Accounts, Usage};
use crate::polling::{debug, runtime};

/// Records that wait for the exporter.
pub(crate) const QUEUE_RECORDS_MAX: usize = 1024;

static QUEUE: OnceLock<ArrayQueue<Record>> = OnceLock::new();
/// Not told of yet.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Since the process began.
static CAPTURED_IN_ALL: AtomicU64 = AtomicU64::new(0);
static DROPPED_IN_ALL: AtomicU64 = AtomicU64::new(0);

/// One slow poll. Times are in ticks of [`clock`](crate::polling::clock).
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) place: Place,
    pub(crate) start: u64,
    pub(crate) duration: u64,
    /// Duration less that of the instrumented polls nested in it.
    pub(crate) own: u64,
    pub(crate) threshold_ns: u64,
    pub(crate) parent: Option<Parent>,
    pub(crate) task: Option<Id>,
    pub(crate) worker: Option<u32>,
    /// The thread. It may have ended when the record is read.
    pub(crate) owner: Arc<Owner>,
    /// Which slot the thread has, [`Slot::id`].
    pub(crate) slot: usize,
    /// In debug mode: whether it has used up what tokio lets one poll do.
    pub(crate) has_spent_budget: bool,
    /// Totals of the thread at the end of the poll. Also of one that the watchdog has not looked at:
    /// it may have had no CPU itself.
    pub(crate) usage: Option<Usage>,
}

/// What the poll is charged to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Site(&'static Site),
    /// A span of `tracing`.
    #[cfg_attr(not(feature = "layer"), allow(dead_code))]
    Span(&'static tracing::Metadata<'static>),
}

impl Place {
    /// The full name of the function.
    pub(crate) fn function(&self) -> String {
        match self {
            Self::Site(site) => site.function().into_owned(),
            Self::Span(span) => {
                format!("{}::{}", span.module_path().unwrap_or_else(|| span.target()), span.name())
            }
        }
    }

    /// File and line; empty and 0 when they aren't known.
    pub(crate) fn source(&self) -> (String, u32) {
        match self {
            Self::Site(site) => (site.file().to_owned(), site.line()),
            Self::Span(span) => {
                (span.file().unwrap_or_default().to_owned(), span.line().unwrap_or(0))
            }
        }
    }
}

/// The OpenTelemetry span that was current in the poll.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parent {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) flags: TraceFlags,
    pub(crate) is_remote: bool,
}

/// How long a poll took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) start: u64,
    pub(crate) duration: u64,
    pub(crate) own: u64,
}

impl Record {
    /// Gathers what is known on this thread. None on the exporter's threads and under a context in
    /// which telemetry is suppressed.
    pub(super) fn gather(
        slot: &Slot,
        place: Place,
        timing: Timing,
        threshold_ns: u64,
        parent: Option<Parent>,
    ) -> Option<Self> {
        let Some(owner) = slot.own() else {
            // Somebody reads it at this instant; to wait for that is not an option here.
            count_dropped(1);
            return None;
        };
        let context = current_context();
        if owner.thread.exports() || context.suppressed {
            return None;
        }
        Some(Self {
            place,
            start: timing.start,
            duration: timing.duration,
            own: timing.own,
            threshold_ns,
            parent: parent.or(context.parent),
            task: runtime::task(),
            worker: runtime::worker(),
            slot: slot.id(),
            has_spent_budget: debug::has_spent_budget(),
            usage: owner.accounts.as_ref().and_then(Accounts::read_own),
            owner,
        })
    }
}

impl Parent {
    /// That of this thread. None under a context in which telemetry is suppressed.
    pub(super) fn current() -> Option<Self> {
        let context = current_context();
        context.parent.filter(|_| !context.suppressed)
    }

    pub(crate) fn of(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self {
            trace: context.trace_id(),
            span: context.span_id(),
            flags: context.trace_flags(),
            is_remote: context.is_remote(),
        })
    }
}

#[derive(Default)]
struct Current {
    parent: Option<Parent>,
    suppressed: bool,
}

fn current_context() -> Current {
    // It panics while the context is being attached and when the thread ends. A poll may be slow at
    // both times, and its thread must not pay for that.
    catch_unwind(AssertUnwindSafe(|| {
        Context::map_current(|context| Current {
            parent: Parent::of(context.span().span_context()),
            suppressed: context.is_telemetry_suppressed(),
        })
    }))
    .unwrap_or_default()
}

/// Makes the queue. Before that every record is dropped.
pub(crate) fn prepare() {
    QUEUE.get_or_init(|| ArrayQueue::new(QUEUE_RECORDS_MAX));
}

/// Hands a record to the exporter, or counts it as dropped.
pub(crate) fn push(record: Record) {
    let taken = QUEUE.get().is_some_and(|queue| queue.push(record).is_ok());
    if taken {
        CAPTURED_IN_ALL.fetch_add(1, Ordering::Relaxed);
    } else {
        count_dropped(1);
    }
}

/// The oldest record that waits.
pub(crate) fn pop() -> Option<Record> {
    QUEUE.get()?.pop()
}

pub(crate) fn count_dropped(records: u64) {
    DROPPED.fetch_add(records, Ordering::Relaxed);
    DROPPED_IN_ALL.fetch_add(records, Ordering::Relaxed);
}

/// Tells of them with a later request: the one that told of them was not taken.
pub(crate) fn untake_dropped(records: u64) {
    DROPPED.fetch_add(records, Ordering::Relaxed);
}

/// Records that the queue took, since the process began.
pub(crate) fn captured() -> u64 {
    CAPTURED_IN_ALL.load(Ordering::Relaxed)
}

/// Records dropped since the process began.
pub(crate) fn dropped() -> u64 {
    DROPPED_IN_ALL.load(Ordering::Relaxed)
}

/// Records dropped since the last call.
pub(crate) fn take_dropped() -> u64 {
    DROPPED.swap(0, Ordering::Relaxed)
}
