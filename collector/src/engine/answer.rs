//! Answers: their head, and a body that streams, cancels when nobody reads it, and breaks off
//! visibly when the statement fails half-way.

use std::future::Future as _;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::coding::Output;
use super::exception::Exception;
use super::execute::CancelGuard;
use super::ffi::Counts;
use super::socket::Flushes;

/// Bytes that are sent on as one piece.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces between the engine and a slow reader.
pub(crate) const PIECES_MAX: usize = 4;

/// Time for a slow reader to take what comes before a late error, and its text, until the
/// connection is broken off.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// What an answer's head says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) format: Option<String>,
    pub(crate) output: Output,
    /// Known where the statement ended before the head was sent.
    pub(crate) counts: Counts,
    pub(crate) elapsed_ns: u64,
    /// Marks an error within the body.
    pub(crate) tag: String,
}

/// Body of an answer.
pub(crate) enum AnswerBody {
    Whole(Option<Bytes>),
    Stream(Stream),
    BreakingOff(BreakingOff),
}

/// A body whose pieces are still to come.
pub(crate) struct Stream {
    pub(crate) pieces: mpsc::Receiver<io::Result<Bytes>>,
    pub(crate) flushes: Arc<Flushes>,
    pub(crate) _cancel: CancelGuard,
}

/// A body that has failed, while what came before is being sent.
pub(crate) struct BreakingOff {
    error: Option<io::Error>,
    flushes: Arc<Flushes>,
    seen: u64,
    patience: Pin<Box<Sleep>>,
}

impl From<String> for AnswerBody {
    fn from(text: String) -> Self {
        Self::Whole(Some(Bytes::from(text)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            match &mut *self {
                Self::Whole(bytes) => {
                    return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
                }
                Self::Stream(stream) => match ready!(stream.pieces.poll_recv(context)) {
                    Some(Err(error)) => {
                        let flushes = Arc::clone(&stream.flushes);
                        *self = Self::BreakingOff(BreakingOff {
                            error: Some(error),
                            seen: flushes.count(),
                            flushes,
                            patience: Box::pin(tokio::time::sleep(LAST_WORDS)),
                        });
                    }
                    piece => return Poll::Ready(piece.map(|piece| piece.map(Frame::data))),
                },
                Self::BreakingOff(end) => {
                    if end.flushes.poll_more_than(end.seen, context).is_pending() {
                        ready!(end.patience.as_mut().poll(context));
                    }
                    return Poll::Ready(end.error.take().map(Err));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Stream(_) | Self::BreakingOff(_) => SizeHint::default(),
        }
    }
}

/// Collects what an encoder writes into pieces. Writing fails once nobody reads the answer.
pub(crate) struct PieceWriter {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    pending: BytesMut,
}

impl PieceWriter {
    pub(crate) fn new(pieces: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { pieces, pending: BytesMut::new() }
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let piece = self.pending.split().freeze();
        self.pieces.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// What every answer of a server says of it.
#[derive(Debug, Clone)]
pub(crate) struct ServerName {
    pub(crate) version: String,
    pub(crate) timezone: String,
    pub(crate) display_name: String,
}

impl ServerName {
    /// The answer to a statement that has gone well so far.
    pub(crate) fn success(&self, query_id: &str, head: &Head, body: AnswerBody) -> Answer {
        let mut answer = self.plain(StatusCode::OK, query_id, body);
        let headers = answer.headers_mut();
        let format = head.format.as_deref().unwrap_or("TabSeparated");
        let summary = summary(head);
        for (name, value) in [
            ("x-clickhouse-format", format),
            ("x-clickhouse-summary", &summary),
            ("x-clickhouse-exception-tag", &head.tag),
            (CONTENT_TYPE.as_str(), content_type(format)),
        ] {
            if let (Ok(value), Ok(name)) = (HeaderValue::from_str(value), name.parse()) {
                let _: Option<HeaderValue> =
                    headers.insert::<hyper::header::HeaderName>(name, value);
            }
        }
        if let Some(encoding) = head.output.name() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        answer
    }

    /// The answer to a statement that failed before anything was sent.
    pub(crate) fn failure(&self, query_id: &str, exception: &Exception) -> Answer {
        let text = format!("{}\n", exception.message(&self.version));
        let mut answer = self.plain(exception.status(), query_id, text.into());
        let headers = answer.headers_mut();
        headers.insert("x-clickhouse-exception-code", HeaderValue::from(exception.code));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
        if exception.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"ClickHouse server HTTP API\"");
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }

    pub(crate) fn plain(&self, status: StatusCode, query_id: &str, body: AnswerBody) -> Answer {
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        for (name, value) in [
            ("x-clickhouse-server-display-name", self.display_name.as_str()),
            ("x-clickhouse-timezone", &self.timezone),
            ("x-clickhouse-query-id", query_id),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }
}

/// An answer to a request.
pub(crate) type Answer = Response<AnswerBody>;

/// An error within a body, as ClickHouse from 25.11 on writes it. Clients look for it at the end
/// of what they get; the length is that of the message with its line end.
pub(crate) fn error_within_body(message: &str, tag: &str) -> String {
    let length = message.len() + 1;
    format!("\r\n__exception__\r\n{tag}\r\n{message}\n{length} {tag}\r\n__exception__\r\n")
}

fn summary(head: &Head) -> String {
    let counts = head.counts;
    format!(
        "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\
         \"written_bytes\":\"{}\",\"total_rows_to_read\":\"0\",\"result_rows\":\"{}\",\
         \"result_bytes\":\"0\",\"elapsed_ns\":\"{}\"}}",
        counts.read_rows,
        counts.read_bytes,
        counts.written_rows,
        counts.written_bytes,
        counts.result_rows,
        head.elapsed_ns
    )
}

fn content_type(format: &str) -> &'static str {
    let lower = format.to_ascii_lowercase();
    match lower.as_str() {
        "jsoneachrow" | "jsonlines" | "ndjson" | "jsonstringseachrow" | "jsoncompacteachrow" => {
            "application/x-ndjson; charset=UTF-8"
        }
        "xml" => "application/xml; charset=UTF-8",
        "markdown" => "text/markdown; charset=UTF-8",
        _ if lower.starts_with("json") => "application/json; charset=UTF-8",
        _ if lower.starts_with("csvwithnames") => "text/csv; charset=UTF-8; header=present",
        _ if lower.starts_with("csv") => "text/csv; charset=UTF-8; header=absent",
        _ if lower.starts_with("tabseparated") || lower.starts_with("tsv") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        _ if ["rowbinary", "native", "parquet", "arrow", "orc", "avro", "msgpack", "npy"]
            .iter()
            .any(|binary| lower.starts_with(binary)) =>
        {
            "application/octet-stream"
        }
        _ => "text/plain; charset=UTF-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_within_bodies_have_the_layout_that_clients_look_for() {
        let text = error_within_body("Code: 1. DB::Exception: x", "abcdefghijklmnop");
        assert_eq!(
            text,
            "\r\n__exception__\r\nabcdefghijklmnop\r\nCode: 1. DB::Exception: x\n\
             26 abcdefghijklmnop\r\n__exception__\r\n"
        );
    }

    #[test]
    fn content_types_follow_the_format() {
        assert_eq!(content_type("JSON"), "application/json; charset=UTF-8");
        assert_eq!(content_type("JSONEachRow"), "application/x-ndjson; charset=UTF-8");
        assert_eq!(content_type("RowBinaryWithNamesAndTypes"), "application/octet-stream");
        assert_eq!(content_type("PrettyCompact"), "text/plain; charset=UTF-8");
    }
}
