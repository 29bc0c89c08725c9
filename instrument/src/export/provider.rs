//! A tracer provider that the service hands in.

use opentelemetry::Context;
use opentelemetry::trace::{Span, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::contract;
use crate::export::backlog::KeptSpan;
use crate::export::poll_span::{self, Relation};

pub(super) struct Provider {
    provider: SdkTracerProvider,
    polls: SdkTracer,
    awaits: SdkTracer,
}

impl Provider {
    pub(super) fn open(provider: SdkTracerProvider) -> Self {
        let polls = provider.tracer_with_scope(poll_span::scope(contract::SCOPE));
        let awaits = provider.tracer_with_scope(poll_span::scope(contract::AWAIT_SCOPE));
        Self { provider, polls, awaits }
    }

    pub(super) fn send(&self, spans: &[KeptSpan], dropped: u64) {
        for (index, span) in spans.iter().enumerate() {
            let mut attributes = span.attributes.clone();
            attributes.extend((index == 0).then(|| poll_span::dropped_attribute(dropped)));
            let context = match &span.relation {
                Relation::Child(parent) => Context::new().with_remote_span_context(parent.clone()),
                Relation::Root | Relation::Linked(_) => Context::new(),
            };
            let tracer = if span.scope == contract::SCOPE { &self.polls } else { &self.awaits };
            let builder = tracer
                .span_builder(span.name.clone())
                .with_start_time(span.start)
                .with_attributes(attributes)
                .with_links(span.links().into_iter().collect());
            let mut started = tracer.build_with_context(builder, &context);
            started.end_with_timestamp(span.end);
        }
    }

    pub(super) fn flush(&self) {
        if let Err(error) = self.provider.force_flush() {
            tracing::warn!(target: "holdup", "the tracer provider could not be flushed: {error}");
        }
    }
}
