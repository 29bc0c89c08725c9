//! ClickHouse's compressed blocks, which `compress=1` and `decompress=1` ask for: 16 bytes of
//! CityHash128 (v1.0.2) over what follows, a method, two sizes, the data.
//! <https://clickhouse.com/docs/reference/interfaces/specs/NativeFormat#frame-format>

use std::io::{self, Read, Write};

use super::exception::{
    CANNOT_DECOMPRESS, CANNOT_READ_ALL_DATA, CHECKSUM_DOESNT_MATCH, Exception,
    UNKNOWN_COMPRESSION_METHOD,
};
use super::upload::read_up_to;

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;

/// Blocks larger than this, packed or not, are refused: one is in memory at a time.
pub(crate) const BLOCK_BYTES_MAX: usize = 64 << 20;

/// What a written block holds, as in ClickHouse.
const WRITTEN_BLOCK_BYTES: usize = 1 << 20;

/// Reads the content of compressed blocks.
pub(crate) struct BlockReader<R> {
    inner: R,
    content: Vec<u8>,
    position: usize,
}

impl<R: Read> BlockReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, content: Vec::new(), position: 0 }
    }

    /// Reads the next block; false at the end of the input.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut head = [0; CHECKSUM_BYTES + HEADER_BYTES];
        let read = read_up_to(&mut self.inner, &mut head)?;
        if read == 0 {
            return Ok(false);
        }
        if read < head.len() {
            return Err(truncated());
        }
        let (checksum, header) = head.split_at(CHECKSUM_BYTES);
        let packed = little_endian(&header[1..5]);
        let unpacked = little_endian(&header[5..9]);
        if !(HEADER_BYTES..=BLOCK_BYTES_MAX).contains(&packed) || unpacked > BLOCK_BYTES_MAX {
            return Err(other(Exception::new(
                CANNOT_DECOMPRESS,
                format_args!(
                    "A compressed block of {packed} bytes that holds {unpacked} is out of range \
                     (at most {BLOCK_BYTES_MAX}): is the body compressed at all?"
                ),
            )));
        }
        let mut hashed = header.to_vec();
        hashed.resize(packed, 0);
        let data = &mut hashed[HEADER_BYTES..];
        if read_up_to(&mut self.inner, data)? < packed - HEADER_BYTES {
            return Err(truncated());
        }
        if city_hash(&hashed) != checksum {
            return Err(other(Exception::new(
                CHECKSUM_DOESNT_MATCH,
                "Checksum doesn't match: corrupted data in a compressed block of the request",
            )));
        }
        self.content = unpack(header[0], &hashed[HEADER_BYTES..], unpacked)?;
        self.position = 0;
        Ok(true)
    }
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.content.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.content.len() - self.position);
        buffer[..length].copy_from_slice(&self.content[self.position..self.position + length]);
        self.position += length;
        Ok(length)
    }
}

fn unpack(method: u8, data: &[u8], size: usize) -> io::Result<Vec<u8>> {
    let broken = |reason: String| {
        other(Exception::new(CANNOT_DECOMPRESS, format_args!("Cannot decompress: {reason}")))
    };
    let content = match method {
        METHOD_NONE => data.to_vec(),
        METHOD_LZ4 => {
            lz4_flex::block::decompress(data, size).map_err(|error| broken(error.to_string()))?
        }
        METHOD_ZSTD => {
            zstd::bulk::decompress(data, size).map_err(|error| broken(error.to_string()))?
        }
        _ => {
            return Err(other(Exception::new(
                UNKNOWN_COMPRESSION_METHOD,
                format_args!("Unknown compression method: {method:#x}"),
            )));
        }
    };
    if content.len() == size {
        Ok(content)
    } else {
        Err(broken(format!("{} bytes where the block's head says {size}", content.len())))
    }
}

/// Writes its input as LZ4 blocks.
pub(crate) struct BlockWriter<W: Write> {
    inner: W,
    pending: Vec<u8>,
}

impl<W: Write> BlockWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, pending: Vec::new() }
    }
}

impl<W: Write> Write for BlockWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(WRITTEN_BLOCK_BYTES - self.pending.len());
        self.pending.extend_from_slice(&bytes[..length]);
        if self.pending.len() == WRITTEN_BLOCK_BYTES {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.inner.write_all(&lz4_block(&self.pending)?)?;
        self.pending.clear();
        self.inner.flush()
    }
}

fn lz4_block(content: &[u8]) -> io::Result<Vec<u8>> {
    let data = lz4_flex::block::compress(content);
    let size = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
    let mut hashed = Vec::with_capacity(HEADER_BYTES + data.len());
    hashed.push(METHOD_LZ4);
    hashed.extend(size(HEADER_BYTES + data.len())?.to_le_bytes());
    hashed.extend(size(content.len())?.to_le_bytes());
    hashed.extend(data);
    let mut block = city_hash(&hashed).to_vec();
    block.extend(hashed);
    Ok(block)
}

/// ClickHouse writes the two halves the other way round than the crate's number has them.
fn city_hash(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    cityhash_rs::cityhash_102_128(bytes).rotate_right(64).to_le_bytes()
}

fn little_endian(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
}

fn truncated() -> io::Error {
    other(Exception::new(CANNOT_READ_ALL_DATA, "The body ends in the middle of a compressed block"))
}

fn other(exception: Exception) -> io::Error {
    io::Error::other(exception)
}

impl std::error::Error for Exception {}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        let mut writer = BlockWriter::new(&mut packed);
        writer.write_all(content).unwrap();
        writer.flush().unwrap();
        packed
    }

    fn unpacked(packed: &[u8]) -> Result<Vec<u8>, u32> {
        let mut content = Vec::new();
        match BlockReader::new(packed).read_to_end(&mut content) {
            Ok(_) => Ok(content),
            Err(error) => {
                let exception = error.get_ref().and_then(|inner| inner.downcast_ref::<Exception>());
                Err(exception.map_or(0, |exception| exception.code))
            }
        }
    }

    #[test]
    fn blocks_come_back() {
        for size in [0, 1, 100, WRITTEN_BLOCK_BYTES, 3 * WRITTEN_BLOCK_BYTES + 7] {
            let content: Vec<u8> = (0..size).map(|i| (i / 3 % 251) as u8).collect();
            assert_eq!(unpacked(&packed(&content)).as_deref(), Ok(&content[..]), "{size}");
        }
    }

    #[test]
    fn each_damage_has_its_error() {
        let good =
            packed(b"some content that is long enough to be worth a block, a block, a block");
        let damage = |index: usize| {
            let mut bad = good.clone();
            bad[index] ^= 1;
            unpacked(&bad)
        };
        assert_eq!(damage(0), Err(40), "the checksum");
        assert_eq!(damage(good.len() - 1), Err(40), "the data");
        assert_eq!(damage(20), Err(33), "the size");
        assert_eq!(unpacked(&good[..good.len() - 1]), Err(33), "cut short");
        assert_eq!(unpacked(&good[..7]), Err(33), "cut in the head");
        assert_eq!(unpacked(b"SELECT 1, 'not compressed at all'"), Err(271));
    }

    #[test]
    fn an_unknown_method_is_named() {
        let mut bad = packed(b"x");
        bad[16] = 0x77;
        let hash = city_hash(&bad[16..]);
        bad[..16].copy_from_slice(&hash);
        assert_eq!(unpacked(&bad), Err(89));
    }
}
