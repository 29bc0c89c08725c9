//! Spans of `tracing` that have not been left: their names, and whether they are polls.
//!
//! A span that is entered may be that of a poll or of a function that is not async; only what
//! follows tells. But what a function is does not change: once a span of it was a poll, all are.

use std::collections::HashSet;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use tracing::Metadata;

use crate::polling::record::Place;
use crate::polling::slot::Snapshot;
use crate::polling::spans as polled_spans;

/// Functions that are remembered.
const FUNCTIONS_MAX: usize = 4096;

/// Addresses of the metadata of functions whose spans are polls.
static ASYNC: Mutex<Option<HashSet<usize>>> = Mutex::new(None);

/// A span of this function was a poll.
pub(crate) fn is_async(function: &'static Metadata<'static>) {
    let mut all = ASYNC.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_default();
    if all.len() < FUNCTIONS_MAX {
        all.insert(ptr::from_ref(function).addr());
    }
}

/// Whether a span with this id is a poll, as far as is known.
pub(super) fn is_poll(id: u64) -> bool {
    let Some(function) = metadata(id) else { return false };
    let all = ASYNC.lock().unwrap_or_else(PoisonError::into_inner);
    all.as_ref().is_some_and(|all| all.contains(&ptr::from_ref(function).addr()))
}

/// What a poll that goes on is of; none where its span isn't known any more.
pub(crate) fn place(snapshot: &Snapshot) -> Option<Place> {
    if polled_spans::is_span(snapshot.site) {
        metadata(snapshot.span).map(Place::Span)
    } else {
        Some(Place::Site(snapshot.site))
    }
}

/// What a span is about, if some subscriber with the layer still has it.
#[cfg(feature = "layer")]
pub(super) fn metadata(id: u64) -> Option<&'static Metadata<'static>> {
    use tracing_subscriber::Registry;
    use tracing_subscriber::registry::{LookupSpan, SpanData};

    let id = tracing::span::Id::from_u64(id);
    let mut found = crate::polling::subscribers::live().into_iter().filter_map(|subscriber| {
        let registry = subscriber.downcast_ref::<Registry>()?;
        Some(registry.span_data(&id)?.metadata())
    });
    let metadata = found.next()?;
    // Each subscriber has numbers of its own.
    found.next().is_none().then_some(metadata)
}

#[cfg(not(feature = "layer"))]
pub(super) fn metadata(_: u64) -> Option<&'static Metadata<'static>> {
    None
}
