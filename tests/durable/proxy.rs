//! A proxy before ClickHouse that spoils single inserts, or holds their answers back.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
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
    /// Something between says that it is stored, and passes nothing on.
    Swallows,
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
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

struct State {
    to: String,
    fault: Option<Fault>,
    /// Whether something else answers everything, with 200 and nothing in it.
    is_away: bool,
    /// Whether answers to inserts are held back,
    holds: bool,
    /// and how many are.
    held: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Returns once answers are passed on.
    fn hold(&self) {
        let mut state = self.state();
        state.held += 1;
        let mut state = self.released.wait_while(state, |state| state.holds).expect("not poisoned");
        state.held -= 1;
    }
}

impl Proxy {
    /// One that passes everything on.
    pub(super) fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Mutex::new(State { to, fault: None, is_away: false, holds: false, held: 0 });
        let shared = Arc::new(Shared { state, released: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                // A connection that ends is no failure of the test.
                std::thread::spawn(move || drop(pass(client, &shared)));
            }
        });
        Self { address, shared }
    }

    /// Its address for clients.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Passes on to another server from here on.
    pub(super) fn turn_to(&self, to: String) {
        self.shared.state().to = to;
    }

    /// Spoils the next insert.
    pub(super) fn fail_insert(&self, fault: Fault) {
        self.shared.state().fault = Some(fault);
    }

    /// Whether the fault came to pass.
    pub(super) fn is_well(&self) -> bool {
        self.shared.state().fault.is_none()
    }

    /// Whether something else answers in ClickHouse's place, to everything with 200 and nothing.
    pub(super) fn answers_itself(&self, is_away: bool) {
        self.shared.state().is_away = is_away;
    }

    /// Holds the answers to inserts back from here on: ClickHouse has their rows.
    pub(super) fn hold_answers(&self) {
        self.shared.state().holds = true;
    }

    /// How many answers are held back.
    pub(super) fn held(&self) -> usize {
        self.shared.state().held
    }

    /// Passes on what was held back, and all else from here on.
    pub(super) fn release_answers(&self) {
        self.shared.state().holds = false;
        self.shared.released.notify_all();
    }
}

/// One connection: one request, whose answer ends it.
fn pass(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
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
    let (to, fault, holds) = {
        let mut state = shared.state();
        let fault = match state.is_away {
            true => Some(Fault::Swallows),
            false => state.fault.take_if(|_| insert),
        };
        (state.to.clone(), fault, state.holds && insert)
    };
    let has_rows = text.to_ascii_lowercase().contains("transfer-encoding: chunked");
    match fault {
        Some(Fault::Swallows) => {
            read_rows(&mut client, has_rows)?;
            client
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
            return client.shutdown(Shutdown::Both);
        }
        Some(Fault::Refuses(code)) => return refuse(client, code, false),
        Some(Fault::RefusesLate(code)) => {
            return refuse(client, code, !text.contains("wait_end_of_query=1"));
        }
        _ => {}
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
    if fault.is_none() && !holds {
        // A server that dies resets the connection: the client is to see an end, too.
        let copied = std::io::copy(&mut server, &mut client);
        client.shutdown(Shutdown::Both)?;
        return copied.map(drop);
    }
    server.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if holds {
        shared.hold();
        client.write_all(&answer)?;
    }
    match fault {
        Some(Fault::CutsAnswer) => client.write_all(&answer[..answer.len().min(9)])?,
        Some(Fault::Says500) => client.write_all(
            b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        )?,
        _ => {}
    }
    client.shutdown(Shutdown::Both)
}

/// Takes rows in, which come in chunks.
fn read_rows(client: &mut TcpStream, has_rows: bool) -> std::io::Result<()> {
    let mut body = Vec::new();
    let mut some = [0; 4_096];
    while has_rows && !body.ends_with(b"0\r\n\r\n") {
        match client.read(&mut some)? {
            0 => return Ok(()),
            read => body.extend_from_slice(&some[..read]),
        }
    }
    Ok(())
}

/// Answers as ClickHouse does when it fails.
fn refuse(mut client: TcpStream, code: u16, with_200: bool) -> std::io::Result<()> {
    read_rows(&mut client, true)?;
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
