//! What was measured, as a request of OTLP.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::contract;
use crate::measure::buckets::{FIRST_INDEX, SCALE, SHORTEST_SECONDS};
use crate::measure::merge::Histogram;

/// A stretch of time, unix ns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) since: u64,
    pub(crate) until: u64,
}

/// One request, built metric by metric.
pub(crate) struct Report {
    span: Span,
    metrics: Vec<Metric>,
}

impl Report {
    pub(crate) fn new(span: Span) -> Self {
        Self { span, metrics: Vec::new() }
    }

    /// The histograms of all functions.
    pub(crate) fn polls<'a>(
        &mut self,
        functions: impl Iterator<Item = (&'a String, &'a Histogram)>,
    ) {
        self.durations(contract::POLL_DURATION, functions);
    }

    /// A histogram by name.
    pub(crate) fn durations<'a>(
        &mut self,
        metric: &str,
        functions: impl Iterator<Item = (&'a String, &'a Histogram)>,
    ) {
        let points = functions.map(|(name, polls)| self.histogram(name, polls));
        let data = ExponentialHistogram {
            data_points: points.collect(),
            aggregation_temporality: AggregationTemporality::Delta.into(),
        };
        if !data.data_points.is_empty() {
            self.push(metric, "s", Data::ExponentialHistogram(data));
        }
    }

    /// What happened a number of times, of one runtime or of the process.
    pub(crate) fn sum(&mut self, name: &str, unit: &str, runtime: Option<&str>, value: Number) {
        let point = self.number(runtime, value);
        if let Some(Data::Sum(sum)) = self.existing(name) {
            return sum.data_points.push(point);
        }
        let sum = Sum {
            data_points: vec![point],
            aggregation_temporality: AggregationTemporality::Delta.into(),
            is_monotonic: true,
        };
        self.push(name, unit, Data::Sum(sum));
    }

    /// How something is, of one runtime.
    pub(crate) fn gauge(&mut self, name: &str, unit: &str, runtime: &str, value: Number) {
        let point = self.number(Some(runtime), value);
        if let Some(Data::Gauge(gauge)) = self.existing(name) {
            return gauge.data_points.push(point);
        }
        self.push(name, unit, Data::Gauge(Gauge { data_points: vec![point] }));
    }

    pub(crate) fn request(self, resource: Resource) -> ExportMetricsServiceRequest {
        let scope = InstrumentationScope {
            name: contract::SCOPE.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let scope_metrics = vec![ScopeMetrics {
            scope: Some(scope),
            metrics: self.metrics,
            ..ScopeMetrics::default()
        }];
        let resource = Some(resource);
        let resource_metrics =
            vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
        ExportMetricsServiceRequest { resource_metrics }
    }

    fn existing(&mut self, name: &str) -> Option<&mut Data> {
        self.metrics.iter_mut().find(|metric| metric.name == name)?.data.as_mut()
    }

    fn push(&mut self, name: &str, unit: &str, data: Data) {
        self.metrics.push(Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..Metric::default()
        });
    }

    fn number(&self, runtime: Option<&str>, value: Number) -> NumberDataPoint {
        NumberDataPoint {
            attributes: runtime.map(|name| text(contract::RUNTIME, name)).into_iter().collect(),
            start_time_unix_nano: self.span.since,
            time_unix_nano: self.span.until,
            value: Some(value),
            ..NumberDataPoint::default()
        }
    }

    fn histogram(&self, function: &str, polls: &Histogram) -> ExponentialHistogramDataPoint {
        let buckets = &polls.counts[1..];
        let first = buckets.iter().position(|count| *count > 0).unwrap_or(0);
        let last = buckets.iter().rposition(|count| *count > 0).map_or(first, |last| last + 1);
        let positive = Buckets {
            offset: FIRST_INDEX + i32::try_from(first).unwrap_or(0),
            bucket_counts: buckets[first..last].to_vec(),
        };
        ExponentialHistogramDataPoint {
            attributes: vec![text(contract::FUNCTION, function)],
            start_time_unix_nano: self.span.since,
            time_unix_nano: self.span.until,
            count: polls.calls(),
            sum: Some(polls.sum_ns as f64 / 1e9),
            scale: SCALE,
            zero_count: polls.counts[0],
            zero_threshold: SHORTEST_SECONDS,
            positive: Some(positive),
            ..ExponentialHistogramDataPoint::default()
        }
    }
}

/// An attribute.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::buckets::COUNTERS;

    #[test]
    fn a_histogram_is_sent_without_its_empty_ends() {
        let mut counts = [0; COUNTERS];
        (counts[0], counts[81], counts[83]) = (5, 2, 1);
        let polls = Histogram { sum_ns: 3_500_000_000, counts };
        let mut report = Report::new(Span { since: 1, until: 2 });
        report.polls([(&"shop::pay".to_owned(), &polls)].into_iter());
        let request = report.request(Resource::default());
        let metric = &request.resource_metrics[0].scope_metrics[0].metrics[0];
        let Some(Data::ExponentialHistogram(sent)) = &metric.data else { panic!("{metric:?}") };
        let point = &sent.data_points[0];
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), (contract::POLL_DURATION, "s"));
        assert_eq!((point.count, point.zero_count, point.sum), (8, 5, Some(3.5)));
        let positive = point.positive.as_ref().unwrap();
        // From 1 s up: that is where the index 0 begins.
        assert_eq!((positive.offset, &positive.bucket_counts), (0, &vec![2, 0, 1]));
        assert_eq!(sent.aggregation_temporality, i32::from(AggregationTemporality::Delta));
    }

    #[test]
    fn points_of_several_runtimes_share_a_metric() {
        let mut report = Report::new(Span { since: 1, until: 2 });
        for runtime in ["a", "b"] {
            report.gauge(contract::RUNTIME_WORKERS, "{worker}", runtime, Number::AsInt(2));
            report.sum(contract::RUNTIME_PARKS, "{park}", Some(runtime), Number::AsInt(3));
        }
        let request = report.request(Resource::default());
        assert_eq!(request.resource_metrics[0].scope_metrics[0].metrics.len(), 2);
    }
}
