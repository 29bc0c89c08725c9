//! What the attributes of poll spans are for.

use holdup::contract;

/// What an attribute of a poll span is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Function,
    File,
    BlameFunction,
    BlameCrate,
    ThreadName,
    Runtime,
    TaskName,
    TaskSpawnedAt,
    HolderThreadName,
    HolderFunction,
    HolderEvidence,
    ScopeVersion,
    Line,
    ThreadId,
    SelfNs,
    CpuNs,
    RunqueueNs,
    ThresholdNs,
    Victims,
    TaskId,
    Worker,
    ThrottledNs,
    HolderThreadId,
    Dropped,
    Stall,
    RuntimeStalled,
    DriverIdle,
    Sampled,
    Cause,
    StackId,
    Stacktrace,
    Other,
}

/// Fields that are texts come first.
pub(super) const FIELDS: usize = Field::ScopeVersion as usize + 1;

/// What an attribute of this key is for.
pub(super) fn field_of(key: &str) -> Field {
    match key {
        contract::FUNCTION => Field::Function,
        contract::FILE => Field::File,
        contract::LINE => Field::Line,
        contract::STACKTRACE => Field::Stacktrace,
        contract::THREAD_ID => Field::ThreadId,
        contract::THREAD_NAME => Field::ThreadName,
        contract::SELF_NS => Field::SelfNs,
        contract::CPU_NS => Field::CpuNs,
        contract::RUNQUEUE_NS => Field::RunqueueNs,
        contract::THRESHOLD_NS => Field::ThresholdNs,
        contract::CAUSE => Field::Cause,
        contract::BLAME_FUNCTION => Field::BlameFunction,
        contract::BLAME_CRATE => Field::BlameCrate,
        contract::STACK_ID => Field::StackId,
        contract::VICTIMS => Field::Victims,
        contract::TASK_ID => Field::TaskId,
        contract::TASK_NAME => Field::TaskName,
        contract::TASK_SPAWNED_AT => Field::TaskSpawnedAt,
        contract::RUNTIME => Field::Runtime,
        contract::WORKER => Field::Worker,
        contract::STALL => Field::Stall,
        contract::THROTTLED_NS => Field::ThrottledNs,
        contract::RUNTIME_STALLED => Field::RuntimeStalled,
        contract::DRIVER_IDLE => Field::DriverIdle,
        contract::SAMPLED => Field::Sampled,
        contract::HOLDER_THREAD_ID => Field::HolderThreadId,
        contract::HOLDER_THREAD_NAME => Field::HolderThreadName,
        contract::HOLDER_FUNCTION => Field::HolderFunction,
        contract::HOLDER_EVIDENCE => Field::HolderEvidence,
        contract::DROPPED => Field::Dropped,
        _ => Field::Other,
    }
}
