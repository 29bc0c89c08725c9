//! Poll spans to an OTLP receiver.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;

use crate::export::http::{Failure, Sender};
use crate::export::resource::{Identity, resource};
use crate::export::variables::Signal;
use crate::install::InstallError;

/// An OTLP receiver.
pub(super) struct Otlp {
    pub(super) sender: Sender,
    pub(super) resource: Resource,
    attributes: ResourceAttributesWithSchema,
}

impl Otlp {
    pub(super) fn open(endpoint: Option<&str>, identity: &Identity) -> Result<Self, InstallError> {
        let sender = Sender::open(Signal::Traces, endpoint, None)?;
        let resource = resource(identity);
        let attributes = ResourceAttributesWithSchema::from(&resource);
        Ok(Self { sender, resource, attributes })
    }

    pub(super) fn send(&self, spans: Vec<SpanData>) -> Result<(), Failure> {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.attributes);
        self.sender.post(&ExportTraceServiceRequest { resource_spans }.encode_to_vec())
    }
}
