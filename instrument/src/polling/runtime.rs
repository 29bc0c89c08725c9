//! What tokio tells about where this code runs. Asked only when something was slow.

use std::task::{Context, Poll, Waker};

use tokio::task::{Id, coop};

/// Greater than the budget that tokio gives to a poll (128).
const PROBES_MAX: usize = 256;

/// The task that this thread polls; none in the root future of `block_on`.
pub(crate) fn task() -> Option<Id> {
    tokio::task::try_id()
}

/// Index of the runtime's worker that this thread is; none for the root future of a multi-threaded
/// runtime's `block_on`.
pub(crate) fn worker() -> Option<u32> {
    tokio::runtime::worker_index().and_then(|index| u32::try_from(index).ok())
}

/// Whether this thread is polling for a tokio runtime, and not running a `spawn_blocking` closure
/// or something that has nothing to do with tokio.
pub(crate) fn in_poll() -> bool {
    worker().is_some() || has_limited_budget()
}

/// Only polls made by a runtime have a limited budget of cooperative steps. tokio has no function
/// that tells, so: spend it all without progress, look, and give it back in reverse.
fn has_limited_budget() -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let mut spent = [const { None }; PROBES_MAX];
    let mut count = 0;
    while count < PROBES_MAX && coop::has_budget_remaining() {
        let Poll::Ready(step) = coop::poll_proceed(&mut context) else { break };
        spent[count] = Some(step);
        count += 1;
    }
    let limited = !coop::has_budget_remaining();
    for step in spent[..count].iter_mut().rev() {
        drop(step.take());
    }
    limited
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::Builder;

    #[test]
    fn a_poll_of_each_kind_of_runtime_is_one() {
        assert!(!in_poll());
        let current = Builder::new_current_thread().build().unwrap();
        assert!(current.block_on(async { in_poll() }));
        assert!(current.block_on(async { tokio::spawn(async { in_poll() }).await.unwrap() }));
        let local = tokio::task::LocalSet::new();
        let in_local = local.block_on(&current, async {
            tokio::task::spawn_local(async { in_poll() }).await.unwrap()
        });
        assert!(in_local);
        let multi = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        assert!(multi.block_on(async { tokio::spawn(async { in_poll() }).await.unwrap() }));
    }

    #[test]
    fn a_blocking_closure_is_none() {
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = builder.build().unwrap();
            let inside =
                runtime.block_on(async { tokio::task::spawn_blocking(in_poll).await.unwrap() });
            assert!(!inside);
        }
    }

    #[test]
    fn asking_leaves_the_budget_as_it_was() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut context = Context::from_waker(Waker::noop());
            for _ in 0..100 {
                let Poll::Ready(step) = coop::poll_proceed(&mut context) else { panic!("spent") };
                step.made_progress();
            }
            assert!(has_limited_budget());
            let mut left = 0;
            while let Poll::Ready(step) = coop::poll_proceed(&mut context) {
                step.made_progress();
                left += 1;
            }
            assert!((1..=28).contains(&left), "{left} steps are left");
        });
    }
}
