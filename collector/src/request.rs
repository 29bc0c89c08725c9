//! A request as it came: what the log keeps, and what rows are made of, at once or after a restart.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::log::Entry;

/// The signals of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Spans.
    Traces,
    /// Numbers.
    Metrics,
    /// Records.
    Logs,
}

impl Signal {
    /// What of it makes rows.
    pub(crate) fn of_ours(self) -> &'static str {
        match self {
            Self::Traces => "poll spans",
            Self::Metrics => "points of metrics",
            Self::Logs => "tasks",
        }
    }

    /// Its name in paths and texts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// The two formats of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Of gRPC, and of most of HTTP.
    Protobuf,
    /// Of HTTP.
    Json,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

impl Encoding {
    /// The encoding that a `Content-Encoding` names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Some(Self::Plain),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Which signal it carries.
    pub(crate) signal: Signal,
    /// Its format.
    pub(crate) format: Format,
    /// How it is compressed.
    pub(crate) encoding: Encoding,
}

impl Kind {
    /// As one number: that of the log's label.
    fn label(self) -> u32 {
        let signal = match self.signal {
            Signal::Traces => 1,
            Signal::Metrics => 2,
            Signal::Logs => 3,
        };
        let format = match self.format {
            Format::Protobuf => 1,
            Format::Json => 2,
        };
        let encoding = match self.encoding {
            Encoding::Plain => 0,
            Encoding::Gzip => 1,
            Encoding::Zstd => 2,
        };
        signal | format << 8 | encoding << 16
    }

    /// What [`Kind::label`] stands for.
    pub(crate) fn of_label(label: u32) -> Option<Self> {
        let signals = [Signal::Traces, Signal::Metrics, Signal::Logs];
        let formats = [Format::Protobuf, Format::Json];
        let encodings = [Encoding::Plain, Encoding::Gzip, Encoding::Zstd];
        let kinds = signals.into_iter().flat_map(|signal| {
            formats.into_iter().flat_map(move |format| {
                encodings.into_iter().map(move |encoding| Self { signal, format, encoding })
            })
        });
        kinds.into_iter().find(|kind| kind.label() == label)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let format = match self.format {
            Format::Protobuf => "protobuf",
            Format::Json => "json",
        };
        write!(f, "{} as {format}", self.signal.name())?;
        match self.encoding {
            Encoding::Plain => Ok(()),
            Encoding::Gzip => f.write_str(", gzip"),
            Encoding::Zstd => f.write_str(", zstd"),
        }
    }
}

/// A body, and what there is to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// What it is.
    pub(crate) kind: Kind,
    /// When it arrived, ns since 1970.
    pub(crate) received_ns: u64,
    /// The body as it came.
    pub(crate) body: Bytes,
    /// Names it: a client that repeats it byte for byte sends the same.
    pub(crate) fingerprint: u128,
}

/// The fingerprint of a body, decompressed.
pub(crate) fn fingerprint(signal: Signal, body: &[u8]) -> u128 {
    xxh3_128_with_seed(body, u64::from(signal as u8))
}

impl From<Request> for Entry {
    fn from(request: Request) -> Self {
        Self {
            key: request.fingerprint,
            time_ns: request.received_ns,
            label: request.kind.label(),
            bytes: request.body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Format, Kind, Signal, fingerprint};

    #[test]
    fn a_label_says_what_the_bytes_are() {
        for signal in [Signal::Traces, Signal::Metrics, Signal::Logs] {
            for format in [Format::Protobuf, Format::Json] {
                for encoding in [Encoding::Plain, Encoding::Gzip, Encoding::Zstd] {
                    let kind = Kind { signal, format, encoding };
                    assert_eq!(Kind::of_label(kind.label()), Some(kind));
                }
            }
        }
        assert_eq!(Kind::of_label(0), None);
    }

    #[test]
    fn the_same_bytes_of_another_signal_are_another_request() {
        let of = |signal| fingerprint(signal, b"same");
        assert_ne!(of(Signal::Traces), of(Signal::Logs));
    }
}
