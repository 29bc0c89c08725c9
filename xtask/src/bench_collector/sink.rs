//! An address that is ClickHouse to whoever asks, and swallows what is inserted: bodies are read to
//! their end and answered, and all else is asked of a real engine. Questions for single rows, by
//! which the collector makes sure of what it sent, are answered with yes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What came in so far.
#[derive(Debug, Default)]
pub(super) struct Swallowed {
    pub(super) inserts: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// Begins to swallow, for as long as this process lives.
pub(super) fn start(engine: SocketAddr) -> io::Result<(SocketAddr, Arc<Swallowed>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let swallowed = Arc::new(Swallowed::default());
    let counts = Arc::clone(&swallowed);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let counts = Arc::clone(&counts);
            // A connection that breaks is its client's affair.
            thread::spawn(move || serve(&stream, engine, &counts).ok());
        }
    });
    Ok((address, swallowed))
}

/// A request's head: its lines, and how its body ends.
struct Head {
    lines: Vec<String>,
    length: usize,
    chunked: bool,
}

fn serve(stream: &TcpStream, engine: SocketAddr, counts: &Swallowed) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::with_capacity(256 << 10, stream);
    let mut out = stream;
    while let Some(head) = read_head(&mut input)? {
        let target = head.lines.first().map_or("", String::as_str);
        if !target.contains("INSERT") {
            return forward(&mut input, &head, engine, out);
        }
        let mut bytes = 0;
        body(&mut input, &head, |part| bytes += part.len())?;
        counts.inserts.fetch_add(1, Ordering::Relaxed);
        counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

fn read_head(input: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut head = Head { lines: Vec::new(), length: 0, chunked: false };
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            return Ok(Some(head));
        }
        let lower = line.to_ascii_lowercase();
        if let Some(length) = lower.strip_prefix("content-length:") {
            head.length = length.trim().parse().map_err(io::Error::other)?;
        }
        head.chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        head.lines.push(line);
    }
}

/// Reads a body to its end.
fn body(input: &mut impl BufRead, head: &Head, mut part: impl FnMut(&[u8])) -> io::Result<()> {
    if !head.chunked {
        return take(input, head.length, &mut part);
    }
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        take(input, length, &mut part)?;
        input.read_line(&mut line)?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn take(
    input: &mut impl BufRead,
    mut length: usize,
    part: &mut impl FnMut(&[u8]),
) -> io::Result<()> {
    while length > 0 {
        let there = input.fill_buf()?;
        if there.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = there.len().min(length);
        part(&there[..taken]);
        input.consume(taken);
        length -= taken;
    }
    Ok(())
}

/// Asks the engine, and ends the connection with its answer.
fn forward(
    input: &mut impl BufRead,
    head: &Head,
    engine: SocketAddr,
    mut out: impl Write,
) -> io::Result<()> {
    let mut asked = Vec::new();
    body(input, head, |part| asked.extend_from_slice(part))?;
    let asked = String::from_utf8_lossy(&asked);
    // Whether a row is there: it was swallowed.
    let asked = asked.replace("count() > 0", "count() >= 0");
    let mut to = TcpStream::connect(engine)?;
    for line in &head.lines {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            write!(to, "{line}\r\n")?;
        }
    }
    write!(to, "Content-Length: {}\r\nConnection: close\r\n\r\n{asked}", asked.len())?;
    let mut answer = Vec::new();
    to.read_to_end(&mut answer)?;
    out.write_all(&answer)
}
