//! The HTTP server: connections, paths, limits.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request as HttpRequest, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::answer::{Answer, AnswerBody, PIECES_MAX, ServerName, Stream};
use super::auth::Gate;
use super::exception::{Exception, LOGICAL_ERROR, TOO_MANY_SIMULTANEOUS_QUERIES};
use super::execute::{CancelGuard, Job, Running, random};
use super::request::Request;
use super::session::Engine;
use super::socket::{Flushes, Socket};
use super::upload;

/// Connections that are served at once; more are turned away with status 503.
pub(crate) const CONNECTIONS_MAX: usize = 256;

/// Statements that run at once; more fail with code 202, as in ClickHouse.
pub(crate) const STATEMENTS_MAX: usize = 32;

/// Longest head of a request: a longer one gets status 431. The URL alone may have 65,534 bytes
/// (status 414); what doesn't fit goes in the body.
pub(crate) const HEAD_BYTES_MAX: usize = 128 << 10;

/// Time for a client to send a request's head.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How often idle sessions are looked for.
const SESSIONS_EVERY: Duration = Duration::from_secs(10);

/// Time for cancelled statements to end.
const CANCEL_TIME: Duration = Duration::from_secs(5);

// Every running statement needs a connection of its own.
const _: () = assert!(STATEMENTS_MAX < CONNECTIONS_MAX);

/// A server of one engine.
pub(crate) struct Server {
    engine: Arc<Engine>,
    gate: Gate,
    name: ServerName,
    statements: Arc<Semaphore>,
}

impl Server {
    pub(crate) fn new(engine: Arc<Engine>, gate: Gate) -> Arc<Self> {
        let name = ServerName {
            version: engine.version.clone(),
            timezone: engine.timezone.clone(),
            display_name: "holdup-engine".to_owned(),
        };
        let statements = Arc::new(Semaphore::new(STATEMENTS_MAX));
        Arc::new(Self { engine, gate, name, statements })
    }

    /// Serves until `stop`, then lets what runs end for up to `grace`.
    pub(crate) async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
        grace: Duration,
    ) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        let mut sessions = tokio::time::interval(SESSIONS_EVERY);
        tokio::pin!(stop);
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file descriptors, most likely: some come back when others end.
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                _ = sessions.tick() => {
                    self.engine.end_idle_sessions();
                    continue;
                }
                () = &mut stop => break,
            };
            let permit = Arc::clone(&connections).try_acquire_owned().ok();
            let watcher = graceful.watcher();
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                let connection = server.connection(stream, permit.is_some());
                if let Err(error) = watcher.watch(connection).await {
                    tracing::debug!(%error, "a connection ended");
                }
                drop(permit);
            });
        }
        drop(listener);
        if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("cancelling the statements that are still running");
            let engine = Arc::clone(&self.engine);
            // A panic in there leaves the statements to the wait below.
            let _ = tokio::task::spawn_blocking(move || engine.cancel_all()).await;
        }
        let all = u32::try_from(STATEMENTS_MAX).unwrap_or(u32::MAX);
        if tokio::time::timeout(CANCEL_TIME, self.statements.acquire_many(all)).await.is_err() {
            tracing::warn!("stopping although statements are still running");
        }
    }

    fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        admitted: bool,
    ) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
        // An answer's head and its small body go out at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let (socket, flushes) = Socket::new(stream);
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            let flushes = Arc::clone(&flushes);
            async move {
                let answer = if admitted {
                    server.answer(request, flushes).await
                } else {
                    server.turn_away()
                };
                Ok::<_, Infallible>(answer)
            }
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES_MAX)
            .keep_alive(admitted)
            .serve_connection(TokioIo::new(socket), service)
    }

    fn turn_away(&self) -> Answer {
        let text = format!("Too many connections: this server takes {CONNECTIONS_MAX} at once\n");
        self.name.plain(StatusCode::SERVICE_UNAVAILABLE, "", text.into())
    }

    async fn answer(&self, request: HttpRequest<Incoming>, flushes: Arc<Flushes>) -> Answer {
        let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
        if !is_read && request.method() != Method::POST {
            let text = "Use GET for reading and POST for anything else\n".to_owned();
            return self.text(StatusCode::METHOD_NOT_ALLOWED, text);
        }
        let asks = request.uri().query().is_some_and(|query| query.contains("query"));
        match request.uri().path() {
            "/ping" | "/replicas_status" => self.text(StatusCode::OK, "Ok.\n".into()),
            "/" | "/query" if asks || !is_read => self.statement(request, flushes).await,
            "/" => self.text(StatusCode::OK, "Ok.\n".into()),
            path => {
                let text =
                    format!("There is no handle {path}. Statements go to /, health to /ping\n");
                self.text(StatusCode::NOT_FOUND, text)
            }
        }
    }

    fn text(&self, status: StatusCode, text: String) -> Answer {
        let mut answer = self.name.plain(status, "", text.into());
        let plain = HeaderValue::from_static("text/plain; charset=UTF-8");
        answer.headers_mut().insert(CONTENT_TYPE, plain);
        answer
    }

    async fn statement(&self, http: HttpRequest<Incoming>, flushes: Arc<Flushes>) -> Answer {
        let mut query_id = String::new();
        match self.run(http, flushes, &mut query_id).await {
            Ok(answer) => answer,
            Err(exception) => {
                tracing::debug!(%exception, query_id, "a statement failed");
                self.name.failure(&query_id, &exception)
            }
        }
    }

    async fn run(
        &self,
        http: HttpRequest<Incoming>,
        flushes: Arc<Flushes>,
        query_id: &mut String,
    ) -> Result<Answer, Exception> {
        let (head, body) = http.into_parts();
        // The body is taken in from the start: an error is answered while it still comes.
        let body = upload::reader(body);
        let mut request = Request::from_head(&head.method, &head.uri, &head.headers)?;
        *query_id = request.query_id.take().unwrap_or_else(new_query_id);
        self.gate.check_browser(&head.headers)?;
        self.gate.check(&request.credentials)?;
        let permit = Arc::clone(&self.statements).try_acquire_owned().map_err(|_| {
            Exception::new(
                TOO_MANY_SIMULTANEOUS_QUERIES,
                format_args!("Too many simultaneous queries. Maximum: {STATEMENTS_MAX}"),
            )
        })?;
        let engine = Arc::clone(&self.engine);
        let running = Arc::new(Running::new());
        let cancel = CancelGuard { engine: Arc::clone(&engine), running: Arc::clone(&running) };
        let (first, answered) = oneshot::channel();
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        let job = Job {
            engine,
            request,
            body,
            running,
            first: Some(first),
            answered: None,
            pieces: sender,
        };
        tokio::task::spawn_blocking(move || {
            job.run();
            drop(permit);
        });
        let (head, whole) = answered
            .await
            .map_err(|_| Exception::new(LOGICAL_ERROR, "the statement's thread panicked"))??;
        let body = match whole {
            Some(bytes) => AnswerBody::Whole(Some(bytes)),
            None => AnswerBody::Stream(Stream { pieces, flushes, _cancel: cancel }),
        };
        Ok(self.name.success(query_id, &head, body))
    }
}

fn new_query_id() -> String {
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    )
}
