//! What a thread is for, what it does at the moment, and whom to blame, as its stack tells.

use holdup::symbols::{Root, can_be_blamed, root};
use serde::Serialize;

use crate::naming::Frame;

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Polls the tasks of a runtime of several threads.
    Worker,
    /// Polls the tasks of a runtime of one thread.
    CurrentThread,
    /// Waits in `block_on` for one future, and polls that alone.
    BlockOn,
    /// Of the pool for blocking calls.
    BlockingPool,
    /// Not of a runtime.
    Other,
    /// Its frames have no names.
    Unknown,
}

/// What a thread does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activity {
    /// Is inside of a poll: until it returns, nothing else is polled on this thread.
    Poll,
    /// Waits for something to poll, as it should.
    Parked,
    /// Is between polls: takes a task, wakes another thread, hands out events.
    Scheduling,
    /// Executes a closure that was handed to the blocking pool, or one of `block_in_place`.
    Blocking,
    /// Waits for a closure, as it should.
    Idle,
    /// Executes something else.
    Other,
}

impl Role {
    /// For people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::CurrentThread => "current-thread runtime",
            Self::BlockOn => "block_on",
            Self::BlockingPool => "blocking pool",
            Self::Other => "other",
            Self::Unknown => "not known",
        }
    }
}

impl Activity {
    /// For people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Poll => "inside a poll",
            Self::Parked => "parked",
            Self::Scheduling => "between polls",
            Self::Blocking => "blocking pool",
            Self::Idle => "idle in the pool",
            Self::Other => "other threads",
        }
    }
}

/// What a stack tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) role: Role,
    pub(crate) activity: Activity,
    /// Which frame is to blame for a poll that doesn't return.
    pub(crate) blame: Option<usize>,
    /// How many frames, from the leaf, are the thread's own: those of a poll, or of what it executes.
    pub(crate) inner: usize,
}

/// The loops in which a runtime's threads spend their lives. Beginnings of paths.
const WORKER: [&str; 3] = [
    "tokio::runtime::scheduler::multi_thread::worker::run",
    "tokio::runtime::scheduler::multi_thread::worker::Context::run",
    "tokio::runtime::scheduler::multi_thread_alt::worker::run",
];
const CURRENT_THREAD: &str = "tokio::runtime::scheduler::current_thread::";
const BLOCK_ON: [&str; 3] = [
    "tokio::runtime::park::CachedParkThread::block_on",
    "tokio::runtime::context::blocking::BlockingRegionGuard::block_on",
    "tokio::runtime::context::runtime::enter_runtime",
];
const POOL: &str = "tokio::runtime::blocking::pool::Inner::run";
const POOL_TASK: [&str; 3] = [
    "tokio::runtime::blocking::task::BlockingTask",
    "tokio::runtime::blocking::pool::Task::run",
    "tokio::runtime::blocking::pool::Mandatory",
];
const BLOCK_IN_PLACE: [&str; 2] = [
    "tokio::runtime::scheduler::multi_thread::worker::block_in_place",
    "tokio::task::blocking::block_in_place",
];
/// Where a runtime's thread waits for something to do. `park::Inner` and what is below it wait for
/// the future of a `block_on`, and for nothing else.
const PARKED: [&str; 8] = [
    "tokio::runtime::driver::",
    "tokio::runtime::io::driver::",
    "tokio::runtime::time::Driver::",
    "tokio::runtime::park::Inner::park",
    "tokio::runtime::park::CachedParkThread::park",
    "tokio::runtime::scheduler::multi_thread::park::",
    "tokio::runtime::scheduler::multi_thread::worker::Context::park",
    "tokio::runtime::scheduler::current_thread::Context::park",
];

fn is(frame: &Frame, paths: &[&str]) -> bool {
    let function = frame.function.trim_start_matches('<');
    paths.iter().any(|path| function.starts_with(path))
}

fn position(frames: &[Frame], paths: &[&str]) -> Option<usize> {
    frames.iter().position(|frame| is(frame, paths))
}

impl Reading {
    /// Reads a stack, leaf first.
    pub(crate) fn of(frames: &[Frame]) -> Self {
        let reading = |role, activity, inner| Self { role, activity, blame: None, inner };
        let all = frames.len();
        // Of a thread that waits for work, the call says it all.
        let leaf = all.min(1);
        let task = frames.iter().position(|frame| root(&frame.function) == Some(Root::Task));
        let parked = position(frames, &PARKED);
        let pool_task = position(frames, &POOL_TASK);
        let pool = position(frames, &[POOL]);
        let worker = position(frames, &WORKER);
        // The threads of a runtime are started as closures of the blocking pool.
        if worker.is_none() && pool.is_some() {
            // Whatever it blocks in: that is what the pool is for.
            let closure = [pool_task, task].into_iter().flatten().min();
            return match closure {
                Some(inner) => reading(Role::BlockingPool, Activity::Blocking, inner),
                None => reading(Role::BlockingPool, Activity::Idle, leaf),
            };
        }
        let current = position(frames, &[CURRENT_THREAD]);
        let block_on = position(frames, &BLOCK_ON);
        let (role, outer) = match (worker, current, block_on) {
            (Some(worker), ..) => (Role::Worker, worker),
            (None, Some(current), _) => (Role::CurrentThread, current),
            (None, None, Some(block_on)) => (Role::BlockOn, block_on),
            (None, None, None) if frames.iter().any(|frame| !frame.crate_name.is_empty()) => {
                // Further out is what starts a thread.
                let begins = |frame: &Frame| root(&frame.function) == Some(Root::Outer);
                let inner = frames.iter().position(begins).unwrap_or(all);
                return reading(Role::Other, Activity::Other, inner);
            }
            (None, None, None) => return reading(Role::Unknown, Activity::Other, all),
        };
        if let Some(in_place) = position(frames, &BLOCK_IN_PLACE)
            && task.is_none_or(|task| in_place < task)
        {
            return reading(role, Activity::Blocking, in_place);
        }
        // A poll that calls `block_on` waits in the same functions as a runtime's own thread.
        if let Some(task) = task.filter(|&task| task < outer) {
            return Self::of_poll(role, frames, task);
        }
        // The future of `block_on` is polled by the loop itself.
        let inside = &frames[..outer];
        if parked.is_some_and(|parked| parked <= outer) {
            return reading(role, Activity::Parked, leaf);
        }
        if role != Role::Worker && inside.iter().any(|frame| can_be_blamed(&frame.crate_name)) {
            return Self::of_poll(role, frames, outer);
        }
        reading(role, Activity::Scheduling, outer)
    }

    fn of_poll(role: Role, frames: &[Frame], outer: usize) -> Self {
        let blame = frames[..outer].iter().position(|frame| can_be_blamed(&frame.crate_name));
        Self { role, activity: Activity::Poll, blame, inner: outer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(functions: &[&str]) -> Vec<Frame> {
        let frame = |function: &&str| {
            let crate_name = function.trim_start_matches('<').split("::").next();
            let crate_name = crate_name.filter(|_| function.contains("::")).unwrap_or_default();
            let (function, crate_name) = ((*function).to_owned(), crate_name.to_owned());
            Frame { function, crate_name, ..Frame::default() }
        };
        functions.iter().map(frame).collect()
    }

    fn read(functions: &[&str]) -> (Role, Activity, Option<usize>) {
        let Reading { role, activity, blame, .. } = Reading::of(&stack(functions));
        (role, activity, blame)
    }

    const POLL: &str = "tokio::runtime::task::harness::poll_future";
    const RUN: &str = "tokio::runtime::scheduler::multi_thread::worker::run";

    #[test]
    fn a_worker_is_inside_a_poll_parked_or_between_polls() {
        let poll = ["nanosleep", "std::thread::sleep", "shop::pay", POLL, RUN, POOL];
        assert_eq!(read(&poll), (Role::Worker, Activity::Poll, Some(2)));
        let parked = [
            "epoll_wait",
            "<mio::poll::Poll>::poll",
            "<tokio::runtime::io::driver::Driver>::turn",
            "tokio::runtime::driver::Driver::park",
            RUN,
            POOL,
        ];
        assert_eq!(read(&parked), (Role::Worker, Activity::Parked, None));
        let between = ["memcpy", "tokio::runtime::task::list::take", RUN, POOL];
        assert_eq!(read(&between), (Role::Worker, Activity::Scheduling, None));
        let nobody = ["memcpy", "tokio::sync::mpsc::recv", POLL, RUN];
        assert_eq!(read(&nobody), (Role::Worker, Activity::Poll, None));
    }

    #[test]
    fn block_on_inside_a_poll_is_a_poll_that_blocks() {
        let bridge = [
            "syscall",
            "tokio::runtime::park::Inner::park",
            "tokio::runtime::park::CachedParkThread::block_on",
            "shop::bridge",
            POLL,
            RUN,
        ];
        assert_eq!(read(&bridge), (Role::Worker, Activity::Poll, Some(3)));
    }

    #[test]
    fn the_blocking_pool_may_block() {
        let busy = [
            "nanosleep",
            "shop::hash",
            "<tokio::runtime::blocking::task::BlockingTask<T> as core::future::Future>::poll",
            POLL,
            POOL,
        ];
        assert_eq!(read(&busy), (Role::BlockingPool, Activity::Blocking, None));
        assert_eq!(read(&["syscall", POOL]), (Role::BlockingPool, Activity::Idle, None));
        let in_place = ["nanosleep", "shop::hash", BLOCK_IN_PLACE[1], "shop::pay", POLL, RUN];
        assert_eq!(read(&in_place), (Role::Worker, Activity::Blocking, None));
    }

    #[test]
    fn block_on_polls_its_own_future() {
        let current = "tokio::runtime::scheduler::current_thread::CoreGuard::block_on";
        let root =
            ["nanosleep", "shop::main", current, "tokio::runtime::runtime::Runtime::block_on"];
        assert_eq!(read(&root), (Role::CurrentThread, Activity::Poll, Some(1)));
        let parked = ["epoll_wait", "tokio::runtime::driver::Driver::park", current, "shop::main"];
        assert_eq!(read(&parked), (Role::CurrentThread, Activity::Parked, None));
        let task = ["nanosleep", "shop::task", POLL, current, "shop::main"];
        assert_eq!(read(&task), (Role::CurrentThread, Activity::Poll, Some(1)));
        let waits = ["syscall", "tokio::runtime::park::Inner::park", BLOCK_ON[0], "shop::main"];
        assert_eq!(read(&waits), (Role::BlockOn, Activity::Parked, None));
    }

    #[test]
    fn other_threads_and_those_without_names_are_told_apart() {
        assert_eq!(read(&["nanosleep", "shop::cron"]), (Role::Other, Activity::Other, None));
        assert_eq!(read(&["nanosleep", ""]), (Role::Unknown, Activity::Other, None));
    }
}
