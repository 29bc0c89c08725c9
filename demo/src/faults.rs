//! The culprits. Each holds its runtime thread for at least 25 ms, for a reason of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use ledger::Ledger;

use crate::password;
use crate::stock::Stock;
use crate::truth::Meter;

static SLEEPS: Meter = Meter::culprit(concat!(module_path!(), "::sleeps_in_handler"));
static FILE: Meter = Meter::culprit(concat!(module_path!(), "::reads_and_syncs_file"));
static LOCK: Meter = Meter::culprit(concat!(module_path!(), "::waits_for_lock"));
static HASHES: Meter = Meter::culprit(concat!(module_path!(), "::hashes_password"));
static PEER: Meter = Meter::culprit(concat!(module_path!(), "::reads_slow_peer"));
static LEDGER: Meter = Meter::culprit(concat!(module_path!(), "::posts_to_ledger"));

pub(crate) static METERS: [&Meter; 6] = [&SLEEPS, &FILE, &LOCK, &HASHES, &PEER, &LEDGER];

const SLEEP: Duration = Duration::from_millis(60);
/// Disks differ by orders of magnitude: the file is written again until this much time is spent, not
/// counting what the thread waited for a CPU, of which nobody is to blame.
const FILE_TIME_MIN: Duration = Duration::from_millis(40);
const FILE_BYTES: usize = 4 << 20;

/// Sleeps as a synchronous program would.
#[holdup::detect_blocking]
pub(crate) async fn sleeps_in_handler() {
    let since = Instant::now();
    thread::sleep(SLEEP);
    SLEEPS.blocked(since);
}

/// Writes a large file, waits until it is on disk, and reads it back.
#[holdup::detect_blocking]
pub(crate) async fn reads_and_syncs_file() -> io::Result<()> {
    let since = Instant::now();
    let result = write_and_read(since);
    FILE.blocked(since);
    result
}

fn write_and_read(since: Instant) -> io::Result<()> {
    let mut file: File = tempfile::tempfile()?;
    let mut content = vec![0x5a; FILE_BYTES];
    let waited_before = waited_for_cpu();
    while since.elapsed().saturating_sub(waited_for_cpu() - waited_before) < FILE_TIME_MIN {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&content)?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut content)?;
    }
    Ok(())
}

/// How long this thread was ready and did not run, since it began: the second number of Linux's
/// `schedstat`.
fn waited_for_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    Duration::from_nanos(waited.unwrap_or_default())
}

/// Waits for a lock that a plain thread holds while it works.
#[holdup::detect_blocking]
pub(crate) async fn waits_for_lock(stock: &Stock) -> io::Result<u64> {
    stock.counting_has_begun().await?;
    let since = Instant::now();
    let items = *stock.items();
    LOCK.blocked(since);
    Ok(items)
}

/// Hashes a password on the thread that serves requests.
#[holdup::detect_blocking]
pub(crate) async fn hashes_password(word: &str) -> io::Result<[u8; password::BYTES]> {
    let since = Instant::now();
    let hash = password::hash(word);
    HASHES.blocked(since);
    hash
}

/// Asks a slow peer over a blocking socket.
#[holdup::detect_blocking]
pub(crate) async fn reads_slow_peer(peer: SocketAddr) -> io::Result<String> {
    let since = Instant::now();
    let answer = ask(peer);
    PEER.blocked(since);
    answer
}

fn ask(peer: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(peer)?;
    stream.write_all(b"rate?\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Calls a library that blocks three frames below.
#[holdup::detect_blocking]
pub(crate) async fn posts_to_ledger(ledger: &Ledger) -> io::Result<u64> {
    let since = Instant::now();
    let number = ledger.post("rent", -120_000);
    LEDGER.blocked(since);
    number
}
