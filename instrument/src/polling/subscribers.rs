//! The subscribers that have the layer, for those who look up spans from other threads.

use std::sync::{Mutex, PoisonError};

use tracing::Dispatch;
use tracing::dispatcher::WeakDispatch;

static ALL: Mutex<Vec<WeakDispatch>> = Mutex::new(Vec::new());

/// A subscriber has got the layer.
pub(crate) fn add(dispatch: &Dispatch) {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|known| known.upgrade().is_some());
    all.push(dispatch.downgrade());
}

/// Those that still exist.
pub(crate) fn live() -> Vec<Dispatch> {
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().filter_map(WeakDispatch::upgrade).collect()
}
