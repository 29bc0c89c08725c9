//! An OTLP receiver on loopback.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// Answers to give, first to last; afterwards 200.
type Answers = Arc<Mutex<Vec<u16>>>;

pub(crate) struct Receiver {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    answers: Answers,
}

/// A span that arrived, with what is said about its sender.
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    pub(crate) span: Span,
    pub(crate) scope: String,
    attributes: HashMap<String, Value>,
    resource: HashMap<String, Value>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let receiver =
            Self { url, requests: Arc::default(), answers: Arc::new(Mutex::new(Vec::new())) };
        let (requests, answers) = (Arc::clone(&receiver.requests), Arc::clone(&receiver.answers));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, answers) = (Arc::clone(&requests), Arc::clone(&answers));
                thread::spawn(move || serve(stream.unwrap(), &requests, &answers));
            }
        });
        receiver
    }

    pub(crate) fn answer_first_with(&self, status: u16) {
        self.answers.lock().unwrap().push(status);
    }

    /// Whether each of [`answer_first_with`](Self::answer_first_with) was given.
    pub(crate) fn has_answered(&self) -> bool {
        self.answers.lock().unwrap().is_empty()
    }

    /// Everything that was accepted.
    pub(crate) fn polls(&self) -> Vec<Poll> {
        let requests = self.requests.lock().unwrap().clone();
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

fn serve(
    stream: TcpStream,
    requests: &Mutex<Vec<ExportTraceServiceRequest>>,
    answers: &Mutex<Vec<u16>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let status = answers.lock().unwrap().pop().unwrap_or(200);
        if status == 200 {
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            requests.lock().unwrap().push(request);
        }
        let head = format!("HTTP/1.1 {status} status\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
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

    pub(crate) fn own_ns(&self) -> u64 {
        self.integer("holdup.self_ns").unwrap()
    }

    pub(crate) fn duration_ns(&self) -> u64 {
        self.span.end_time_unix_nano - self.span.start_time_unix_nano
    }
}
