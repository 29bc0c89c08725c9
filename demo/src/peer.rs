//! A peer on loopback that takes its time to answer.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const THINKS: Duration = Duration::from_millis(50);

/// Starts the peer and returns its address. Its thread ends with the process.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("slow-peer".into()).spawn(move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(answer) {
                tracing::warn!("the slow peer could not answer: {error}");
            }
        }
    })?;
    Ok(address)
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut question = String::new();
    BufReader::new(&stream).read_line(&mut question)?;
    thread::sleep(THINKS);
    stream.write_all(b"1.25\n")
}
