//! The load: a gentle, steady rate on every route, from a thread and a runtime of its own, so that
//! a blocked service can't slow the load down or be slowed by it.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// Path, first call after the start, and the time between two calls, in milliseconds. The starts
/// are spread, so that the two that need a CPU stay apart and at most two workers are blocked.
const PLAN: [(&str, u64, u64); 10] = [
    ("/sleep", 0, 1000),
    ("/hash", 100, 1000),
    ("/file", 250, 1000),
    ("/lock", 400, 1000),
    ("/peer", 500, 1000),
    ("/ledger", 600, 1000),
    ("/offload", 700, 2000),
    ("/upstream", 50, 1000),
    ("/starved", 900, 2000),
    ("/short", 1200, 4000),
];

/// More than any route takes; a request that takes longer is given up and reported.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// A running load.
#[derive(Debug)]
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(service: SocketAddr) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let thread = thread::Builder::new().name("load".into()).spawn(move || {
            runtime.block_on(call_all(service, &stopped));
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Sends no more requests and waits for the answers to those that are under way.
    pub(crate) fn finish(mut self) {
        // An error means that the load has ended already.
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn call_all(service: SocketAddr, stopped: &watch::Receiver<bool>) {
    let begin = Instant::now();
    let mut routes = JoinSet::new();
    for (path, first_ms, every_ms) in PLAN {
        let first = begin + Duration::from_millis(first_ms);
        let every = Duration::from_millis(every_ms);
        routes.spawn(call_often(service, path, first, every, stopped.clone()));
    }
    while routes.join_next().await.is_some() {}
}

async fn call_often(
    service: SocketAddr,
    path: &'static str,
    first: Instant,
    every: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let mut ticks = interval_at(first, every);
    // After a pause of the machine the load goes on at its rate: no burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            _ = ticks.tick() => {}
        }
        match timeout(REQUEST_TIME_MAX, call(service, path)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("GET {path}: {error}"),
            Err(_) => tracing::warn!("GET {path}: no answer in {REQUEST_TIME_MAX:?}"),
        }
    }
}

/// One request on a connection of its own.
async fn call(service: SocketAddr, path: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(service).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {service}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.lines().next().unwrap_or_default();
    if status.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        Err(io::Error::other(format!("{status}: {}", body.trim())))
    }
}
