//! Beside `tracing-opentelemetry`, and with OpenTelemetry's own context.

use std::sync::{Arc, Mutex};

use holdup::DetectBlocking;
use opentelemetry::Context;
use opentelemetry::trace::{
    FutureExt, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
    TracerProvider,
};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::prelude::*;

use crate::session::{Session, block, names, on_one_thread};

/// Keeps what the service's own tracer exports.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.lock().unwrap().extend(batch);
        std::future::ready(Ok(()))
    }
}

pub(crate) fn provider(kept: &Kept, sampler: Sampler) -> SdkTracerProvider {
    let builder = SdkTracerProvider::builder().with_sampler(sampler);
    builder.with_simple_exporter(kept.clone()).build()
}

#[tracing::instrument]
async fn inner() {
    block(20);
    tokio::task::yield_now().await;
    async { block(20) }.detect_blocking("it::wrapped").await;
}

#[tracing::instrument]
async fn outer() {
    inner().await;
}

fn in_order(holdup_first: bool) {
    let session = Session::start();
    let kept = Kept::default();
    let provider = provider(&kept, Sampler::AlwaysOn);
    let tracer = provider.tracer("service");
    let registry = tracing_subscriber::registry();
    let _default = if holdup_first {
        let otel = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::set_default(registry.with(holdup::layer()).with(otel))
    } else {
        let otel = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::set_default(registry.with(otel).with(holdup::layer()))
    };
    on_one_thread(async { tokio::spawn(outer()).await.unwrap() });
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::opentelemetry::inner", "it::wrapped"]);
    let spans = kept.0.lock().unwrap();
    let parent = spans.iter().find(|span| span.name == "inner").unwrap();
    for poll in &polls {
        assert_eq!(poll.span.parent_span_id, parent.span_context.span_id().to_bytes());
        assert_eq!(poll.span.trace_id, parent.span_context.trace_id().to_bytes());
        assert!(poll.span.links.is_empty());
    }
    assert_eq!(spans.len(), 2, "the service's own spans are what they were: {spans:?}");
}

#[test]
fn poll_spans_are_children_of_their_function_when_holdup_is_inside() {
    in_order(true);
}

#[test]
fn poll_spans_are_children_of_their_function_when_holdup_is_outside() {
    in_order(false);
}

fn context(flags: TraceFlags) -> (SpanContext, Context) {
    let (trace, span) = (TraceId::from(5_u128), SpanId::from(6_u64));
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    (context.clone(), Context::new().with_remote_span_context(context))
}

#[test]
fn the_current_context_is_the_parent_of_a_wrapped_future() {
    let session = Session::start();
    let (parent, context) = context(TraceFlags::SAMPLED);
    let future = async { block(20) }.detect_blocking("it::child");
    on_one_thread(future.with_context(context));
    let polls = session.finish();
    assert_eq!(polls[0].span.parent_span_id, parent.span_id().to_bytes());
    assert_eq!(polls[0].span.trace_id, parent.trace_id().to_bytes());
}

#[test]
fn under_an_unsampled_span_a_poll_is_a_root_with_a_link() {
    let session = Session::start();
    let (parent, context) = context(TraceFlags::NOT_SAMPLED);
    let future = async { block(20) }.detect_blocking("it::unsampled");
    on_one_thread(future.with_context(context));
    let polls = session.finish();
    let span = &polls[0].span;
    assert!(span.parent_span_id.is_empty());
    assert_ne!(span.trace_id, parent.trace_id().to_bytes());
    assert_eq!(span.links.len(), 1);
    assert_eq!(span.links[0].span_id, parent.span_id().to_bytes());
    assert_eq!(span.links[0].trace_id, parent.trace_id().to_bytes());
}

#[test]
fn an_unsampled_function_under_the_layer_is_a_root_with_a_link() {
    let session = Session::start();
    let provider = provider(&Kept::default(), Sampler::AlwaysOff);
    let otel = tracing_opentelemetry::layer().with_tracer(provider.tracer("service"));
    let subscriber = tracing_subscriber::registry().with(otel).with(holdup::layer());
    let _default = tracing::subscriber::set_default(subscriber);
    on_one_thread(outer());
    for poll in session.finish() {
        assert!(poll.span.parent_span_id.is_empty());
        assert_eq!(poll.span.links.len(), 1, "{poll:?}");
    }
}

#[test]
fn the_services_own_provider_takes_the_spans() {
    let kept = Kept::default();
    let own = provider(&kept, Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
    let session = Session::with(|builder| builder.tracer_provider(own.clone()));
    let (parent, sampled) = context(TraceFlags::SAMPLED);
    let (_, unsampled) = context(TraceFlags::NOT_SAMPLED);
    on_one_thread(async {
        async { block(20) }.detect_blocking("it::own").with_context(sampled).await;
        async { block(20) }.detect_blocking("it::own linked").with_context(unsampled).await;
    });
    assert!(session.finish().is_empty(), "nothing goes over OTLP");
    let spans = kept.0.lock().unwrap();
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].name, "poll it::own");
    assert_eq!(spans[0].parent_span_id, parent.span_id());
    assert_eq!(spans[0].instrumentation_scope.name(), "holdup");
    assert_eq!(spans[1].parent_span_id, SpanId::INVALID);
    assert_eq!(spans[1].links.len(), 1);
    assert!(own.force_flush().is_ok(), "it is not shut down");
}

#[test]
fn the_global_provider_is_left_alone() {
    let before = format!("{:?}", opentelemetry::global::tracer_provider());
    let session = Session::start();
    assert_eq!(format!("{:?}", opentelemetry::global::tracer_provider()), before);
    session.finish();
}
