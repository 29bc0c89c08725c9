//! An OTLP receiver on loopback.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, Metric, NumberDataPoint,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Received>,
}

#[derive(Default)]
struct Received {
    traces: Mutex<Vec<ExportTraceServiceRequest>>,
    metrics: Mutex<Vec<ExportMetricsServiceRequest>>,
    /// Connections to which something else was done.
    calls: AtomicUsize,
    logs: Mutex<Vec<ExportLogsServiceRequest>>,
    /// Heads of all requests, in small letters.
    heads: Mutex<Vec<String>>,
    /// Answers to give to traces, last to first; afterwards 200.
    answers: Mutex<Vec<u16>>,
    /// The same for metrics.
    answers_to_metrics: Mutex<Vec<u16>>,
}

/// A span that arrived, with what is said about its sender.
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    pub(crate) span: Span,
    pub(crate) scope: String,
    attributes: HashMap<String, Value>,
    resource: HashMap<String, Value>,
}

/// A log record that arrived.
pub(crate) struct Log {
    pub(crate) event: String,
    attributes: HashMap<String, Value>,
}

impl Log {
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(&self.attributes, key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.attributes.contains_key(key)
    }
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::listen("http", serve)
    }

    pub(crate) fn start_tls(config: ServerConfig) -> Self {
        let config = Arc::new(config);
        Self::listen("https", move |stream, received| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            serve(StreamOwned::new(connection, stream), received);
        })
    }

    /// Does `instead` to the first connections, and is a receiver like any other afterwards.
    pub(crate) fn start_after(first: usize, instead: fn(TcpStream)) -> Self {
        let connections = AtomicUsize::new(0);
        Self::listen("http", move |stream, received| {
            if connections.fetch_add(1, Ordering::Relaxed) < first {
                received.calls.fetch_add(1, Ordering::Relaxed);
                instead(stream);
            } else {
                serve(stream, received);
            }
        })
    }

    fn listen(scheme: &str, serve: impl Fn(TcpStream, &Received) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let receiver = Self { url, received: Arc::default() };
        let received = Arc::clone(&receiver.received);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (received, serve) = (Arc::clone(&received), Arc::clone(&serve));
                thread::spawn(move || serve(stream.unwrap(), &received));
            }
        });
        receiver
    }

    pub(crate) fn answer_first_with(&self, status: u16) {
        self.received.answers.lock().unwrap().push(status);
    }

    pub(crate) fn answer_first_metrics_with(&self, status: u16) {
        self.received.answers_to_metrics.lock().unwrap().push(status);
    }

    /// Whether each of [`answer_first_with`](Self::answer_first_with) was given.
    pub(crate) fn has_answered(&self) -> bool {
        self.received.answers.lock().unwrap().is_empty()
            && self.received.answers_to_metrics.lock().unwrap().is_empty()
    }

    /// Whether something was done by [`start_after`](Self::start_after).
    pub(crate) fn was_called(&self) -> bool {
        self.received.calls.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.received.heads.lock().unwrap().clone()
    }

    /// Every metrics request that was accepted.
    pub(crate) fn reports(&self) -> Vec<ExportMetricsServiceRequest> {
        self.received.metrics.lock().unwrap().clone()
    }

    /// Every metric of that name that was accepted.
    fn metrics(&self, name: &str) -> Vec<Metric> {
        let groups = self.reports().into_iter().flat_map(|report| report.resource_metrics);
        let scopes = groups.flat_map(|group| group.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).filter(|metric| metric.name == name).collect()
    }

    /// All histograms of a function.
    pub(crate) fn histograms(&self, function: &str) -> Vec<ExponentialHistogramDataPoint> {
        self.durations("holdup.poll.duration", function)
    }

    /// All histograms of that metric of a function.
    pub(crate) fn durations(
        &self,
        metric: &str,
        function: &str,
    ) -> Vec<ExponentialHistogramDataPoint> {
        let points = self.metrics(metric).into_iter().flat_map(|m| match m.data {
            Some(Data::ExponentialHistogram(histogram)) => histogram.data_points,
            other => panic!("{other:?}"),
        });
        let is_it = |point: &ExponentialHistogramDataPoint| {
            text(&map(&point.attributes), "code.function.name").as_deref() == Some(function)
        };
        points.filter(is_it).collect()
    }

    /// All points of a sum or gauge, with the runtime that they are of.
    pub(crate) fn numbers(&self, name: &str) -> Vec<(Option<String>, NumberDataPoint)> {
        let points = self.metrics(name).into_iter().flat_map(|metric| match metric.data {
            Some(Data::Sum(sum)) => sum.data_points,
            Some(Data::Gauge(gauge)) => gauge.data_points,
            other => panic!("{other:?}"),
        });
        points.map(|point| (text(&map(&point.attributes), "holdup.runtime"), point)).collect()
    }

    /// Everything that was accepted of polls that ended.
    pub(crate) fn polls(&self) -> Vec<Poll> {
        self.spans().into_iter().filter(|poll| !poll.is_stall()).collect()
    }

    /// Every log record that was accepted.
    pub(crate) fn logs(&self) -> Vec<Log> {
        let requests = self.received.logs.lock().unwrap().clone();
        let groups = requests.into_iter().flat_map(|request| request.resource_logs);
        let scopes = groups.flat_map(|group| group.scope_logs);
        let records = scopes.flat_map(|scope| scope.log_records);
        let log = |record: opentelemetry_proto::tonic::logs::v1::LogRecord| Log {
            attributes: map(&record.attributes),
            event: record.event_name,
        };
        records.map(log).collect()
    }

    /// What was accepted of polls that had not ended, first to last.
    pub(crate) fn stalls(&self) -> Vec<Poll> {
        self.spans().into_iter().filter(Poll::is_stall).collect()
    }

    fn spans(&self) -> Vec<Poll> {
        let requests = self.received.traces.lock().unwrap().clone();
        let groups = requests.into_iter().flat_map(|request| request.resource_spans);
        groups
            .flat_map(|group| {
                let resource = map(&group.resource.unwrap().attributes);
                group.scope_spans.into_iter().flat_map(move |scoped| {
                    let resource = resource.clone();
                    let scope = scoped.scope.unwrap().name;
                    scoped.spans.into_iter().map(move |span| Poll {
                        attributes: map(&span.attributes),
                        span,
                        scope: scope.clone(),
                        resource: resource.clone(),
                    })
                })
            })
            .collect()
    }
}

fn serve(stream: impl Read + Write, received: &Received) {
    let mut reader = BufReader::new(stream);
    loop {
        let Some((head, body)) = request(&mut reader) else { return };
        let is_metrics = head.starts_with("post /v1/metrics ");
        let is_logs = head.starts_with("post /v1/logs ");
        received.heads.lock().unwrap().push(head);
        let answers = if is_metrics { &received.answers_to_metrics } else { &received.answers };
        let status = answers.lock().unwrap().pop().unwrap_or(200);
        if status == 200 && is_metrics {
            let request = ExportMetricsServiceRequest::decode(body.as_slice()).unwrap();
            received.metrics.lock().unwrap().push(request);
        } else if status == 200 && is_logs {
            let request = ExportLogsServiceRequest::decode(body.as_slice()).unwrap();
            received.logs.lock().unwrap().push(request);
        } else if status == 200 {
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            received.traces.lock().unwrap().push(request);
        }
        let head = format!("HTTP/1.1 {status} status\r\ncontent-length: 0\r\n\r\n");
        if reader.get_mut().write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

/// Head and body of the next request.
pub(crate) fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line.to_ascii_lowercase());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    if head.contains("content-encoding: gzip") {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    Some((head, body))
}

fn map(attributes: &[KeyValue]) -> HashMap<String, Value> {
    let value = |value: &Option<AnyValue>| value.clone().and_then(|v| v.value).unwrap();
    attributes.iter().map(|kv| (kv.key.clone(), value(&kv.value))).collect()
}

fn text(map: &HashMap<String, Value>, key: &str) -> Option<String> {
    match map.get(key)? {
        Value::StringValue(text) => Some(text.clone()),
        other => panic!("{key} is {other:?}"),
    }
}

impl Poll {
    pub(crate) fn function(&self) -> String {
        self.text("code.function.name").unwrap()
    }

    pub(crate) fn text(&self, key: &str) -> Option<String> {
        text(&self.attributes, key)
    }

    pub(crate) fn resource(&self, key: &str) -> Option<String> {
        text(&self.resource, key)
    }

    pub(crate) fn has_resource(&self, key: &str) -> bool {
        self.resource.contains_key(key)
    }

    pub(crate) fn integer(&self, key: &str) -> Option<u64> {
        match self.attributes.get(key)? {
            Value::IntValue(value) => Some(u64::try_from(*value).unwrap()),
            other => panic!("{key} is {other:?}"),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.attributes.contains_key(key)
    }

    pub(crate) fn is_stall(&self) -> bool {
        self.flag("holdup.stall")
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        match self.attributes.get(key) {
            None => false,
            Some(Value::BoolValue(value)) => *value,
            other => panic!("{key} is {other:?}"),
        }
    }

    pub(crate) fn own_ns(&self) -> u64 {
        self.integer("holdup.self_ns").unwrap()
    }

    pub(crate) fn duration_ns(&self) -> u64 {
        self.span.end_time_unix_nano - self.span.start_time_unix_nano
    }
}
