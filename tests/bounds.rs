//! What services may have the collector keep is bounded, whatever names they invent.

use std::ops::Range;

use holdup_tests::collector::{Collector, get};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::receiving::{PROTOBUF, request, send};

/// A request of one poll each of functions that nobody wrote.
fn invented(numbers: Range<u64>) -> ExportTraceServiceRequest {
    let mut request = request("inventor", numbers.clone());
    let spans = &mut request.resource_spans[0].scope_spans[0].spans;
    for (span, number) in spans.iter_mut().zip(numbers) {
        span.name = format!("poll inventor::handler_{number}");
    }
    request
}

fn overflowed(collector: &Collector, kind: &str) -> Option<u64> {
    let text = get(&format!("{}/metrics", collector.page())).text;
    let name = format!("holdup_names_overflowed_total{{kind=\"{kind}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(name.as_str())?.parse().ok())
}

#[test]
fn invented_names_share_one_past_the_bound_and_known_ones_keep_theirs() {
    let data = tempfile::tempdir().expect("a folder");
    let bounds = ["--functions-max", "1000", "--services-max", "3", "--instances-max", "5"];
    let collector = Collector::start(data.path(), &bounds);
    let post = |collector: &Collector, request: &ExportTraceServiceRequest| {
        let answer = send(collector, &[PROTOBUF], request.encode_to_vec());
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    let count = |collector: &Collector, what: &str| -> u64 {
        collector.sql(&format!("SELECT {what}")).parse().expect("a number")
    };
    let of = "service = 'inventor'";
    let calls = format!("sum(calls) FROM functions_1m WHERE {of} AND function");

    post(&collector, &request("inventor", 900_000..900_001));
    collector.settle();
    for first in (0..11_000).step_by(1_000) {
        post(&collector, &invented(first..first + 1_000));
    }
    post(&collector, &request("shop", 800_000..800_001));
    for table in ["poll_spans", "functions", "functions_1m"] {
        let functions = count(&collector, &format!("uniqExact(function) FROM {table} WHERE {of}"));
        assert_eq!(functions, 1_001, "{table}");
    }
    assert_eq!(count(&collector, &format!("count() FROM poll_spans WHERE {of}")), 11_001);
    assert_eq!(count(&collector, &format!("{calls} = 'otel.metric.overflow'")), 10_001);
    assert_eq!(overflowed(&collector, "function"), Some(10_001));

    // What was known is so after a crash, and what was not is not.
    collector.kill();
    let collector = Collector::start(data.path(), &bounds);
    post(&collector, &request("inventor", 900_001..900_002));
    post(&collector, &invented(50_000..50_100));
    post(&collector, &request("shop", 800_001..800_002));
    assert_eq!(count(&collector, &format!("{calls} = 'inventor::handler'")), 2);
    assert_eq!(count(&collector, &format!("{calls} = 'otel.metric.overflow'")), 10_101);
    assert_eq!(overflowed(&collector, "function"), Some(100));
    let shop = "sum(calls) FROM functions_1m WHERE function = 'shop::handler'";
    assert_eq!(count(&collector, shop), 2);

    // The same for services: two are known.
    for number in 700_000..700_020 {
        post(&collector, &request(&format!("invented_{number}"), number..number + 1));
    }
    assert_eq!(count(&collector, "uniqExact(service) FROM services"), 4);
    assert_eq!(overflowed(&collector, "service"), Some(19));
}
