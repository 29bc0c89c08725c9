//! A server over HTTP that keeps what it gets and answers as a test says, also in ways in which no
//! well-kept server can be made to.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

/// What is answered.
pub(crate) enum Reply {
    Http {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    /// Nothing, for ever.
    Hang,
    /// The connection is reset.
    Reset,
    /// What is not HTTP.
    Garbage,
}

impl Reply {
    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::Http { status, headers: Vec::new(), body: body.to_owned() }
    }

    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::text(status, body).with("content-type", "application/json")
    }

    pub(crate) fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Http { status, mut headers, body } => {
                headers.push((name, value.to_owned()));
                Self::Http { status, headers, body }
            }
            other => other,
        }
    }
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

type Script = fn(usize) -> Reply;

/// A running one. Its threads end with the test.
pub(crate) struct Server {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub(crate) fn start(script: Script) -> Self {
        Self::listen(None, script)
    }

    pub(crate) fn start_tls(config: Arc<ServerConfig>, script: Script) -> Self {
        Self::listen(Some(config), script)
    }

    fn listen(tls: Option<Arc<ServerConfig>>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (tls, kept) = (tls.clone(), Arc::clone(&kept));
                // A client that goes away is one of the tests.
                thread::spawn(move || drop(accept(stream, tls, &kept, script)));
            }
        });
        Self { address, got }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn got(&self) -> Vec<Request> {
        self.got.lock().expect("nobody panicked").clone()
    }
}

fn accept(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    got: &Mutex<Vec<Request>>,
    script: Script,
) -> io::Result<()> {
    let socket = stream.try_clone()?;
    match tls {
        None => serve(stream, &socket, got, script),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            serve(StreamOwned::new(connection, stream), &socket, got, script)
        }
    }
}

fn serve(
    stream: impl Read + Write,
    socket: &TcpStream,
    got: &Mutex<Vec<Request>>,
    script: Script,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let nth = {
            let mut got = got.lock().expect("nobody panicked");
            got.push(request);
            got.len() - 1
        };
        match script(nth) {
            Reply::Hang => loop {
                thread::park();
            },
            Reply::Reset => {
                rustix::net::sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO))?;
                return Ok(());
            }
            Reply::Garbage => return stream.get_mut().write_all(b"220 mail.example ESMTP\r\n"),
            Reply::Http { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                stream.get_mut().write_all(format!("{head}\r\n{body}").as_bytes())?;
                stream.get_mut().flush()?;
            }
        }
    }
    Ok(())
}

/// The next request, unless the connection ends.
fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Request { target, headers, body }))
}
