//! A request that a broker kept meanwhile, rather than one over a connection of its sender.

use std::sync::Arc;

use bytes::Bytes;

use super::body::BodyError;
use super::{INLINE_BYTES_MAX, Receiver, read};
use crate::batch::NotTaken;
use crate::clock::now_ns;
use crate::metrics::Transport;
use crate::request::{Encoding, Format, Kind, Request, Signal, fingerprint};

/// Why a message is not in the log.
#[derive(Debug)]
pub(crate) enum Untaken {
    /// It never will be.
    Unusable(String),
    /// It may be later.
    NotTaken(NotTaken),
}

impl Receiver {
    /// Takes the request that a message is, as protobuf. Returns once it is on disk.
    pub(crate) async fn message(&self, signal: Signal, body: Bytes) -> Result<(), Untaken> {
        let bytes_max = self.limits.http_bytes_max;
        if body.len() > bytes_max {
            self.metrics.refused(Transport::Kafka, "body");
            return Err(Untaken::Unusable(BodyError::TooLarge(bytes_max).to_string()));
        }
        let room = self.intake.reserve(body.len()).map_err(Untaken::NotTaken)?;
        let inline = body.len() <= INLINE_BYTES_MAX;
        let limits = Arc::clone(&self.limits);
        let stored = Arc::clone(self.intake.stored_stacks());
        let kind = Kind { signal, format: Format::Protobuf, encoding: Encoding::Plain };
        let work = move || {
            let received_ns = now_ns();
            let fingerprint = fingerprint(signal, &body);
            let (of, limits) = ((signal, Format::Protobuf), (&*limits, Some(&*stored)));
            let rows = read::rows(of, body.clone(), limits, received_ns);
            rows.map(|rows| (Request { kind, received_ns, body, fingerprint }, rows))
        };
        let (request, rows) = match self.work(inline, work).await {
            Some(Ok(taken)) => taken,
            Some(Err(reason)) => return Err(self.unusable(reason.to_string())),
            None => return Err(self.unusable("reading it failed, a bug in holdup".into())),
        };
        let answer = self.answer(request, rows, room, Transport::Kafka).await;
        answer.map(drop).map_err(Untaken::NotTaken)
    }

    fn unusable(&self, reason: String) -> Untaken {
        self.metrics.refused(Transport::Kafka, "corrupt");
        Untaken::Unusable(reason)
    }
}
