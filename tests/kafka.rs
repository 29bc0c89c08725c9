//! Requests that wait in topics of Kafka.

mod broker;

use broker::{Broker, free};
use holdup_tests::collector::{Collector, eventually, get};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use prost::Message;

use crate::notify::authority::Authority;
use crate::receiving::{PROTOBUF, request, send};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn metric(collector: &Collector, name: &str) -> u64 {
    let text = get(&format!("{}/metrics", collector.page())).text;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |value| value.trim().parse().expect("a number"))
}

fn taken(collector: &Collector) -> u64 {
    metric(collector, "holdup_kafka_messages_total{outcome=\"taken\"}")
}

fn polls(ids: impl IntoIterator<Item = u64>) -> Vec<Vec<u8>> {
    ids.into_iter().map(|id| request("kept", [id]).encode_to_vec()).collect()
}

/// How many polls there are in tables and in rollups.
const COUNTS: &str = "SELECT (SELECT uniqExact(span_id) FROM poll_spans FINAL WHERE service = 'kept'), \
                      (SELECT sum(calls) FROM functions_1m WHERE service = 'kept')";

#[test]
fn messages_are_stored_once_and_committed_behind_the_log_also_after_a_kill() {
    let broker = Broker::start(&free());
    let first = polls(0..30);
    broker.put("otlp_spans", &first);
    let metrics = concat!(env!("CARGO_MANIFEST_DIR"), "/upgrade/0.1.0/metrics.bin");
    let metrics = std::fs::read(metrics).expect("there");
    ExportMetricsServiceRequest::decode(metrics.as_slice()).expect("it is one");
    broker.put("otlp_metrics", &[metrics]);
    // Neither holds up what is behind it.
    broker.put("otlp_spans", &[b"no request".to_vec(), vec![0; 70_000]]);
    broker.put("otlp_spans", &polls(30..36));
    let data = folder();
    let arguments = ["--kafka-brokers", broker.address(), "--http-bytes-max", "65536"];
    let collector = Collector::start(data.path(), &arguments);
    eventually("all are taken", || (taken(&collector) == 37).then_some(()));
    assert_eq!(metric(&collector, "holdup_kafka_messages_total{outcome=\"unusable\"}"), 2);
    for reason in ["body", "corrupt"] {
        let name =
            format!("holdup_requests_refused_total{{transport=\"kafka\",reason=\"{reason}\"}}");
        assert_eq!(metric(&collector, &name), 1, "{reason}");
    }
    assert_eq!(metric(&collector, "holdup_kafka_partitions"), 5);
    assert_eq!(collector.sql(COUNTS), "36\t36", "{}", collector.log());
    assert_eq!(collector.sql("SELECT sum(calls) FROM poll_histograms"), "182");
    let log = collector.log();
    assert!(
        log.contains("of otlp_spans is no request that can be used, and is passed over"),
        "{log}"
    );
    eventually("all are committed", || (broker.committed("otlp_spans") == 38).then_some(()));
    collector.kill();

    // What comes again byte for byte counts once, whichever way it comes.
    broker.put("otlp_spans", &[&first[..6], &polls(36..40)].concat());
    let collector = Collector::start(data.path(), &arguments);
    assert_eq!(send(&collector, &[PROTOBUF], first[7].clone()).status, 200);
    eventually("the rest is taken", || (taken(&collector) == 10).then_some(()));
    assert_eq!(collector.sql(COUNTS), "40\t40", "{}", collector.log());
    // An end commits what was taken.
    assert!(collector.stop().success());
    assert_eq!(broker.committed("otlp_spans"), 48);
}

#[test]
fn over_tls_a_log_that_takes_nothing_pauses_reading_and_loses_nothing() {
    let data = folder();
    let authority = Authority::new(&["127.0.0.1"]);
    let ca = data.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("written");
    let broker = Broker::start_tls(&free(), &authority, &ca);
    broker.put("otlp_spans", &polls(0..200));
    let ca = ca.to_str().expect("UTF-8");
    let of_kafka = ["--kafka-brokers", broker.address(), "--kafka-tls", "--kafka-tls-ca", ca];
    let full = [&of_kafka[..], &["--log-free-min", "9000000000000000000"]].concat();
    let collector = Collector::start(data.path(), &full);
    eventually("it is paused", || (metric(&collector, "holdup_kafka_paused") == 1).then_some(()));
    // As a connection is told to come again, a message waits.
    assert_eq!(send(&collector, &[PROTOBUF], polls([900]).remove(0)).status, 503);
    assert_eq!(taken(&collector), 0);
    assert!(collector.stop().success());
    assert_eq!(broker.committed("otlp_spans"), 0, "nothing is committed that is not in the log");
    // The authorities of the system do not vouch for this broker.
    let collector = Collector::start(data.path(), &of_kafka[..3]);
    eventually("that it is not trusted is counted", || {
        (metric(&collector, "holdup_kafka_errors_total") > 0).then_some(())
    });
    assert_eq!((taken(&collector), metric(&collector, "holdup_kafka_partitions")), (0, 0));
    assert!(collector.stop().success());
    let collector = Collector::start(data.path(), &of_kafka);
    eventually("all are taken", || (taken(&collector) == 200).then_some(()));
    assert_eq!(metric(&collector, "holdup_kafka_paused"), 0);
    assert_eq!(collector.sql(COUNTS), "200\t200");
}

#[test]
fn collectors_share_the_partitions_and_one_that_ends_leaves_its_own_to_the_other() {
    // The broker comes later than those that read from it.
    let address = free();
    let (data, second_data) = (folder(), folder());
    let first = Collector::start(data.path(), &["--kafka-brokers", &address]);
    let url = first.clickhouse();
    let of_first = ["--kafka-brokers", &address, "--clickhouse-url", &url];
    let second = Collector::start(second_data.path(), &of_first);
    eventually("that there is none is counted", || {
        (metric(&first, "holdup_kafka_errors_total") > 0).then_some(())
    });
    let broker = Broker::start(&address);
    broker.put("otlp_spans", &polls(0..60));
    eventually("both have partitions", || {
        let counts = [&first, &second].map(|it| metric(it, "holdup_kafka_partitions"));
        (counts.iter().sum::<u64>() == 5 && !counts.contains(&0)).then_some(())
    });
    broker.put("otlp_spans", &polls(60..90));
    eventually("all are taken", || (taken(&first) + taken(&second) >= 90).then_some(()));
    let before = taken(&first);
    assert!(second.stop().success());
    broker.put("otlp_spans", &polls(90..120));
    eventually("one takes the rest", || (taken(&first) >= before + 30).then_some(()));
    assert_eq!(first.sql(COUNTS), "120\t120", "{}", first.log());
    // Brokers that are gone do not keep it from ending.
    drop(broker);
    let log = data.path().join("serve.log");
    assert!(first.stop().success());
    let log = std::fs::read_to_string(log).expect("its log");
    assert!(!log.contains("requests under way were cut off"), "{log}");
}
