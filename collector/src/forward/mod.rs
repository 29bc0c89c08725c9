//! Passes requests on to another OTLP receiver, so that holdup can stand in front of one.
//!
//! It is a second reader of the log: what was acknowledged is passed on, although the other receiver
//! was away meanwhile, or this process. A file of the log stays until both readers are done with it.
//! A request may come twice after a crash; receivers of OTLP expect that.

mod filter;
mod position;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::log::{Entry, Kept, Log, Reader, Recovered};
use crate::metrics::{Forwarded, Metrics};
use crate::request::{Encoding, Format, Kind};
use filter::Body;
use position::Position;

/// What is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// Every request as it came.
    All,
    /// All but what the crate `holdup` sends.
    Others,
}

/// Where to, and what.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Base URL of the receiver's OTLP over HTTP: `/v1/traces` and so on are below it.
    pub(crate) url: String,
    /// What is passed on.
    pub(crate) what: What,
}

/// Requests that are sent side by side.
const SIDE_BY_SIDE: usize = 8;
/// How long the receiver may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Between two tries: doubled from the one to the other.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A receiver that asks for a longer pause is asked again after this.
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(300);

/// Passes on what comes into a log.
pub(crate) struct Forwarder {
    settings: Settings,
    client: Client,
    reader: Reader,
    end: watch::Receiver<u64>,
    kept: Kept,
    position: Position,
    metrics: Arc<Metrics>,
}

/// It was told to stop in the midst of something.
struct Stopped;

impl Forwarder {
    /// One that goes on where an earlier run was, or at the log's beginning.
    ///
    /// # Errors
    ///
    /// Where the file that says how far it was can't be read.
    pub(crate) fn new(
        settings: Settings,
        log: &Log,
        recovered: &Recovered,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let position = Position::open(log.folder())?;
        let end = log.end();
        // A log that was emptied by hand begins anew.
        let next = position.next().filter(|next| *next <= *end.borrow());
        let from = next.unwrap_or(recovered.first).max(recovered.first);
        let client = Client::builder()
            .timeout(ANSWER_TIME_MAX)
            .redirect(reqwest::redirect::Policy::none())
            // It is reached without TLS, also where there are no certificates.
            .tls_certs_only([])
            .build()
            .map_err(std::io::Error::other)?;
        let (reader, kept) = (log.reader(from), log.keep_from(from));
        Ok(Self { settings, client, reader, end, kept, position, metrics })
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while self.pass_on(&mut stop).await.is_ok() {}
    }

    /// Passes on what is there, or waits for more.
    async fn pass_on(&mut self, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
        let end = *self.end.borrow_and_update();
        let entries = match block_in_place(|| self.read()) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(%error, "cannot read the log to pass requests on");
                return wait(PAUSE_MAX, stop).await;
            }
        };
        self.metrics.forward_waiting(end.saturating_sub(self.kept.from()));
        let Some(last) = entries.last().map(|(sequence, _)| *sequence) else {
            self.note(end);
            return tokio::select! {
                more = self.end.changed() => more.map_err(|_ended| Stopped),
                stopped = told(stop) => stopped,
            };
        };
        let sent = join_all(entries.iter().map(|(_, entry)| self.deliver(entry)));
        tokio::select! {
            _all = sent => {}
            stopped = told(stop) => return stopped,
        }
        self.note(last + 1);
        Ok(())
    }

    fn read(&mut self) -> std::io::Result<Vec<(u64, Entry)>> {
        let mut entries = Vec::new();
        while entries.len() < SIDE_BY_SIDE {
            let Some(found) = self.reader.find()? else { break };
            // What the disk changed is counted by the log, and passed over.
            if let Some(entry) = self.reader.read(&found)? {
                entries.push((found.sequence, entry));
            }
        }
        Ok(entries)
    }

    /// All before a sequence number is passed on.
    fn note(&mut self, next: u64) {
        if next == self.kept.from() {
            return;
        }
        match block_in_place(|| self.position.set(next)) {
            Ok(()) => self.kept.move_to(next),
            // What is noted later comes twice at worst.
            Err(error) => tracing::warn!(%error, "cannot note how far requests are passed on"),
        }
    }

    /// Sends an entry until the receiver takes or refuses it.
    async fn deliver(&self, entry: &Entry) {
        let Some(kind) = Kind::of_label(entry.label) else { return };
        let body = match self.settings.what {
            What::All => Body::AsItCame,
            What::Others => match block_in_place(|| filter::others(kind, &entry.bytes)) {
                Ok(body) => body,
                Err(reason) => {
                    tracing::warn!(%reason, "a request can't be passed on");
                    return self.metrics.forwarded(Forwarded::Refused);
                }
            },
        };
        let (bytes, encoding) = match body {
            Body::Nothing => return,
            Body::AsItCame => (entry.bytes.clone(), kind.encoding),
            Body::Rest(bytes) => (bytes.into(), Encoding::Plain),
        };
        let mut pause = PAUSE_MIN;
        loop {
            let request = self.request(kind, encoding).body(bytes.clone());
            let again = match request.send().await {
                Ok(answer) if answer.status().is_success() => {
                    return self.metrics.forwarded(Forwarded::Taken);
                }
                Ok(answer) if !is_transient(answer.status()) => {
                    let status = answer.status();
                    tracing::warn!(%status, "{} refuses a request of {kind}", self.settings.url);
                    return self.metrics.forwarded(Forwarded::Refused);
                }
                Ok(answer) => asked_pause(&answer),
                Err(error) => {
                    tracing::debug!(%error, "{} can't be reached", self.settings.url);
                    None
                }
            };
            self.metrics.forwarded(Forwarded::PutOff);
            sleep(again.unwrap_or(pause)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn request(&self, kind: Kind, encoding: Encoding) -> reqwest::RequestBuilder {
        let base = self.settings.url.trim_end_matches('/');
        let url = format!("{base}/v1/{}", kind.signal.name());
        let media_type = match kind.format {
            Format::Protobuf => "application/x-protobuf",
            Format::Json => "application/json",
        };
        let request = self.client.post(url).header(CONTENT_TYPE, media_type);
        match encoding {
            Encoding::Plain => request,
            Encoding::Gzip => request.header(CONTENT_ENCODING, "gzip"),
            Encoding::Zstd => request.header(CONTENT_ENCODING, "zstd"),
        }
    }
}

/// What OTLP says may be tried again.
fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

fn asked_pause(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(ASKED_PAUSE_MAX))
}

async fn wait(pause: Duration, stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
    tokio::select! {
        () = sleep(pause) => Ok(()),
        stopped = told(stop) => stopped,
    }
}

/// Returns when it is told to stop, or nobody is left to tell it.
async fn told(stop: &mut watch::Receiver<bool>) -> Result<(), Stopped> {
    let _told = stop.wait_for(|stop| *stop).await;
    Err(Stopped)
}
