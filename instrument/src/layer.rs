//! The layer for `tracing-subscriber`.

use std::sync::OnceLock;

use tracing::dispatcher::WeakDispatch;
use tracing::span::Id;
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::polling::record::Parent;
use crate::polling::{spans, subscribers};

/// Times every entry of a span and reports the slow ones that were polls: made by [`layer()`].
#[derive(Debug, Default)]
pub struct HoldupLayer {
    #[cfg_attr(not(feature = "tracing-opentelemetry"), allow(dead_code))]
    dispatch: OnceLock<WeakDispatch>,
}

/// A layer that covers each `#[tracing::instrument]` async function, and each future with
/// `.instrument(span)`, with no other change.
///
/// The function is named `module::path::span_name`. A span of a function that is *not* async is
/// never reported by itself: its time belongs to the poll around it. Spans that a filter disables
/// are not seen. The order of the layers does not matter.
///
/// # Examples
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// #[tracing::instrument]
/// async fn checkout(id: u64) -> u64 {
///     id
/// }
///
/// tracing_subscriber::registry().with(holdup::layer()).init();
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(checkout(7));
/// ```
pub fn layer() -> HoldupLayer {
    HoldupLayer::default()
}

impl<S> Layer<S> for HoldupLayer
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // A second subscriber around the same layer is not possible: the layer is not `Clone`.
        let _ = self.dispatch.set(dispatch.downgrade());
        subscribers::add(dispatch);
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        spans::enter(id.into_u64());
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if let Some(slow) = spans::exit(id.into_u64())
            && let Some(metadata) = context.metadata(id)
        {
            slow.hold(metadata, self.parent(id));
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        spans::close(id.into_u64());
    }
}

impl HoldupLayer {
    /// The OpenTelemetry span of a span of `tracing`. The current context is no substitute: a layer
    /// of `tracing-opentelemetry` further inside has detached it when this one sees the exit.
    #[cfg(feature = "tracing-opentelemetry")]
    fn parent(&self, id: &Id) -> Option<Parent> {
        use opentelemetry::trace::TraceContextExt;

        let dispatch = self.dispatch.get()?.upgrade()?;
        let context = tracing_opentelemetry::get_otel_context(id, &dispatch)?;
        Parent::of(context.span().span_context())
    }

    #[cfg(not(feature = "tracing-opentelemetry"))]
    #[allow(clippy::unused_self)]
    fn parent(&self, _: &Id) -> Option<Parent> {
        None
    }
}
