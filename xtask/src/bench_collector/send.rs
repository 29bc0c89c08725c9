//! Sends requests over several connections at once, each waiting for its answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::header::HeaderValue;

use super::spans::{Prepared, Random, SPANS, Shape, prepare};
use crate::interrupt::{Interrupt, Interrupted};

/// Requests of one connection that are made before; then they come again with other ids.
const PREPARED: usize = 13;
/// How long one that was turned away waits.
const PAUSE: Duration = Duration::from_millis(20);
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) grpc: bool,
    pub(super) gzip: bool,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) way: Way,
    pub(super) connections: usize,
    pub(super) functions: usize,
    pub(super) requests: usize,
    /// Requests a second, where it is not as many as are taken.
    pub(super) pace: Option<u32>,
}

impl Load {
    pub(super) fn spans(&self) -> usize {
        self.requests * SPANS
    }
}

/// A load that is ready to be sent.
pub(super) struct Ready {
    load: Load,
    of_connections: Vec<Vec<Prepared>>,
    /// Compressed ones, each of which is sent once.
    compressed: Vec<Vec<Vec<u8>>>,
}

/// Makes the requests.
pub(super) fn ready(load: Load) -> anyhow::Result<Ready> {
    let of_connections: Vec<Vec<Prepared>> = (0..load.connections)
        .map(|service| {
            let of =
                |n| Shape { service, spans: SPANS, functions: load.functions, first: n * SPANS };
            (0..PREPARED).map(|n| prepare(of(n))).collect()
        })
        .collect();
    let mut ready = Ready { load, of_connections, compressed: Vec::new() };
    if load.way.gzip {
        for (connection, requests) in ready.of_connections.iter_mut().enumerate() {
            let mut random = Random::new(connection as u64 + 1);
            let mut compressed = Vec::new();
            for number in 0..load.requests / load.connections {
                let request = &mut requests[number % PREPARED];
                request.renew(&mut random);
                compressed.push(gzip(&request.bytes)?);
            }
            ready.compressed.push(compressed);
        }
    }
    Ok(ready)
}

/// By gzip, at the level that exporters use.
fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut gzip = Command::new("gzip");
    let gzip = gzip.args(["-c", "-6"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut gzip = gzip.spawn().context("cannot run gzip: `apt-get install gzip`")?;
    let mut input = gzip.stdin.take().context("no standard input")?;
    let bytes = bytes.to_vec();
    let writer = thread::spawn(move || input.write_all(&bytes));
    let output = gzip.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("writing to gzip failed"))??;
    Ok(output.stdout)
}

/// What sending took.
pub(super) struct Sent {
    pub(super) took: Duration,
    /// Requests that were turned away, and sent again.
    pub(super) again: u64,
}

/// Sends all of it.
pub(super) fn send(
    ready: &mut Ready,
    address: SocketAddr,
    interrupt: &Interrupt,
) -> anyhow::Result<Sent> {
    let (load, again) = (ready.load, AtomicU64::new(0));
    let began = Instant::now();
    let share = load.requests / load.connections;
    thread::scope(|scope| {
        let mut senders = Vec::new();
        for (connection, requests) in ready.of_connections.iter_mut().enumerate() {
            let (again, compressed) = (&again, ready.compressed.get(connection));
            senders.push(scope.spawn(move || {
                let mut random = Random::new(connection as u64 + 1);
                let mut client = Client::connect(load.way, address)?;
                for number in 0..share {
                    if interrupt.came() {
                        return Err(Interrupted.into());
                    }
                    if let Some(pace) = load.pace {
                        let at = (number * load.connections + connection) as f64 / f64::from(pace);
                        let at = began + Duration::from_secs_f64(at);
                        thread::sleep(at.saturating_duration_since(Instant::now()));
                    }
                    let request = &mut requests[number % PREPARED];
                    let body = match compressed {
                        Some(compressed) => &compressed[number],
                        None => {
                            request.renew(&mut random);
                            &request.bytes
                        }
                    };
                    while !client.send(body)? {
                        again.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(PAUSE);
                    }
                }
                anyhow::Ok(())
            }));
        }
        senders
            .into_iter()
            .try_for_each(|sender| sender.join().map_err(|_| anyhow::anyhow!("a sender failed"))?)
    })?;
    Ok(Sent { took: began.elapsed(), again: again.into_inner() })
}

/// One connection.
pub(super) enum Client {
    Http { stream: BufReader<TcpStream>, gzip: bool },
    Grpc { client: reqwest::blocking::Client, url: String, gzip: bool },
}

impl Client {
    pub(super) fn connect(way: Way, address: SocketAddr) -> anyhow::Result<Self> {
        if way.grpc {
            let client = reqwest::blocking::Client::builder().no_proxy().http2_prior_knowledge();
            let url = format!("http://{address}{EXPORT}");
            return Ok(Self::Grpc { client: client.build()?, url, gzip: way.gzip });
        }
        let stream = TcpStream::connect(address).context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self::Http { stream: BufReader::new(stream), gzip: way.gzip })
    }

    /// Sends one and waits for its answer: `false` when it should come again.
    pub(super) fn send(&mut self, body: &[u8]) -> anyhow::Result<bool> {
        match self {
            Self::Http { stream, gzip } => {
                let encoding = if *gzip { "Content-Encoding: gzip\r\n" } else { "" };
                let head = format!(
                    "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\n\
                     Content-Type: application/x-protobuf\r\n{encoding}Content-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.get_mut().write_all(head.as_bytes())?;
                stream.get_mut().write_all(body)?;
                answer(stream)
            }
            Self::Grpc { client, url, gzip } => {
                let mut message = Vec::with_capacity(body.len() + 5);
                message.push(u8::from(*gzip));
                message.extend_from_slice(&u32::try_from(body.len())?.to_be_bytes());
                message.extend_from_slice(body);
                let mut post = client.post(url.as_str()).header("te", "trailers");
                post = post.header("content-type", "application/grpc");
                if *gzip {
                    post = post.header("grpc-encoding", "gzip");
                }
                let answer = post.body(message).send()?;
                // A refusal has no body, and tells its status in the head.
                match answer.headers().get("grpc-status").map(HeaderValue::as_bytes) {
                    None | Some(b"0") => {}
                    Some(b"14") => return Ok(false),
                    Some(status) => {
                        let message = answer.headers().get("grpc-message");
                        bail!("gRPC status {}: {message:?}", String::from_utf8_lossy(status))
                    }
                }
                answer.bytes()?;
                Ok(true)
            }
        }
    }
}

/// Reads an answer over HTTP/1.1.
fn answer(stream: &mut BufReader<TcpStream>) -> anyhow::Result<bool> {
    let (mut status, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            bail!("the connection was closed before an answer");
        }
        let line = line.trim_end().to_ascii_lowercase();
        if status.is_empty() {
            status = line;
        } else if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse()?;
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    match status.split(' ').nth(1) {
        Some("200") => Ok(true),
        Some("429" | "503") => Ok(false),
        _ => bail!("{status}: {}", String::from_utf8_lossy(&body)),
    }
}
