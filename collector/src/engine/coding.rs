//! Encodings of bodies: ClickHouse's own blocks, and those of HTTP.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::block::BlockWriter;
use super::exception::{Exception, UNKNOWN_COMPRESSION_METHOD};

/// `Content-Encoding` of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Input {
    #[default]
    Plain,
    Gzip,
    Deflate,
    Zstd,
    Lz4,
}

impl Input {
    pub(crate) fn from_header(value: Option<&str>) -> Result<Self, Exception> {
        match value.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            "lz4" => Ok(Self::Lz4),
            other => Err(Exception::new(
                UNKNOWN_COMPRESSION_METHOD,
                format_args!(
                    "Content-Encoding '{other}' is not supported: use gzip, deflate, zstd or lz4"
                ),
            )),
        }
    }

    pub(crate) fn decode(self, body: impl Read + 'static) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Plain => Box::new(body),
            Self::Gzip => Box::new(MultiGzDecoder::new(body)),
            Self::Deflate => Box::new(ZlibDecoder::new(body)),
            Self::Zstd => Box::new(zstd::Decoder::new(body)?),
            Self::Lz4 => Box::new(FrameDecoder::new(body)),
        })
    }
}

/// How an answer is encoded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Output {
    #[default]
    Plain,
    /// ClickHouse's compressed blocks, which no header of the answer tells.
    Blocks,
    Gzip,
    Deflate,
    Zstd,
    Lz4,
}

impl Output {
    /// The first of `Accept-Encoding` that is known here; as in ClickHouse, weights don't count.
    pub(crate) fn from_header(accept: &str) -> Self {
        let known = |part: &str| {
            let (name, weight) = part.split_once(';').unwrap_or((part, ""));
            if matches!(weight.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000") {
                return None;
            }
            match name.trim().to_ascii_lowercase().as_str() {
                "lz4" => Some(Self::Lz4),
                "zstd" => Some(Self::Zstd),
                "gzip" => Some(Self::Gzip),
                "deflate" => Some(Self::Deflate),
                _ => None,
            }
        };
        accept.split(',').find_map(known).unwrap_or_default()
    }

    /// Value of `Content-Encoding`.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Blocks => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Lz4 => Some("lz4"),
        }
    }

    pub(crate) fn encode<W: Write>(self, sink: W) -> io::Result<Encoder<W>> {
        Ok(match self {
            Self::Plain => Encoder::Plain(sink),
            Self::Blocks => Encoder::Blocks(BlockWriter::new(sink)),
            Self::Gzip => Encoder::Gzip(GzEncoder::new(sink, Compression::new(3))),
            Self::Deflate => Encoder::Deflate(ZlibEncoder::new(sink, Compression::new(3))),
            Self::Zstd => Encoder::Zstd(zstd::Encoder::new(sink, 3)?),
            Self::Lz4 => {
                let info = FrameInfo::new().block_size(BlockSize::Max256KB);
                Encoder::Lz4(Box::new(FrameEncoder::with_frame_info(info, sink)))
            }
        })
    }
}

/// Encodes what is written to it.
pub(crate) enum Encoder<W: Write> {
    Plain(W),
    Blocks(BlockWriter<W>),
    Gzip(GzEncoder<W>),
    Deflate(ZlibEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
    Lz4(Box<FrameEncoder<W>>),
}

impl<W: Write> Encoder<W> {
    fn inner(&mut self) -> &mut dyn Write {
        match self {
            Self::Plain(inner) => inner,
            Self::Blocks(inner) => inner,
            Self::Gzip(inner) => inner,
            Self::Deflate(inner) => inner,
            Self::Zstd(inner) => inner,
            Self::Lz4(inner) => inner,
        }
    }

    /// Writes what ends the encoding.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut inner) => inner.flush(),
            Self::Blocks(mut inner) => inner.flush(),
            Self::Gzip(inner) => inner.finish()?.flush(),
            Self::Deflate(inner) => inner.finish()?.flush(),
            Self::Zstd(inner) => inner.finish()?.flush(),
            Self::Lz4(inner) => inner.finish().map_err(io::Error::other)?.flush(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner().flush()?;
        match self {
            // This one ends its block, and leaves it in what it writes to.
            Self::Lz4(inner) => inner.get_mut().flush(),
            Self::Plain(_) | Self::Blocks(_) | Self::Gzip(_) | Self::Deflate(_) | Self::Zstd(_) => {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_output_can_be_read_by_its_input() {
        let content: Vec<u8> = (0..2_000_000u32).map(|i| (i / 7 % 253) as u8).collect();
        for (output, input) in [
            (Output::Plain, Input::Plain),
            (Output::Gzip, Input::Gzip),
            (Output::Deflate, Input::Deflate),
            (Output::Zstd, Input::Zstd),
            (Output::Lz4, Input::Lz4),
        ] {
            let mut encoded = Vec::new();
            let mut encoder = output.encode(&mut encoded).unwrap();
            encoder.write_all(&content).unwrap();
            encoder.flush().unwrap();
            encoder.write_all(b"end").unwrap();
            encoder.finish().unwrap();
            let mut decoded = Vec::new();
            input.decode(io::Cursor::new(encoded)).unwrap().read_to_end(&mut decoded).unwrap();
            assert!(decoded.starts_with(&content) && decoded.ends_with(b"end"), "{output:?}");
        }
    }

    #[test]
    fn the_first_known_encoding_is_taken() {
        assert_eq!(Output::from_header("br, gzip;q=0.5, lz4"), Output::Gzip);
        assert_eq!(Output::from_header("gzip;q=0, zstd"), Output::Zstd);
        assert_eq!(Output::from_header("*"), Output::Plain);
        assert_eq!(Input::from_header(Some("br")).unwrap_err().code, 89);
    }
}
