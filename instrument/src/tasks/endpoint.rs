//! A dump for whoever asks on the loopback interface, from a thread of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::install::InstallError;
use crate::tasks::dump;

/// More of a request is not read.
const REQUEST_BYTES_MAX: u64 = 8 * 1024;
/// How long a client may take. There is one at a time.
const PATIENCE: Duration = Duration::from_secs(1);

/// The running thread. Ends with the drop.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// Listens at an address of the loopback interface.
    pub(crate) fn open(address: SocketAddr) -> Result<Self, InstallError> {
        let fails = |source| InstallError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(fails)?;
        let address = listener.local_addr().map_err(fails)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let body = move || serve(&listener, &stopped);
        let thread = thread::Builder::new()
            .name("holdup-tasks".to_owned())
            .spawn(body)
            .map_err(|source| InstallError::Thread { source })?;
        tracing::info!(target: "holdup", "live tasks are told at http://{address}/tasks");
        Ok(Self { address, stop, thread: Some(thread) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread from its wait for a client.
        let woken = TcpStream::connect_timeout(&self.address, PATIENCE);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, stopped: &AtomicBool) {
    for stream in listener.incoming() {
        if stopped.load(Ordering::Acquire) {
            return;
        }
        match stream {
            // A client that goes away has its answer all the same.
            Ok(stream) => drop(answer(&stream)),
            // Too many open files, for one: it may pass.
            Err(_) => thread::sleep(PATIENCE),
        }
    }
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = Request::read(&mut BufReader::new(stream.take(REQUEST_BYTES_MAX)))?;
    let (status, kind, body) = request.answer();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nconnection: close\r\n\r\n{body}",
        body.len(),
    )
}

#[derive(Debug, Default)]
struct Request {
    line: String,
    host: String,
    wants_json: bool,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> std::io::Result<Self> {
        let mut request = Self::default();
        reader.read_line(&mut request.line)?;
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                return Ok(request);
            }
            let Some((name, value)) = header.split_once(':') else { continue };
            match name.trim().to_ascii_lowercase().as_str() {
                "host" => value.trim().clone_into(&mut request.host),
                "accept" => request.wants_json = value.contains("application/json"),
                _ => {}
            }
        }
    }

    fn answer(&self) -> (&'static str, &'static str, String) {
        const TEXT: &str = "text/plain; charset=utf-8";
        let path = self.line.split(' ').nth(1).unwrap_or_default();
        if !is_local(&self.host) {
            // A page in a browser that was led here by a name of its own.
            return (
                "403 Forbidden",
                TEXT,
                "ask with a Host of the loopback interface\n".to_owned(),
            );
        }
        match self.line.split(' ').next() {
            Some("GET") if path == "/tasks" && self.wants_json => {
                ("200 OK", "application/json", dump().to_json())
            }
            Some("GET") if path == "/tasks" => ("200 OK", TEXT, dump().to_string()),
            Some("GET") => ("404 Not Found", TEXT, "there is /tasks\n".to_owned()),
            _ => ("405 Method Not Allowed", TEXT, "there is GET /tasks\n".to_owned()),
        }
    }
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_names_are_answered() {
        for local in ["localhost", "localhost:4390", "127.0.0.1:4390", "[::1]:1", "127.0.0.2"] {
            assert!(is_local(local), "{local}");
        }
        for other in ["", "evil.example", "evil.example:4390", "10.0.0.1", "localhost.evil.example"]
        {
            assert!(!is_local(other), "{other}");
        }
    }
}
