//! Decompresses a request's body within a bound.

use std::io::Read;

use bytes::Bytes;

use crate::request::Encoding;

/// Why a body can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Not an encoding that we know.
    #[error("content encoding {0:?} is not supported: send none, gzip or zstd")]
    Encoding(String),
    /// Longer than allowed, once decompressed.
    #[error("the request is larger than {0} bytes: send smaller batches, or raise the limit")]
    TooLarge(usize),
    /// Does not decompress.
    #[error("the body is no valid {encoding}: {reason}")]
    Corrupt {
        /// What it should be.
        encoding: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// The encoding of this name.
pub(super) fn encoding(name: &str) -> Result<Encoding, BodyError> {
    let unknown = || BodyError::Encoding(name.chars().take(40).collect());
    Encoding::named(name).ok_or_else(unknown)
}

/// The body as it was before it was encoded. Never reads more than `bytes_max` of it.
pub(crate) fn decompress(
    body: &Bytes,
    encoding: Encoding,
    bytes_max: usize,
) -> Result<Bytes, BodyError> {
    match encoding {
        Encoding::Plain => {
            if body.len() > bytes_max {
                return Err(BodyError::TooLarge(bytes_max));
            }
            Ok(body.clone())
        }
        Encoding::Gzip => read("gzip", flate2::read::MultiGzDecoder::new(&body[..]), bytes_max),
        Encoding::Zstd => {
            let corrupt =
                |e: std::io::Error| BodyError::Corrupt { encoding: "zstd", reason: e.to_string() };
            let mut decoder = zstd::stream::read::Decoder::new(&body[..]).map_err(corrupt)?;
            // A window of 8 MiB is what RFC 8878 asks every decoder to take, and bounds memory.
            decoder.window_log_max(23).map_err(corrupt)?;
            read("zstd", decoder, bytes_max)
        }
    }
}

fn read(encoding: &'static str, decoder: impl Read, bytes_max: usize) -> Result<Bytes, BodyError> {
    let bound = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut out = Vec::new();
    let read = decoder.take(bound).read_to_end(&mut out);
    read.map_err(|e| BodyError::Corrupt { encoding, reason: e.to_string() })?;
    if out.len() > bytes_max {
        return Err(BodyError::TooLarge(bytes_max));
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use bytes::Bytes;

    use super::{BodyError, encoding};

    fn decompress(body: &[u8], name: &str, bytes_max: usize) -> Result<Bytes, BodyError> {
        super::decompress(&Bytes::copy_from_slice(body), encoding(name)?, bytes_max)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn every_encoding_comes_back() {
        let text = b"poll span ".repeat(100);
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        for (body, encoding) in [
            (text.clone(), ""),
            (text.clone(), "identity"),
            (gzip(&text), "gzip"),
            (gzip(&text), " GZIP"),
            (zstd, "zstd"),
        ] {
            assert_eq!(decompress(&body, encoding, 1_000).unwrap(), text, "{encoding}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_bound() {
        let zeroes = vec![0; 64 << 20];
        for (body, encoding) in
            [(gzip(&zeroes), "gzip"), (zstd::encode_all(&zeroes[..], 3).unwrap(), "zstd")]
        {
            assert_eq!(decompress(&body, encoding, 1 << 20), Err(BodyError::TooLarge(1 << 20)));
        }
        assert_eq!(decompress(&[0; 11], "", 10), Err(BodyError::TooLarge(10)));
    }

    #[test]
    fn what_is_no_gzip_is_said_to_be_none() {
        for encoding in ["gzip", "zstd"] {
            let error = decompress(b"plainly not", encoding, 100).unwrap_err();
            assert!(matches!(error, BodyError::Corrupt { .. }), "{error:?}");
        }
        let error = decompress(b"", "br", 100).unwrap_err().to_string();
        assert!(error.contains("\"br\" is not supported: send none, gzip or zstd"), "{error}");
    }
}
