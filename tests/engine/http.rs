//! HTTP by hand, as curl would send it: nothing between the test and the bytes.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::running::DEADLINE;

/// A request.
pub(super) struct Call {
    head: String,
    body: Vec<u8>,
}

impl Call {
    pub(super) fn get(target: &str) -> Self {
        Self { head: format!("GET {target} HTTP/1.1\r\n"), body: Vec::new() }
    }

    pub(super) fn post(target: &str, body: &[u8]) -> Self {
        let head = format!("POST {target} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        Self { head, body: body.to_owned() }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Sends it, and leaves the answer in the socket.
    pub(super) fn start(self, address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!("{}Host: {address}\r\nConnection: close\r\n\r\n", self.head);
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&self.body).unwrap();
        stream
    }

    pub(super) fn send(self, address: SocketAddr) -> Answer {
        let mut bytes = Vec::new();
        self.start(address).read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
    /// The body has the end that its head announced.
    pub(super) is_whole: bool,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("no end of the head");
        let head = str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<String, String> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        let (body, is_whole) = match headers.get("content-length") {
            Some(length) => (rest.to_owned(), rest.len() == length.parse::<usize>().unwrap()),
            None => unchunk(rest),
        };
        Self { status, headers, body, is_whole }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Fails unless it is this error of ClickHouse's.
    pub(super) fn is_error(&self, status: u16, code: u32, text: &str) {
        let said = self.text();
        assert_eq!(self.status, status, "{said}");
        assert_eq!(self.header("x-clickhouse-exception-code"), code.to_string(), "{said}");
        assert!(said.starts_with(&format!("Code: {code}. DB::Exception: ")), "{said}");
        assert!(said.contains(text), "{said}");
    }
}

fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|w| w == b"\r\n") else { return (body, false) };
        let size = usize::from_str_radix(str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        let available = size.min(rest.len());
        body.extend_from_slice(&rest[..available]);
        if rest.len() < size + 2 {
            return (body, false);
        }
        rest = &rest[size + 2..];
    }
}
