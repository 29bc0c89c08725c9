//! A proxy before ClickHouse that spoils single inserts.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of the next insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// ClickHouse takes it, and the answer never comes: the connection ends.
    LosesAnswer,
    /// ClickHouse takes it, and its answer ends in the midst of its head.
    CutsAnswer,
    /// The connection breaks off in the midst of the rows.
    Breaks,
    /// ClickHouse takes it, and something between says that it failed.
    Says500,
    /// It is refused with one of ClickHouse's codes: 252 for too many parts, 241 for out of memory.
    Refuses(u16),
    /// It is refused after the answer's head went out, which says 200. A client that waits for the
    /// end of the query gets the head afterwards, with the right status.
    RefusesLate(u16),
}

pub(super) struct Proxy {
    address: String,
    state: Arc<Mutex<State>>,
}

struct State {
    to: String,
    fault: Option<Fault>,
}

impl Proxy {
    /// One that passes everything on.
    pub(super) fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(Mutex::new(State { to, fault: None }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A connection that ends is no failure of the test.
                std::thread::spawn(move || drop(pass(client, &state)));
            }
        });
        Self { address, state }
    }

    /// Its address for clients.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Passes on to another server from here on.
    pub(super) fn turn_to(&self, to: String) {
        self.state.lock().expect("not poisoned").to = to;
    }

    /// Spoils the next insert.
    pub(super) fn fail_insert(&self, fault: Fault) {
        self.state.lock().expect("not poisoned").fault = Some(fault);
    }

    /// Whether the fault came to pass.
    pub(super) fn is_well(&self) -> bool {
        self.state.lock().expect("not poisoned").fault.is_none()
    }
}

/// One connection: one request, whose answer ends it.
fn pass(mut client: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let insert = text.contains("INSERT") && text.contains("poll_spans");
    let (to, fault) = {
        let mut state = state.lock().expect("not poisoned");
        let fault = if insert { state.fault.take() } else { None };
        (state.to.clone(), fault)
    };
    if let Some(Fault::Refuses(code) | Fault::RefusesLate(code)) = fault {
        let is_late = matches!(fault, Some(Fault::RefusesLate(_)));
        return refuse(client, code, is_late && !text.contains("wait_end_of_query=1"));
    }
    let mut server = TcpStream::connect(to)?;
    let ended = text.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    server.write_all(ended.as_bytes())?;
    let mut from = client.try_clone()?;
    let mut into = server.try_clone()?;
    if fault == Some(Fault::Breaks) {
        let mut some = [0; 60];
        let read = from.read(&mut some)?;
        into.write_all(&some[..read])?;
        into.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    std::thread::spawn(move || std::io::copy(&mut from, &mut into));
    if fault.is_none() {
        std::io::copy(&mut server, &mut client)?;
        return client.shutdown(Shutdown::Both);
    }
    server.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    match fault {
        Some(Fault::CutsAnswer) => client.write_all(&answer[..answer.len().min(9)])?,
        Some(Fault::Says500) => client.write_all(
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )?,
        _ => {}
    }
    client.shutdown(Shutdown::Both)
}

/// Takes the rows in, which come in chunks, and answers as ClickHouse does when it fails.
fn refuse(mut client: TcpStream, code: u16, with_200: bool) -> std::io::Result<()> {
    let mut body = Vec::new();
    let mut some = [0; 4_096];
    while !body.ends_with(b"0\r\n\r\n") {
        match client.read(&mut some)? {
            0 => return Ok(()),
            read => body.extend_from_slice(&some[..read]),
        }
    }
    let text = format!("Code: {code}. DB::Exception: not now. (SPOILED) (version 26.7.2.1)\n");
    let head = if with_200 {
        "HTTP/1.1 200 OK\r\n".to_owned()
    } else {
        format!("HTTP/1.1 500 Internal Server Error\r\nx-clickhouse-exception-code: {code}\r\n")
    };
    let length = text.len();
    let head = format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n");
    client.write_all(&[head.as_bytes(), text.as_bytes()].concat())?;
    client.shutdown(Shutdown::Both)
}
