//! What the collector keeps of what services measure.

use holdup_tests::collector::{Answer, Collector, post};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, metrics_service_client as client,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::receiving::{FromText, JSON, PROTOBUF, collector, now_ns, request, send};

/// A report of a service on 1,000 polls of which 30 took 20 ms or so, and on its runtime.
pub(crate) fn report(service: &str) -> ExportMetricsServiceRequest {
    use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    let of = |key: &str, text: &str| {
        let value = Some(AnyValue::from_text(text));
        vec![KeyValue { key: key.into(), value, ..KeyValue::default() }]
    };
    let time_unix_nano = now_ns();
    let point = ExponentialHistogramDataPoint {
        attributes: of("code.function.name", &format!("{service}::handler")),
        time_unix_nano,
        count: 1_000,
        sum: Some(0.7),
        scale: 2,
        zero_count: 970,
        zero_threshold: 2_f64.powi(-20),
        // 2^-5.75 s: 18.6 to 22.1 ms.
        positive: Some(Buckets { offset: -23, bucket_counts: vec![30] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let histogram = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 1 };
    let gauge = |name: &str, value| {
        let attributes = of("holdup.runtime", "main");
        let value = Some(Value::AsDouble(value));
        let point =
            NumberDataPoint { attributes, time_unix_nano, value, ..NumberDataPoint::default() };
        metric(name, Data::Gauge(Gauge { data_points: vec![point] }))
    };
    let metrics = vec![
        metric("holdup.poll.duration", Data::ExponentialHistogram(histogram)),
        gauge("holdup.runtime.workers", 4.0),
        gauge("holdup.runtime.lag", 0.25),
    ];
    let scope = InstrumentationScope { name: "holdup".into(), ..InstrumentationScope::default() };
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let attributes = [of("service.name", service), of("service.version", "1.4.2")].concat();
    let resource = Some(Resource { attributes, ..Resource::default() });
    let of_resource = ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }
}

fn metric(name: &str, data: Data) -> Metric {
    Metric { name: name.into(), data: Some(data), ..Metric::default() }
}

pub(crate) fn send_metrics(collector: &Collector, request: &ExportMetricsServiceRequest) -> Answer {
    post(&format!("{}/v1/metrics", collector.http()), &[PROTOBUF], request.encode_to_vec())
}

#[test]
fn metrics_of_ours_are_kept_and_tell_the_share_of_slow_polls() {
    let collector = collector();
    let sent = send(&collector, &[PROTOBUF], request("measured", 80..110).encode_to_vec());
    assert_eq!(sent.status, 200);
    let unmeasured = collector.ask("top?service=measured").remove(0);
    assert_eq!(unmeasured["share_over"].as_f64(), Some(0.0), "nothing is known of all polls");

    let answer = send_metrics(&collector, &report("measured"));
    assert_eq!((answer.status, answer.bytes.len()), (200, 0), "{answer:?}");
    let row = collector.ask("top?service=measured").remove(0);
    assert_eq!((&row["calls"], row["share_over"].as_f64()), (&30.into(), Some(0.03)));
    let stored = "SELECT sum(calls), sum(sum_ns), sumMap(buckets) FROM poll_histograms \
                  WHERE service = 'measured' FORMAT TSV";
    assert_eq!(collector.sql(stored), "1000\t700000000\t{-81:970,-23:30}");
    let runtime = collector.ask("runtimes?service=measured").remove(0);
    assert_eq!((&runtime["runtime"], &runtime["workers"]), (&"main".into(), &4.into()));
    assert_eq!(runtime["lag_ns"], 250_000_000);
    assert_eq!(runtime["version"], "1.4.2");
}

#[test]
fn a_service_that_is_never_slow_is_known_by_its_reports() {
    let collector = collector();
    let before = now_ns() / 1_000_000;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.expect("a runtime").block_on(async {
        let mut client =
            client::MetricsServiceClient::connect(collector.grpc()).await.expect("it listens");
        client.export(report("calm")).await.expect("taken").into_inner()
    });
    assert_eq!(answer.partial_success, None);
    let row = collector.ask("services?service=calm").remove(0);
    assert_eq!((&row["polls"], &row["instances"]), (&0.into(), &1.into()));
    assert!(row["last_seen_ms"].as_u64().expect("a time") >= before, "{row}");
}

#[test]
fn metrics_in_json_are_kept_as_well() {
    let collector = collector();
    let json = format!(
        r#"{{"resourceMetrics": [{{"resource": {{"attributes": [{{"key": "service.name", "value":
            {{"stringValue": "measured_json"}}}}]}}, "scopeMetrics": [{{"scope": {{"name":
            "holdup"}}, "metrics": [{{"name": "holdup.poll.duration", "exponentialHistogram":
            {{"aggregationTemporality": 1, "dataPoints": [{{"attributes": [{{"key":
            "code.function.name", "value": {{"stringValue": "f"}}}}], "timeUnixNano": "{}",
            "count": "1000", "sum": 0.7, "scale": 2, "zeroCount": 970, "positive": {{"offset": -23,
            "bucketCounts": ["30"]}}}}]}}}}]}}]}}]}}"#,
        now_ns()
    );
    let answer = post(&format!("{}/v1/metrics", collector.http()), &[JSON], json);
    assert_eq!((answer.status, answer.text.as_str()), (200, "{}"));
    let stored = "SELECT function, sum(calls), sum(sum_ns), mapKeys(sumMap(buckets))[-1] \
                  FROM poll_histograms WHERE service = 'measured_json' GROUP BY 1 FORMAT TSV";
    assert_eq!(collector.sql(stored), "f\t1000\t700000000\t-23");
}

#[test]
fn metrics_of_others_are_taken_with_a_warning() {
    let collector = collector();
    let mut others = report("others");
    let scope = others.resource_metrics[0].scope_metrics[0].scope.as_mut().expect("set");
    scope.name = "some.meter".into();
    let answer = send_metrics(&collector, &others);
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("dropped these metrics"), "{answer:?}");
    assert!(collector.ask("services?service=others").is_empty());

    let mut cumulative = report("others");
    let metric = &mut cumulative.resource_metrics[0].scope_metrics[0].metrics[0];
    let Some(Data::ExponentialHistogram(data)) = &mut metric.data else { panic!("{metric:?}") };
    data.aggregation_temporality = 2;
    let answer = send_metrics(&collector, &cumulative);
    assert_eq!(answer.status, 200);
    assert!(answer.text.contains("1 points of metrics can't be used"), "{answer:?}");

    let answer = post(&format!("{}/v1/metrics", collector.http()), &[PROTOBUF], vec![0x0a, 0xff]);
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("no metrics request"), "{answer:?}");
}
