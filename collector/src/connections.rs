//! Serves the connections of one listener within bounds: how many there are, how long they may be
//! silent, how old they get, and how slowly a request's head may come.
//!
//! A connection without a request is worth little: when there is no room for another one, the one
//! that has been silent for longest makes room. So clients that open connections and say nothing
//! can't keep others out.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use crate::metrics::Metrics;
use crate::tls::Tls;

/// Bounds on the connections of one listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many there are at a time.
    pub(crate) connections_max: usize,
    /// For how long one may have no request under way.
    pub(crate) silent_max: Duration,
    /// After this time a connection is asked to end, so that clients spread anew behind a load
    /// balancer.
    pub(crate) age_max: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            silent_max: Duration::from_secs(300),
            age_max: Duration::from_secs(3_600),
        }
    }
}

/// Who is at the other end; every request has it among its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How long the head of a request may take to arrive.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a TLS handshake may take.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// Requests of one HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 128;

/// What a client may send of one request before it is read, bytes. HTTP/2's own 64 KiB make a
/// client wait for a round trip once in each 64 KiB.
const STREAM_WINDOW: u32 = 256 << 10;

/// The same for all requests of a connection together, bytes.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// A silent HTTP/2 connection is asked for a sign of life as often, and closed when none comes.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIME_MAX: Duration = Duration::from_secs(20);

/// How long a client may take to end a connection that it was asked to end.
const ENDING_TIME_MAX: Duration = Duration::from_secs(5);

/// A connection is given as long to send its first request before it can make room for others.
const SETTLING: Duration = Duration::from_secs(1);

/// Serves until `stopped` turns true, then lets the requests under way end.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    routes: Router,
    bounds: Bounds,
    metrics: Arc<Metrics>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut open = Vec::<Arc<Activity>>::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: some come back when others end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
            () = stop(&mut stopped) => break,
        };
        if open.len() >= bounds.connections_max {
            open.retain(|activity| Arc::strong_count(activity) > 1);
        }
        if open.len() >= bounds.connections_max && !make_room(&mut open) {
            metrics.connection_turned_away();
            continue;
        }
        let activity = Arc::new(Activity::new());
        open.push(Arc::clone(&activity));
        let (routes, stopped) = (routes.clone(), stopped.clone());
        let peer = Peer(peer.ip().to_canonical());
        let connection = Connection { peer, routes, bounds, activity, stopped };
        connections.spawn(connection.run(stream, tls.clone()));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop as well.
    let _stopped = stopped.wait_for(|stop| *stop).await;
}

/// Has the connection that was silent for longest end. `false` when all are in use.
fn make_room(open: &mut Vec<Arc<Activity>>) -> bool {
    let silent = open.iter().enumerate().filter_map(|(i, a)| Some((a.silent_for()?, i)));
    match silent.max() {
        Some((silent_for, index)) if silent_for >= SETTLING => {
            open.swap_remove(index).give_way.notify_one();
            true
        }
        _ => false,
    }
}

/// One connection, and what holds for it.
struct Connection {
    peer: Peer,
    routes: Router,
    bounds: Bounds,
    activity: Arc<Activity>,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    async fn run(mut self, stream: TcpStream, tls: Option<Arc<Tls>>) {
        // An answer's head and its small body go out at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let Some(tls) = tls else { return self.serve(stream).await };
        let shaken = tokio::select! {
            shaken = timeout(HANDSHAKE_TIME_MAX, tls.acceptor().accept(stream)) => shaken,
            () = self.activity.give_way.notified() => return,
            () = stop(&mut self.stopped) => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, peer = %self.peer.0, "no TLS came about");
                tls.failed("refused");
            }
            Err(_late) => tls.failed("late"),
        }
    }

    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let (counted, peer, routes) = (Arc::clone(&self.activity), self.peer, self.routes);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            answer(routes.clone(), request, UnderWay::begin(&counted))
        });
        let builder = builder();
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let asked_to_end = tokio::select! {
            _ended = connection.as_mut() => return,
            () = self.activity.silence(self.bounds.silent_max) => "silent",
            () = self.activity.give_way.notified() => "making room",
            () = sleep(self.bounds.age_max) => "old",
            () = stop(&mut self.stopped) => "stopping",
        };
        tracing::debug!(reason = asked_to_end, "a connection is asked to end");
        connection.as_mut().graceful_shutdown();
        let patience = async {
            sleep(ENDING_TIME_MAX).await;
            self.activity.silence(ENDING_TIME_MAX).await;
        };
        tokio::select! {
            _ended = connection.as_mut() => {}
            () = patience => {}
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_TIME_MAX);
    builder
}

/// The answer; the request is under way until the last of it is sent.
async fn answer(
    routes: Router,
    request: Request<Incoming>,
    under_way: UnderWay,
) -> Result<Response, Infallible> {
    let response = routes.oneshot(request.map(Body::new)).await?;
    Ok(response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _until_sent = &under_way;
            frame
        }))
    }))
}

/// What one connection does.
#[derive(Debug)]
struct Activity {
    began: Instant,
    under_way: AtomicUsize,
    /// When the last request ended, ms after `began`.
    ended_ms: AtomicU64,
    give_way: Notify,
}

impl Activity {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            under_way: AtomicUsize::new(0),
            ended_ms: AtomicU64::new(0),
            give_way: Notify::new(),
        }
    }

    /// For how long no request has been under way. `None` while one is.
    fn silent_for(&self) -> Option<Duration> {
        if self.under_way.load(Ordering::Acquire) > 0 {
            return None;
        }
        let ended = Duration::from_millis(self.ended_ms.load(Ordering::Acquire));
        Some(self.began.elapsed().saturating_sub(ended))
    }

    /// Returns once no request was under way for so long.
    async fn silence(&self, time: Duration) {
        loop {
            match self.silent_for() {
                Some(silent_for) if silent_for >= time => return,
                Some(silent_for) => sleep(time - silent_for).await,
                None => sleep(time).await,
            }
        }
    }
}

/// A request under way.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.under_way.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let passed = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended_ms.store(passed, Ordering::Release);
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Router;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    use super::{Bounds, serve};
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounds = Bounds { silent_max: Duration::from_millis(50), ..Bounds::default() };
        let (stop, stopped) = watch::channel(false);
        let metrics = Arc::new(Metrics::new());
        let serving = tokio::spawn(serve(listener, None, Router::new(), bounds, metrics, stopped));
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0, "it is closed, and nothing is said");
        stop.send_replace(true);
        serving.await.unwrap();
    }
}
