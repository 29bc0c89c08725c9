//! Runs one request's statement on a blocking thread.
//!
//! libchdb's streaming results are a document of their own for every block (headers and footers
//! repeat), so results come through a pipe that the engine writes like a file: one document,
//! in any format, with the pipe's back-pressure.

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::answer::{Head, PieceWriter, error_within_body};
use super::coding::Encoder;
use super::exception::{Exception, LOGICAL_ERROR, READONLY, SYNTAX_ERROR};
use super::ffi::{Class, Counts, Parameters};
use super::request::Request;
use super::session::{Ended, Engine, Lease};
use super::statement::{self, InsertData, Statement};
use super::upload::{self, BodyReader, read_up_to};

/// Longest statement, as ClickHouse's `max_query_size`. The data of an insert does not count.
pub(crate) const QUERY_BYTES_MAX: usize = 256 << 10;

/// Longest multipart form: a query and its parameters.
pub(crate) const FORM_BYTES_MAX: usize = 4 << 20;

/// An error before so much output becomes the answer's status; after it, it comes within the body.
const HELD_BYTES: usize = 1 << 20;
/// The same with `wait_end_of_query=1`.
const HELD_BYTES_WAITING: usize = 64 << 20;

/// What insert data is handed to the engine in.
const APPEND_BYTES: usize = 256 << 10;

const READ_BYTES: usize = 64 << 10;

/// What comes before the body's bytes: the answer's head and, where all is known, its body.
pub(crate) type FirstAnswer = Result<(Head, Option<Bytes>), Exception>;

/// A request on its way through a blocking thread.
pub(crate) struct Job {
    pub(crate) engine: Arc<Engine>,
    pub(crate) request: Request,
    pub(crate) body: BodyReader,
    pub(crate) running: Arc<Running>,
    pub(crate) first: Option<oneshot::Sender<FirstAnswer>>,
    /// An answer that is known whole. It goes out when the connection has been given back: what
    /// the client sends next may need it.
    pub(crate) answered: Option<(Head, Bytes)>,
    pub(crate) pieces: mpsc::Sender<io::Result<Bytes>>,
}

/// A statement that may have to be cancelled.
#[derive(Default)]
pub(crate) struct Running {
    pub(crate) mark: String,
    pub(crate) ended: Ended,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self { mark: format!("holdup-{:016x}", random()), ended: Ended::default() }
    }
}

/// Cancels a read when the client has gone: its answer, in whichever state, holds this.
pub(crate) struct CancelGuard {
    pub(crate) engine: Arc<Engine>,
    pub(crate) running: Arc<Running>,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if self.running.ended.wait(std::time::Duration::ZERO) {
            return;
        }
        let (engine, running) = (Arc::clone(&self.engine), Arc::clone(&self.running));
        tokio::task::spawn_blocking(move || engine.cancel(&running.mark, &running.ended));
    }
}

impl Job {
    /// Runs the statement and answers.
    pub(crate) fn run(mut self) {
        let outcome = self.answer();
        self.running.ended.set();
        let answer = match outcome {
            Ok(()) => self.answered.take().map(|(head, body)| Ok((head, Some(body)))),
            Err(exception) => Some(Err(exception)),
        };
        self.send_first(answer);
    }

    fn answer(&mut self) -> Result<(), Exception> {
        let started = Instant::now();
        let mut body = upload::decoded(
            std::mem::take(&mut self.body),
            self.request.input,
            self.request.decompress,
        )?;
        let (text, ended) = self.text(&mut body)?;
        let valid = match str::from_utf8(&text) {
            Ok(valid) => valid,
            Err(error) => str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
        };
        let engine = Arc::clone(&self.engine);
        if let Some(insert) = statement::insert_data(valid)? {
            self.require_write_access()?;
            let mut lease = engine.lease(&self.request, &self.running.mark)?;
            let data = (&text[insert.data..]).chain(body);
            let counts = run_insert(&mut lease, &insert, &self.request.parameters, data)?;
            drop(lease);
            return self.whole(started, None, counts, &[]);
        }
        if !ended {
            return Err(Exception::new(
                SYNTAX_ERROR,
                format_args!(
                    "Max query size exceeded: a statement has at most {QUERY_BYTES_MAX} bytes"
                ),
            ));
        }
        if valid.len() < text.len() {
            return Err(Exception::new(SYNTAX_ERROR, "The statement is not UTF-8"));
        }
        let statement = Statement::parse(valid)?;
        let mut lease = engine.lease(&self.request, &self.running.mark)?;
        let (count, class) = lease.connection()?.classify(statement.sql());
        match class {
            Class::Read if count == 1 => self.read(started, &mut lease, &statement),
            Class::Read | Class::Write | Class::Control | Class::Unknown => {
                if class != Class::Unknown {
                    self.require_write_access()?;
                }
                self.run_whole(started, &mut lease, &statement)
            }
        }
    }

    fn require_write_access(&self) -> Result<(), Exception> {
        if !self.request.read_only {
            return Ok(());
        }
        Err(Exception::new(
            READONLY,
            "Cannot execute query in readonly mode. For queries over HTTP, method GET implies \
             readonly. You should use method POST for modifying queries.",
        ))
    }

    /// The text up to the longest statement; false with it if the body goes on.
    fn text(&mut self, body: &mut dyn Read) -> Result<(Vec<u8>, bool), Exception> {
        if let Some(boundary) = self.request.boundary.take() {
            let mut form = vec![0; FORM_BYTES_MAX + 1];
            let length = read_up_to(body, &mut form).map_err(|error| upload::exception(&error))?;
            if length > FORM_BYTES_MAX {
                return Err(Exception::new(
                    SYNTAX_ERROR,
                    format_args!("A form has at most {FORM_BYTES_MAX} bytes"),
                ));
            }
            self.request.form(&form[..length], &boundary)?;
            return Ok((std::mem::take(&mut self.request.query).into_bytes(), true));
        }
        let mut text = std::mem::take(&mut self.request.query).into_bytes();
        if !text.is_empty() {
            text.push(b'\n');
            let head = str::from_utf8(&text).unwrap_or_default();
            let is_insert = statement::insert_data(head)?
                .is_some_and(|insert| insert.sql.len() < head.trim_end().len());
            if is_insert {
                // The rest is data: it need not have come for the statement to be known.
                return Ok((text, false));
            }
        }
        let length = text.len();
        text.resize(length.max(QUERY_BYTES_MAX) + 1, 0);
        let read = read_up_to(body, &mut text[length..]).map_err(|e| upload::exception(&e))?;
        text.truncate(length + read);
        let ended = text.len() <= QUERY_BYTES_MAX;
        Ok((text, ended))
    }

    /// Runs a statement that returns nothing, or little.
    fn run_whole(
        &mut self,
        started: Instant,
        lease: &mut Lease<'_>,
        statement: &Statement,
    ) -> Result<(), Exception> {
        let format = self.format(statement);
        let (output, counts) = lease
            .connection()?
            .query(statement.sql(), &format, &self.request.parameters)
            .map_err(|text| Exception::from_engine(&text))?;
        self.whole(started, Some(format), counts, &output)
    }

    fn format(&self, statement: &Statement) -> String {
        let named = statement.format().or(self.request.default_format.as_deref());
        let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        named.filter(|name| !name.is_empty()).filter(is_name).unwrap_or("TabSeparated").to_owned()
    }

    /// Prepares an answer that is known whole.
    fn whole(
        &mut self,
        started: Instant,
        format: Option<String>,
        counts: Counts,
        output: &[u8],
    ) -> Result<(), Exception> {
        let mut encoded = Vec::new();
        // Nothing stays empty: an empty body needs no encoding, and clients expect none.
        let failed = |error: io::Error| Exception::new(LOGICAL_ERROR, error);
        if !output.is_empty() {
            let mut encoder = self.request.output.encode(&mut encoded).map_err(failed)?;
            encoder.write_all(output).and_then(|()| encoder.finish()).map_err(failed)?;
        }
        let mut head = self.head(started, format, counts);
        if output.is_empty() {
            head.output = super::coding::Output::Plain;
        }
        self.answered = Some((head, Bytes::from(encoded)));
        Ok(())
    }

    fn head(&self, started: Instant, format: Option<String>, counts: Counts) -> Head {
        Head {
            format,
            output: self.request.output,
            counts,
            elapsed_ns: u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            tag: random_letters(),
        }
    }

    fn send_first(&mut self, answer: Option<FirstAnswer>) {
        if let Some(answer) = answer
            && let Some(first) = self.first.take()
        {
            // The receiver is gone where the client is.
            let _ = first.send(answer);
        }
    }

    /// Runs a statement that only reads: its output comes through a pipe.
    fn read(
        &mut self,
        started: Instant,
        lease: &mut Lease<'_>,
        statement: &Statement,
    ) -> Result<(), Exception> {
        let failed = |error: io::Error| Exception::new(LOGICAL_ERROR, error);
        let (reader, writer) = io::pipe().map_err(failed)?;
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let format = self.format(statement);
        let connection = lease.connection()?;
        let ways = statement.sending_output_to(&path, &format);
        let Some(sql) = ways.into_iter().find(|sql| connection.classify(sql).1 == Class::Control)
        else {
            return self.run_whole(started, lease, statement);
        };
        let parameters = std::mem::take(&mut self.request.parameters);
        std::thread::scope(|scope| {
            let query =
                std::thread::Builder::new().name("statement".into()).spawn_scoped(scope, || {
                    let outcome = connection.query(&sql, "TabSeparated", &parameters);
                    // The end of the output.
                    drop(writer);
                    outcome
                });
            let query = query.map_err(failed)?;
            let ended = || match query.join() {
                Ok(Ok((_, counts))) => Ok(counts),
                Ok(Err(text)) => Err(Exception::from_engine(&text)),
                Err(_) => Err(Exception::new(LOGICAL_ERROR, "the statement's thread panicked")),
            };
            self.pump(started, format, reader, ended)
        })
    }

    /// Passes output on. It is read to its end in any case: the engine waits for that.
    fn pump(
        &mut self,
        started: Instant,
        format: String,
        mut output: impl Read,
        ended: impl FnOnce() -> Result<Counts, Exception>,
    ) -> Result<(), Exception> {
        let failed = |error: io::Error| Exception::new(LOGICAL_ERROR, error);
        let limit = if self.request.wait_end_of_query { HELD_BYTES_WAITING } else { HELD_BYTES };
        let mut held = Vec::new();
        let read = (&mut output).take(limit as u64).read_to_end(&mut held).map_err(failed)?;
        if read < limit {
            let counts = ended()?;
            return self.whole(started, Some(format), counts, &held);
        }
        let head = self.head(started, Some(format), Counts::default());
        let tag = head.tag.clone();
        let sink = PieceWriter::new(self.pieces.clone());
        let mut encoder = self.request.output.encode(sink).map_err(failed)?;
        self.send_first(Some(Ok((head, None))));
        let mut readable = encoder.write_all(&held).is_ok();
        drop(held);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => readable = readable && encoder.write_all(&buffer[..length]).is_ok(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        match ended() {
            // A failure to write means that nobody reads: there is no one to tell.
            Ok(_) => drop(encoder.finish()),
            Err(exception) if readable => self.break_off(encoder, &exception, &tag),
            Err(_) => {}
        }
        Ok(())
    }

    fn break_off(&self, mut encoder: Encoder<PieceWriter>, exception: &Exception, tag: &str) {
        let message = exception.message(&self.engine.version);
        let text = error_within_body(&message, tag);
        // The error gets a block of its own, at whose end clients look for it.
        let written = encoder
            .flush()
            .and_then(|()| encoder.write_all(text.as_bytes()))
            .and_then(|()| encoder.flush());
        if written.is_ok() {
            let _ = self.pieces.blocking_send(Err(io::Error::other(message)));
        }
    }
}

fn run_insert(
    lease: &mut Lease<'_>,
    insert: &InsertData,
    parameters: &Parameters,
    mut data: impl Read,
) -> Result<Counts, Exception> {
    let from_engine = |text: String| Exception::from_engine(&text);
    let connection = lease.connection()?;
    let mut stream =
        connection.insert(&insert.sql, &insert.format, parameters).map_err(from_engine)?;
    let mut buffer = vec![0; APPEND_BYTES];
    loop {
        // Dropping the stream on an error cancels it: a body that breaks off is not committed.
        let length = read_up_to(&mut data, &mut buffer).map_err(|e| upload::exception(&e))?;
        if length == 0 {
            break;
        }
        stream.append(&buffer[..length]).map_err(from_engine)?;
    }
    stream.finish().map_err(from_engine)
}

/// A number that differs from process to process and from call to call. It names things; it
/// guards nothing.
pub(crate) fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(CALLS.fetch_add(1, Ordering::Relaxed));
    hasher.finish()
}

fn random_letters() -> String {
    format!("{:016x}", random()).bytes().map(|digit| char::from(b'a' + digit % 26)).collect()
}
