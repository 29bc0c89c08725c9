//! A request of metrics. Of the kinds of metric only those are read of which there are rows.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use serde::Deserialize;

use super::{Double, Integer, JsonKeyValue, JsonResource, JsonScope, attributes, nullable};

/// Reads a request; the error tells the line, the column and what was expected.
pub(in super::super) fn metrics_request(
    body: &[u8],
) -> Result<ExportMetricsServiceRequest, serde_json::Error> {
    serde_json::from_slice::<Request>(body).map(Into::into)
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    #[serde(deserialize_with = "nullable")]
    resource_metrics: Vec<JsonResourceMetrics>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonResourceMetrics {
    #[serde(deserialize_with = "nullable")]
    resource: JsonResource,
    #[serde(deserialize_with = "nullable")]
    scope_metrics: Vec<JsonScopeMetrics>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonScopeMetrics {
    #[serde(deserialize_with = "nullable")]
    scope: JsonScope,
    #[serde(deserialize_with = "nullable")]
    metrics: Vec<JsonMetric>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonMetric {
    #[serde(deserialize_with = "nullable")]
    name: String,
    gauge: Option<JsonPoints<JsonNumber>>,
    sum: Option<JsonPoints<JsonNumber>>,
    exponential_histogram: Option<JsonPoints<JsonHistogram>>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonPoints<T> {
    #[serde(bound(deserialize = "T: Deserialize<'de>"), deserialize_with = "nullable")]
    data_points: Vec<T>,
    #[serde(deserialize_with = "nullable")]
    aggregation_temporality: i32,
    #[serde(deserialize_with = "nullable")]
    is_monotonic: bool,
}

impl<T> Default for JsonPoints<T> {
    fn default() -> Self {
        Self { data_points: Vec::new(), aggregation_temporality: 0, is_monotonic: false }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonNumber {
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<Option<JsonKeyValue>>,
    #[serde(deserialize_with = "nullable")]
    start_time_unix_nano: Integer<u64>,
    #[serde(deserialize_with = "nullable")]
    time_unix_nano: Integer<u64>,
    as_int: Option<Integer<i64>>,
    as_double: Option<Double>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonHistogram {
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<Option<JsonKeyValue>>,
    #[serde(deserialize_with = "nullable")]
    start_time_unix_nano: Integer<u64>,
    #[serde(deserialize_with = "nullable")]
    time_unix_nano: Integer<u64>,
    #[serde(deserialize_with = "nullable")]
    count: Integer<u64>,
    sum: Option<Double>,
    #[serde(deserialize_with = "nullable")]
    scale: i32,
    #[serde(deserialize_with = "nullable")]
    zero_count: Integer<u64>,
    positive: Option<JsonBuckets>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct JsonBuckets {
    #[serde(deserialize_with = "nullable")]
    offset: i32,
    #[serde(deserialize_with = "nullable")]
    bucket_counts: Vec<Integer<u64>>,
}

impl From<Request> for ExportMetricsServiceRequest {
    fn from(from: Request) -> Self {
        Self { resource_metrics: from.resource_metrics.into_iter().map(Into::into).collect() }
    }
}

impl From<JsonResourceMetrics> for ResourceMetrics {
    fn from(from: JsonResourceMetrics) -> Self {
        Self {
            resource: Some(from.resource.into()),
            scope_metrics: from.scope_metrics.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }
}

impl From<JsonScopeMetrics> for ScopeMetrics {
    fn from(from: JsonScopeMetrics) -> Self {
        let metrics = from.metrics.into_iter().map(Into::into).collect();
        Self { scope: Some(from.scope.into()), metrics, ..Self::default() }
    }
}

impl From<JsonMetric> for Metric {
    fn from(from: JsonMetric) -> Self {
        let data = if let Some(JsonPoints { data_points, aggregation_temporality, .. }) =
            from.exponential_histogram
        {
            let data_points = data_points.into_iter().map(Into::into).collect();
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points,
                aggregation_temporality,
            })
        } else if let Some(points) = from.sum {
            let JsonPoints { data_points, aggregation_temporality, is_monotonic } = points;
            let data_points = data_points.into_iter().map(Into::into).collect();
            Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
        } else if let Some(points) = from.gauge {
            Data::Gauge(Gauge {
                data_points: points.data_points.into_iter().map(Into::into).collect(),
            })
        } else {
            return Self { name: from.name, ..Self::default() };
        };
        Self { name: from.name, data: Some(data), ..Self::default() }
    }
}

impl From<JsonNumber> for NumberDataPoint {
    fn from(from: JsonNumber) -> Self {
        let whole = from.as_int.and_then(|number| number.0).map(Value::AsInt);
        let value = whole.or(from.as_double.and_then(|number| number.0).map(Value::AsDouble));
        Self {
            attributes: attributes(from.attributes),
            start_time_unix_nano: from.start_time_unix_nano.0.unwrap_or(0),
            time_unix_nano: from.time_unix_nano.0.unwrap_or(0),
            value,
            ..Self::default()
        }
    }
}

impl From<JsonHistogram> for ExponentialHistogramDataPoint {
    fn from(from: JsonHistogram) -> Self {
        let positive = from.positive.map(|buckets| Buckets {
            offset: buckets.offset,
            bucket_counts: buckets.bucket_counts.iter().map(|n| n.0.unwrap_or(0)).collect(),
        });
        Self {
            attributes: attributes(from.attributes),
            start_time_unix_nano: from.start_time_unix_nano.0.unwrap_or(0),
            time_unix_nano: from.time_unix_nano.0.unwrap_or(0),
            count: from.count.0.unwrap_or(0),
            sum: from.sum.and_then(|sum| sum.0),
            scale: from.scale,
            zero_count: from.zero_count.0.unwrap_or(0),
            positive,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::metrics_request;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

    #[test]
    fn the_specifications_forms_are_read() {
        let request = metrics_request(
            br#"{"resourceMetrics": [{"scopeMetrics": [{"scope": {"name": "holdup"}, "metrics": [
                {"name": "a", "gauge": {"dataPoints": [
                    {"asInt": "-5", "timeUnixNano": "7"}, {"asDouble": "-Infinity"},
                    {"asDouble": 1.5}, {"asDouble": "none"}, {}]}},
                {"name": "b", "sum": {"aggregationTemporality": 1, "isMonotonic": true,
                    "dataPoints": [{"asInt": 3}]}},
                {"name": "c", "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
                    {"count": "9", "sum": 0.25, "scale": 2, "zeroCount": 1, "positive":
                        {"offset": -3, "bucketCounts": ["4", 4]}, "negative": null}]}},
                {"name": "d", "summary": {"dataPoints": [{}]}}, {"name": "e", "gauge": null}
            ]}]}]}"#,
        )
        .unwrap();
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let Some(Data::Gauge(gauge)) = &metrics[0].data else { panic!("{metrics:?}") };
        let values = gauge.data_points.iter().map(|point| point.value).collect::<Vec<_>>();
        let (low, half) = (Value::AsDouble(f64::NEG_INFINITY), Value::AsDouble(1.5));
        assert_eq!(values, [Some(Value::AsInt(-5)), Some(low), Some(half), None, None]);
        assert_eq!(gauge.data_points[0].time_unix_nano, 7);
        let Some(Data::Sum(sum)) = &metrics[1].data else { panic!("{metrics:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 1);
        let Some(Data::ExponentialHistogram(data)) = &metrics[2].data else { panic!() };
        let point = &data.data_points[0];
        assert_eq!((point.count, point.sum, point.scale, point.zero_count), (9, Some(0.25), 2, 1));
        let positive = point.positive.as_ref().unwrap();
        assert_eq!((positive.offset, positive.bucket_counts.as_slice()), (-3, &[4, 4][..]));
        assert!(metrics[3].data.is_none() && metrics[4].data.is_none());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = metrics_request(br#"{"resourceMetrics": 7}"#).unwrap_err().to_string();
        assert!(error.contains("expected a sequence, line 1") || error.contains("line 1 column"));
    }
}
