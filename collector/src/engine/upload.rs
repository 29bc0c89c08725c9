//! A request's body as a blocking reader.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::block::BlockReader;
use super::coding::Input;
use super::exception::{CANNOT_DECOMPRESS, Exception, NETWORK_ERROR};

/// Pieces of a body between the connection and the engine.
const PIECES_MAX: usize = 4;

/// What is read of a body whose statement has failed already. A client that is still sending
/// would otherwise find its connection reset before it could read the error.
const DRAINED_BYTES_MAX: usize = 256 << 20;

enum Piece {
    Data(Bytes),
    End,
}

/// Reads a body. Its end is told apart from a connection that broke.
#[derive(Default)]
pub(crate) struct BodyReader {
    pieces: Option<mpsc::Receiver<Piece>>,
    current: Bytes,
}

/// Starts to take in a body.
pub(crate) fn reader(mut body: Incoming) -> BodyReader {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let mut drained = 0;
        while let Some(frame) = body.frame().await {
            // Without the piece that says so, the reader takes this for no end.
            let Ok(frame) = frame else { return };
            let Ok(data) = frame.into_data() else { continue };
            let length = data.len();
            if sender.send(Piece::Data(data)).await.is_err() {
                drained += length;
                if drained > DRAINED_BYTES_MAX {
                    return;
                }
            }
        }
        let _ = sender.send(Piece::End).await;
    });
    BodyReader { pieces: Some(pieces), current: Bytes::new() }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let Some(pieces) = &mut self.pieces else { return Ok(0) };
            match pieces.blocking_recv() {
                Some(Piece::Data(data)) => self.current = data,
                Some(Piece::End) => self.pieces = None,
                None => {
                    return Err(io::Error::other(Exception::new(
                        NETWORK_ERROR,
                        "The connection ended in the middle of the request's body",
                    )));
                }
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// The body without its encodings.
pub(crate) fn decoded(
    body: BodyReader,
    input: Input,
    blocks: bool,
) -> Result<Box<dyn Read>, Exception> {
    let body = input.decode(body).map_err(|error| exception(&error))?;
    Ok(if blocks { Box::new(BlockReader::new(body)) } else { body })
}

/// What went wrong in reading a body.
pub(crate) fn exception(error: &io::Error) -> Exception {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Exception>()) {
        Some(exception) => exception.clone(),
        None => Exception::new(CANNOT_DECOMPRESS, format_args!("Cannot decode the body: {error}")),
    }
}

/// Fills the buffer as far as the reader goes.
pub(crate) fn read_up_to(
    reader: &mut (impl Read + ?Sized),
    buffer: &mut [u8],
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
