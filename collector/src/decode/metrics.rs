//! Turns metrics of ours into rows.

use std::collections::BTreeMap;

use holdup::contract;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogramDataPoint, Metric, NumberDataPoint,
};

use super::{Decoded, Decoder, Limits};
use crate::measured::{Heartbeat, PollHistogram, RuntimeGauge};
use crate::span::Origin;

/// Buckets are kept at this scale of OpenTelemetry's: four to a doubling.
const SCALE: i32 = 2;
/// Bounds of what a bucket may be: 2^±64 s.
const INDEX_MAX: i64 = 64 << SCALE;
const NOT_DELTA: &str = "a metric of the scope holdup is not delta: choose delta temporality";
const NOT_EXPONENTIAL: &str = "holdup.poll.duration is no exponential histogram";

/// The rows of a request that arrived at `now_ns`.
pub(crate) fn decode(
    request: ExportMetricsServiceRequest,
    limits: &Limits,
    now_ns: u64,
) -> Decoded {
    let mut decoder = Decoder::new(limits, now_ns);
    for of_resource in request.resource_metrics {
        let origin = decoder.origin(&of_resource.resource.unwrap_or_default());
        let mut is_ours = false;
        for of_scope in of_resource.scope_metrics {
            if of_scope.scope.is_some_and(|scope| scope.name == contract::SCOPE) {
                is_ours = true;
                of_scope.metrics.into_iter().for_each(|metric| decoder.metric(&origin, metric));
            } else {
                decoder.out.counts.metrics_ignored += to_u64(of_scope.metrics.len());
            }
        }
        if is_ours {
            let time_ms = now_ns / 1_000_000;
            decoder.out.measured.heartbeats.push(Heartbeat { time_ms, origin });
        }
    }
    let mut out = decoder.out;
    let histograms = &out.measured.histograms;
    let buckets: usize = histograms.iter().map(|histogram| histogram.buckets.len()).sum();
    out.bytes += size_of::<PollHistogram>() * histograms.len()
        + size_of::<(i16, u64)>() * buckets
        + size_of::<RuntimeGauge>() * out.measured.gauges.len()
        + size_of::<Heartbeat>() * out.measured.heartbeats.len();
    out
}

impl Decoder<'_> {
    fn metric(&mut self, origin: &Origin, metric: Metric) {
        let delta = i32::from(AggregationTemporality::Delta);
        match metric.data {
            Some(Data::ExponentialHistogram(data)) if metric.name == contract::POLL_DURATION => {
                if data.aggregation_temporality != delta {
                    return self.reject(data.data_points.len(), NOT_DELTA);
                }
                for point in data.data_points {
                    self.histogram(origin, &point);
                }
            }
            Some(_) if metric.name == contract::POLL_DURATION => self.reject(1, NOT_EXPONENTIAL),
            Some(Data::Sum(data)) => {
                if data.aggregation_temporality != delta {
                    return self.reject(data.data_points.len(), NOT_DELTA);
                }
                self.numbers(origin, metric.name, &data.data_points);
            }
            Some(Data::Gauge(data)) => self.numbers(origin, metric.name, &data.data_points),
            _ => self.out.counts.metrics_ignored += 1,
        }
    }

    fn reject(&mut self, points: usize, reason: &'static str) {
        self.out.counts.rejected += to_u64(points);
        self.out.counts.first_rejection.get_or_insert(reason);
    }

    fn numbers(&mut self, origin: &Origin, name: String, points: &[NumberDataPoint]) {
        let metric = self.cut(name);
        for point in points {
            let value = match point.value {
                Some(Value::AsInt(value)) => value as f64,
                Some(Value::AsDouble(value)) if value.is_finite() => value,
                _ => continue,
            };
            let gauge = RuntimeGauge {
                time_ms: self.start(point.time_unix_nano, 0) / 1_000_000,
                origin: origin.clone(),
                runtime: self.attribute_of(&point.attributes, contract::RUNTIME),
                metric: metric.clone(),
                value,
            };
            self.out.measured.gauges.push(gauge);
        }
    }

    fn histogram(&mut self, origin: &Origin, point: &ExponentialHistogramDataPoint) {
        let function = self.attribute_of(&point.attributes, contract::FUNCTION);
        if function.is_empty() {
            return self.reject(1, "a histogram names no function: set code.function.name");
        }
        let minute = self.start(point.time_unix_nano, 0) / 60_000_000_000 * 60;
        let histogram = PollHistogram {
            minute_s: u32::try_from(minute).unwrap_or(u32::MAX),
            origin: origin.clone(),
            function,
            calls: point.count,
            sum_ns: nanoseconds(point.sum.unwrap_or(0.0)),
            buckets: buckets(point),
        };
        self.out.measured.histograms.push(histogram);
    }

    fn attribute_of(&mut self, attributes: &[KeyValue], key: &str) -> String {
        let found = attributes.iter().find(|attribute| attribute.key == key);
        self.text(found.and_then(|attribute| attribute.value.as_ref()))
    }
}

/// Counts by index at [`SCALE`]. A finer scale is added up exactly; of a coarser one each bucket goes
/// to the middle one of those that it covers.
fn buckets(point: &ExponentialHistogramDataPoint) -> Vec<(i16, u64)> {
    let mut sums: BTreeMap<i16, u64> = BTreeMap::new();
    let mut add = |index: i64, count: u64| {
        let index = i16::try_from(index.clamp(-INDEX_MAX, INDEX_MAX)).unwrap_or(0);
        let sum = sums.entry(index).or_default();
        *sum = sum.saturating_add(count);
    };
    if point.zero_count > 0 {
        // Those under the threshold are in the bucket that ends there.
        let log2 = point.zero_threshold.max(f64::MIN_POSITIVE).log2();
        add((log2 * f64::from(1 << SCALE)).ceil() as i64 - 1, point.zero_count);
    }
    let positive = point
        .positive
        .iter()
        .flat_map(|buckets| buckets.bucket_counts.iter().zip(i64::from(buckets.offset)..));
    let shift = (SCALE - point.scale).clamp(-20, 20);
    for (count, index) in positive.filter(|(count, _)| **count > 0) {
        let index =
            if shift <= 0 { index >> -shift } else { (index << shift) + (1_i64 << (shift - 1)) };
        add(index, *count);
    }
    sums.into_iter().collect()
}

fn nanoseconds(seconds: f64) -> u64 {
    // What is no number becomes 0, what is negative as well, and what is too large the largest.
    #[allow(clippy::cast_sign_loss)]
    let ns = (seconds * 1e9).max(0.0) as u64;
    ns
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, any_value};
    use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
    use opentelemetry_proto::tonic::metrics::v1::{
        ExponentialHistogram, Gauge, Histogram, ResourceMetrics, ScopeMetrics, Sum,
    };
    use opentelemetry_proto::tonic::resource::v1::Resource;

    const NOW_NS: u64 = 1_800_000_030_000_000_000;

    fn attribute(key: &str, value: &str) -> KeyValue {
        let value = Some(any_value::Value::StringValue(value.to_owned()));
        let value = Some(AnyValue { value });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    fn rows(scope: &str, metrics: Vec<(&str, Data)>) -> Decoded {
        let metric = |(name, data): (&str, Data)| Metric {
            name: name.to_owned(),
            data: Some(data),
            ..Metric::default()
        };
        let scope = InstrumentationScope { name: scope.to_owned(), ..Default::default() };
        let scope_metrics = vec![ScopeMetrics {
            scope: Some(scope),
            metrics: metrics.into_iter().map(metric).collect(),
            ..ScopeMetrics::default()
        }];
        let attributes = vec![attribute("service.name", "shop")];
        let resource = Some(Resource { attributes, ..Resource::default() });
        let of_resource = ResourceMetrics { resource, scope_metrics, ..Default::default() };
        let request = ExportMetricsServiceRequest { resource_metrics: vec![of_resource] };
        decode(request, &Limits::default(), NOW_NS)
    }

    fn point(scale: i32, offset: i32, counts: &[u64]) -> ExponentialHistogramDataPoint {
        ExponentialHistogramDataPoint {
            attributes: vec![attribute(contract::FUNCTION, "shop::pay")],
            time_unix_nano: NOW_NS,
            count: counts.iter().sum(),
            sum: Some(1.5),
            scale,
            positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    fn exponential(temporality: AggregationTemporality, scale: i32) -> Data {
        Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![point(scale, -27, &[3, 0, 2])],
            aggregation_temporality: temporality.into(),
        })
    }

    #[test]
    fn our_histograms_become_rows_and_their_sender_is_alive() {
        let data = exponential(AggregationTemporality::Delta, 2);
        let rows = rows("holdup", vec![(contract::POLL_DURATION, data)]);
        let histogram = &rows.measured.histograms[0];
        assert_eq!((histogram.calls, histogram.sum_ns), (5, 1_500_000_000));
        assert_eq!(histogram.minute_s, 1_800_000_000);
        assert_eq!(histogram.buckets, [(-27, 3), (-25, 2)]);
        assert_eq!(rows.measured.heartbeats[0].origin.service, "shop");
        assert_eq!((rows.rows(), rows.counts.metrics_ignored), (2, 0));
        assert!(rows.bytes > 0);
    }

    #[test]
    fn other_scales_are_brought_to_ours() {
        assert_eq!(buckets(&point(3, -2, &[1, 2, 4, 8])), [(-1, 3), (0, 12)]);
        assert_eq!(buckets(&point(20, 1 << 18, &[7])), [(1, 7)]);
        assert_eq!(buckets(&point(1, 0, &[5])), [(1, 5)]);
        assert_eq!(buckets(&point(-10, i32::MAX, &[5])), [(256, 5)]);
        let fast = ExponentialHistogramDataPoint {
            zero_count: 9,
            zero_threshold: 2_f64.powi(-20),
            ..point(2, -80, &[1])
        };
        assert_eq!(buckets(&fast), [(-81, 9), (-80, 1)]);
    }

    #[test]
    fn what_can_not_be_added_up_is_rejected() {
        let cumulative = exponential(AggregationTemporality::Cumulative, 2);
        let plain = Data::Histogram(Histogram::default());
        let name = contract::POLL_DURATION;
        let rows = rows("holdup", vec![(name, cumulative), (name, plain)]);
        assert!(rows.measured.histograms.is_empty());
        assert_eq!((rows.counts.rejected, rows.counts.first_rejection), (2, Some(NOT_DELTA)));
    }

    #[test]
    fn numbers_of_runtimes_become_rows() {
        let number = |value| NumberDataPoint {
            attributes: vec![attribute(contract::RUNTIME, "main")],
            time_unix_nano: NOW_NS,
            value: Some(value),
            ..NumberDataPoint::default()
        };
        let gauge = Data::Gauge(Gauge {
            data_points: vec![number(Value::AsInt(4)), number(Value::AsDouble(f64::NAN))],
        });
        let sum = Data::Sum(Sum {
            data_points: vec![number(Value::AsDouble(0.5))],
            aggregation_temporality: AggregationTemporality::Delta.into(),
            is_monotonic: true,
        });
        let rows =
            rows("holdup", vec![(contract::RUNTIME_WORKERS, gauge), (contract::RUNTIME_BUSY, sum)]);
        let values: Vec<_> =
            rows.measured.gauges.iter().map(|g| (g.metric.as_str(), g.value)).collect();
        assert_eq!(values, [(contract::RUNTIME_WORKERS, 4.0), (contract::RUNTIME_BUSY, 0.5)]);
        assert_eq!(rows.measured.gauges[0].runtime, "main");
    }

    #[test]
    fn metrics_of_others_are_counted() {
        let gauge = Data::Gauge(Gauge::default());
        let rows = rows("otel-sdk", vec![("http.server.duration", gauge)]);
        assert_eq!((rows.rows(), rows.counts.metrics_ignored), (0, 1));
    }
}
