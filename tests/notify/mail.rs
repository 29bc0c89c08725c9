//! Mail, to a server that speaks SMTP as RFC 5321, 3207 and 4954 have it, and refuses some.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Bench;
use super::authority::Authority;

/// How the server is.
#[derive(Clone, Default)]
struct Manner {
    /// Certificates: for STARTTLS, or from the start.
    tls: Option<Arc<ServerConfig>>,
    from_the_start: bool,
    /// `user\0password` that is asked for, in base64.
    password: Option<&'static str>,
    /// What is answered to the end of the first message.
    first: Option<&'static str>,
}

/// A message that was taken.
#[derive(Clone, Debug)]
struct Mail {
    to: Vec<String>,
    text: String,
    was_secret: bool,
}

struct Server {
    port: u16,
    got: Arc<Mutex<Vec<Mail>>>,
}

impl Server {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        thread::spawn(move || {
            let mut manner = manner;
            for stream in listener.incoming().map_while(Result::ok) {
                // One after the other: a client makes a connection for each message.
                drop(session(stream, &manner, &kept));
                manner.first = None;
            }
        });
        Self { port, got }
    }

    fn got(&self) -> Vec<Mail> {
        self.got.lock().expect("nobody panicked").clone()
    }
}

/// Plain text, or within TLS.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn within_tls(config: &Arc<ServerConfig>, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

fn session(socket: TcpStream, manner: &Manner, got: &Mutex<Vec<Mail>>) -> io::Result<()> {
    let second = socket.try_clone()?;
    let (stream, mut is_secret): (Box<dyn Stream>, bool) = match &manner.tls {
        Some(config) if manner.from_the_start => (within_tls(config, socket)?, true),
        _ => (Box::new(socket), false),
    };
    let mut stream = BufReader::new(stream);
    say(&mut stream, "220 mail.example ESMTP")?;
    let (mut to, mut is_known) = (Vec::new(), manner.password.is_none());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" => greet(&mut stream, manner, is_secret)?,
            "STARTTLS" => {
                say(&mut stream, "220 go ahead")?;
                let Some(config) = &manner.tls else { return Ok(()) };
                stream = BufReader::new(within_tls(config, second.try_clone()?)?);
                is_secret = true;
            }
            "AUTH" => {
                is_known = manner.password.is_some_and(|it| line == format!("AUTH PLAIN {it}"));
                say(&mut stream, if is_known { "235 welcome" } else { "535 5.7.8 wrong" })?;
            }
            "MAIL" if !is_known => say(&mut stream, "530 5.7.0 who are you")?,
            "RCPT" if line.contains("gone@") => say(&mut stream, "550 5.1.1 no such person")?,
            "RCPT" => {
                to.push(line.to_owned());
                say(&mut stream, "250 OK")?;
            }
            "DATA" => {
                say(&mut stream, "354 go ahead")?;
                let text = data(&mut stream)?;
                if let Some(answer) = manner.first {
                    say(&mut stream, answer)?;
                    continue;
                }
                let to = std::mem::take(&mut to);
                got.lock().expect("nobody panicked").push(Mail { to, text, was_secret: is_secret });
                say(&mut stream, "250 2.0.0 queued as 1")?;
            }
            "QUIT" => return say(&mut stream, "221 bye"),
            "MAIL" | "RSET" | "NOOP" => say(&mut stream, "250 OK")?,
            _ => say(&mut stream, "502 what?")?,
        }
    }
}

fn greet(
    stream: &mut BufReader<Box<dyn Stream>>,
    manner: &Manner,
    is_secret: bool,
) -> io::Result<()> {
    let mut lines = vec!["mail.example"];
    lines.extend((manner.tls.is_some() && !is_secret).then_some("STARTTLS"));
    lines.extend(manner.password.filter(|_| is_secret).map(|_| "AUTH PLAIN"));
    let last = lines.pop().unwrap_or_default();
    for line in lines {
        say(stream, &format!("250-{line}"))?;
    }
    say(stream, &format!("250 {last}"))
}

fn say(stream: &mut BufReader<Box<dyn Stream>>, line: &str) -> io::Result<()> {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes())?;
    stream.get_mut().flush()
}

/// A message up to the line with nothing but a dot.
fn data(stream: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        assert!(line.len() <= 1_000, "RFC 5321: a line has 1,000 bytes at most");
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

fn email(server: &Server, to: &str, more: &str) -> String {
    format!(
        "[receivers.email]\nhost = 'localhost'\nport = {}\nfrom = 'Holdup <holdup@example.com>'\n\
         to = [{to}]\n{more}\n",
        server.port
    )
}

#[test]
fn mail_goes_by_starttls_with_a_password() {
    let authority = Authority::new(&["localhost"]);
    // "\0oncall\0s3cret"
    let password = Some("AG9uY2FsbABzM2NyZXQ=");
    let manner = Manner { tls: Some(authority.server()), password, ..Manner::default() };
    let server = Server::start(manner);
    let bench = Bench::new();
    let (ca, file) = (bench.file("ca.pem", &authority.pem()), bench.file("password", "s3cret\n"));
    let secure = format!("username = 'oncall'\npassword_file = '{file}'\nca_file = '{ca}'");
    let to = "'team@example.com', 'gone@example.com'";
    let ran = bench.test(&email(&server, to, &secure));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("by 1 of 2; another: permanent error (550)"), "{ran:?}");
    let got = server.got();
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|mail| mail.was_secret && mail.to == ["RCPT TO:<team@example.com>"]));
    let text = &got[0].text;
    for part in [
        "Auto-Submitted: auto-generated",
        "Subject: [FIRING] This is a test",
        "Blame: ledger::read_all",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let thread = |mail: &Mail| {
        mail.text.lines().find(|line| line.starts_with("References:")).map(str::to_owned)
    };
    assert!(thread(&got[0]).is_some() && thread(&got[0]) == thread(&got[1]));

    bench.file("password", "wr0ng");
    let ran = bench.test(&email(&server, to, &secure));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("would be tried again"), "a password can be put right: {ran:?}");
    assert!(!format!("{ran:?}").contains("wr0ng"), "{ran:?}");
    let distrusts = secure.replace(&format!("ca_file = '{ca}'"), "");
    let ran = bench.test(&email(&server, to, &distrusts));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(server.got().len(), 2);
}

#[test]
fn mail_goes_by_tls_from_the_start_or_without_any_where_that_is_said() {
    let authority = Authority::new(&["localhost"]);
    let tls = Some(authority.server());
    let server = Server::start(Manner { tls, from_the_start: true, ..Manner::default() });
    let bench = Bench::new();
    let ca = bench.file("ca.pem", &authority.pem());
    let to = "'team@example.com'";
    let ran = bench.test(&email(&server, to, &format!("tls = 'tls'\nca_file = '{ca}'")));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(server.got().iter().all(|mail| mail.was_secret));

    let plain = Server::start(Manner::default());
    let ran = bench.test(&email(&plain, to, ""));
    assert_eq!(ran.code, Some(1), "without STARTTLS nothing is sent: {ran:?}");
    assert!(plain.got().is_empty());
    let ran = bench.test(&email(&plain, to, "tls = 'none'"));
    assert_eq!((ran.code, plain.got().len()), (Some(0), 2), "{ran:?}");
}

#[test]
fn what_a_mail_server_puts_off_is_told_apart_from_what_it_refuses() {
    let bench = Bench::new();
    for (answer, outcome) in
        [("451 4.3.0 later", "would be tried again"), ("554 5.6.0 never", "refused")]
    {
        let server = Server::start(Manner { first: Some(answer), ..Manner::default() });
        let ran = bench.test(&email(&server, "'team@example.com'", "tls = 'none'"));
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.stdout.contains(outcome), "{answer}: {ran:?}");
    }
}
