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
    /// What spoils the next insert into a table.
    fault: Option<(Fault, &'static str)>,
    /// Whether something else answers everything, with 200 and nothing in it.
    is_away: bool,
    /// Answers to inserts are held back whose rows have this text,
    holds: Option<&'static str>,
    /// and how many are.
    held: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Returns once the answer to an insert of these rows is passed on.
    fn hold(&self, rows: &[u8]) {
        let has = |text: &str| {
            text.is_empty() || rows.windows(text.len()).any(|of| of == text.as_bytes())
        };
        let held = |state: &mut State| state.holds.is_some_and(has);
        let mut state = self.state();
        if !held(&mut state) {
            return;
        }
        state.held += 1;
        let mut state = self.released.wait_while(state, held).expect("not poisoned");
        state.held -= 1;
    }
}

impl Proxy {
    /// One that passes everything on.
    pub(super) fn start(to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Mutex::new(State { to, fault: None, is_away: false, holds: None, held: 0 });
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

    /// Spoils the next insert of polls.
    pub(super) fn fail_insert(&self, fault: Fault) {
        self.fail_insert_into("poll_spans", fault);
    }

    /// Spoils the next insert into a table.
    pub(super) fn fail_insert_into(&self, table: &'static str, fault: Fault) {
        self.shared.state().fault = Some((fault, table));
    }

    /// Whether the fault came to pass.
    pub(super) fn is_well(&self) -> bool {
        self.shared.state().fault.is_none()
    }

    /// Whether something else answers in ClickHouse's place, to everything with 200 and nothing.
    pub(super) fn answers_itself(&self, is_away: bool) {
        self.shared.state().is_away = is_away;
    }

    /// Holds the answers to inserts of polls back from here on: ClickHouse has their rows.
    pub(super) fn hold_answers(&self) {
        self.hold_answers_about("");
    }

    /// The same of those that have a text in their rows; all others are passed on.
    pub(super) fn hold_answers_about(&self, text: &'static str) {
        self.shared.state().holds = Some(text);
        self.shared.released.notify_all();
    }

    /// How many answers are held back.
    pub(super) fn held(&self) -> usize {
        self.shared.state().held
    }

    /// Passes on what was held back, and all else from here on.
    pub(super) fn release_answers(&self) {
        self.shared.state().holds = None;
        self.shared.released.notify_all();
    }
}

/// One connection: one request, whose answer ends it.
fn pass(mut client: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let Some(text) = read_head(&mut client)? else { return Ok(()) };
    let is_into = |table: &str| text.contains("INSERT") && text.contains(table);
    let (to, fault) = {
        let mut state = shared.state();
        let fault = match state.is_away {
            true => Some(Fault::Swallows),
            false => state.fault.take_if(|(_, table)| is_into(table)).map(|(fault, _)| fault),
        };
        (state.to.clone(), fault)
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
    let rows = Arc::new(Mutex::new(Vec::new()));
    let noted = is_into("poll_spans").then(|| Arc::clone(&rows));
    std::thread::spawn(move || copy(&mut from, &mut into, noted.as_deref()));
    server.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut answer = Vec::new();
    if fault.is_none() {
        // A server that dies resets the connection: the client is to see an end, too.
        let copied = if is_into("poll_spans") {
            let read = server.read_to_end(&mut answer);
            shared.hold(&rows.lock().expect("not poisoned"));
            read.and_then(|_| client.write_all(&answer))
        } else {
            std::io::copy(&mut server, &mut client).map(drop)
        };
        client.shutdown(Shutdown::Both)?;
        return copied;
    }
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

/// The head of a request, if one comes.
fn read_head(client: &mut TcpStream) -> std::io::Result<Option<String>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// Passes on what comes, and notes it where that is wanted.
fn copy(
    from: &mut TcpStream,
    into: &mut TcpStream,
    noted: Option<&Mutex<Vec<u8>>>,
) -> std::io::Result<()> {
    let mut some = [0; 16 << 10];
    loop {
        let read = from.read(&mut some)?;
        if read == 0 {
            return Ok(());
        }
        if let Some(noted) = noted {
            noted.lock().expect("not poisoned").extend_from_slice(&some[..read]);
        }
        into.write_all(&some[..read])?;
    }
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
