//! The advice, as data: how it shows in a stack, and what to say.

use super::{Advice, Rank};

const fn library(
    id: &'static str,
    functions: &'static [&'static str],
    sentence: &'static str,
) -> Advice {
    Advice { id, sentence, functions, rank: Rank::Library, cause: "" }
}

const fn primitive(
    id: &'static str,
    functions: &'static [&'static str],
    cause: &'static str,
    sentence: &'static str,
) -> Advice {
    Advice { id, sentence, functions, rank: Rank::Primitive, cause }
}

/// Each has a section of its id in `docs/advice.md`.
///
/// A function is the beginning of a path, up to the end of a segment; what is in brackets around a
/// type, as in `<std::fs::File as std::io::Read>::read`, is left out. Of two that match one frame
/// the first counts.
pub const ALL: &[Advice] = &[
    primitive(
        "thread-sleep",
        &["std::thread::sleep", "std::thread::sleep_until", "std::thread::functions::sleep"],
        "sleep",
        "Write tokio::time::sleep(…).await: std::thread::sleep puts the whole worker to sleep.",
    ),
    primitive(
        "name-lookup",
        &[
            "getaddrinfo",
            "__getaddrinfo",
            "dns_lookup",
            "std::net::socket_addr::ToSocketAddrs",
            "std::sys::net::connection::socket::lookup_host",
            "std::sys::net::connection::socket::LookupHost",
        ],
        "",
        "Look names up with tokio::net::lookup_host, or connect with tokio's TcpStream: getaddrinfo \
         waits for the name server.",
    ),
    primitive(
        "command",
        &["std::process", "std::sys::process"],
        "",
        "Run it with tokio::process::Command: std's waits for the child on this thread.",
    ),
    primitive(
        "print",
        &[
            "std::io::stdio::_print",
            "std::io::stdio::_eprint",
            "std::io::stdio::print_to",
            "std::io::stdio::Stdout",
            "std::io::stdio::Stderr",
            "std::io::stdio::StdoutLock",
            "std::io::stdio::StderrLock",
            "std::io::stdio::StdoutRaw",
            "std::io::stdio::StderrRaw",
        ],
        "",
        "Log through tracing_appender::non_blocking: println! holds a lock and waits for whoever \
         reads the pipe.",
    ),
    primitive(
        "stdin",
        &["std::io::stdio::Stdin", "std::io::stdio::StdinLock", "std::io::stdio::StdinRaw"],
        "",
        "Read standard input on a thread of its own and send lines through tokio::sync::mpsc: a read \
         waits until somebody types.",
    ),
    primitive(
        "files",
        &["std::fs", "std::sys::fs", "std::sys::pal::unix::fs", "memmap2", "tempfile", "walkdir"],
        "disk",
        "Use tokio::fs, or do all of the work with files in one holdup::isolate: std::fs waits for \
         the disk.",
    ),
    primitive(
        "sockets",
        &["std::net", "std::os::unix::net", "std::sys::net", "std::sys_common::net", "socket2"],
        "net",
        "Use tokio::net: std's sockets wait on this thread until the other side answers.",
    ),
    primitive(
        "channel",
        &[
            "std::sync::mpsc",
            "std::sync::mpmc",
            "crossbeam_channel",
            "crossbeam::channel",
            "flume",
            "kanal",
        ],
        "",
        "Use tokio::sync::mpsc and await recv() or send(): this channel parks the worker until the \
         other end acts.",
    ),
    primitive(
        "blocking-call-of-tokio",
        &[
            "tokio::sync::mpsc::bounded::Receiver<T>::blocking_recv",
            "tokio::sync::mpsc::bounded::Receiver<_>::blocking_recv",
            "tokio::sync::mpsc::bounded::Sender<T>::blocking_send",
            "tokio::sync::mpsc::unbounded::UnboundedReceiver<T>::blocking_recv",
            "tokio::sync::oneshot::Receiver<T>::blocking_recv",
            "tokio::sync::broadcast::Receiver<T>::blocking_recv",
            "tokio::sync::mutex::Mutex<T>::blocking_lock",
            "tokio::sync::rwlock::RwLock<T>::blocking_read",
            "tokio::sync::rwlock::RwLock<T>::blocking_write",
            "tokio::future::block_on",
        ],
        "",
        "Await the async form instead (recv, send, lock): the methods named blocking_… are for \
         threads outside of the runtime.",
    ),
    primitive(
        "block-on",
        &[
            "tokio::runtime::runtime::Runtime::block_on",
            "tokio::runtime::handle::Handle::block_on",
            "tokio::task::local::LocalSet::block_on",
            "futures_executor::local_pool",
            "futures_lite::future::block_on",
            "async_io::driver::block_on",
            "pollster",
            "smol::block_on",
        ],
        "",
        "Make the caller async and await the future: block_on keeps this worker until another one \
         finishes the work, and may wait for itself.",
    ),
    primitive(
        "thread-join",
        &["std::thread::JoinHandle", "std::thread::join_handle", "std::thread::scoped"],
        "",
        "Do the work in holdup::isolate(…).await: to join a thread is to wait for all that it does.",
    ),
    primitive(
        "condvar",
        &[
            "std::sync::condvar",
            "std::sync::poison::condvar",
            "std::sync::nonpoison::condvar",
            "std::sys::sync::condvar",
            "std::sync::barrier",
            "parking_lot::condvar",
        ],
        "",
        "Use tokio::sync::Notify, watch or Semaphore: a Condvar parks the worker until somebody \
         notifies.",
    ),
    primitive(
        "mutex",
        &[
            "std::sync::mutex",
            "std::sync::poison::mutex",
            "std::sync::nonpoison::mutex",
            "std::sys::sync::mutex",
            "std::sync::rwlock",
            "std::sync::poison::rwlock",
            "std::sync::nonpoison::rwlock",
            "std::sys::sync::rwlock",
            "std::sync::once_lock",
            "std::sync::lazy_lock",
            "std::sys::sync::once",
            "parking_lot::raw_mutex",
            "parking_lot::raw_rwlock",
            "parking_lot::mutex",
            "parking_lot::rwlock",
            "lock_api",
            "dashmap",
        ],
        "lock",
        "Hold the lock for less, or use tokio::sync::Mutex where it is held for long: the worker \
         waits for whoever holds it.",
    ),
    library(
        "reqwest-blocking",
        &["reqwest::blocking"],
        "Use reqwest::Client and await: reqwest::blocking waits for the whole answer on this thread.",
    ),
    library(
        "blocking-http",
        &["ureq", "ureq_proto", "minreq", "attohttpc", "curl", "isahc::request"],
        "Use an async client such as reqwest::Client, or holdup::isolate: this one waits for the \
         whole answer.",
    ),
    library(
        "sqlite",
        &["rusqlite", "libsqlite3_sys", "sqlite3_step", "r2d2_sqlite"],
        "Run each query or transaction in holdup::isolate, or use tokio_rusqlite: SQLite reads and \
         syncs files on the caller's thread.",
    ),
    library(
        "diesel",
        &["diesel"],
        "Use diesel_async, or run the transaction in holdup::isolate: diesel waits for the database.",
    ),
    library(
        "postgres",
        &["postgres", "r2d2_postgres"],
        "Use tokio_postgres or sqlx: the crate postgres is tokio_postgres behind block_on.",
    ),
    library(
        "mysql",
        &["mysql"],
        "Use mysql_async or sqlx: the crate mysql waits for the database on this thread.",
    ),
    library(
        "redis",
        &[
            "redis::connection",
            "redis::client::Client::get_connection",
            "redis::client::Client::get_connection_with_timeout",
        ],
        "Use redis::aio (get_multiplexed_async_connection): the synchronous connection waits for \
         each answer.",
    ),
    library(
        "connection-pool",
        &["r2d2", "scheduled_thread_pool"],
        "Use deadpool or bb8, or call the pool in holdup::isolate: r2d2 waits on this thread until a \
         connection is free.",
    ),
    library(
        "key-value-store",
        &["sled", "rocksdb", "redb", "fjall", "heed", "lmdb"],
        "Call the store in holdup::isolate, several operations at a time: it reads and syncs files on \
         the caller's thread.",
    ),
    library(
        "password-hash",
        &["argon2", "bcrypt", "scrypt", "pbkdf2", "bcrypt_pbkdf", "password_hash", "blake2b_simd"],
        "Hash passwords in holdup::isolate behind a semaphore: they are slow on purpose.",
    ),
    library(
        "cryptography",
        &["ring", "rsa", "aws_lc_rs", "aws_lc_sys", "openssl", "num_bigint_dig", "p256", "p384"],
        "Make keys and signatures in holdup::isolate: RSA takes milliseconds to seconds of CPU time.",
    ),
    library(
        "compression",
        &[
            "zstd",
            "zstd_safe",
            "zstd_sys",
            "flate2",
            "miniz_oxide",
            "zlib_rs",
            "libz_sys",
            "brotli",
            "brotli_decompressor",
            "lz4_flex",
            "bzip2",
            "xz2",
            "liblzma",
            "snap",
            "zip",
            "tar",
        ],
        "Use async_compression for streams and holdup::isolate for whole buffers: it computes for \
         each byte.",
    ),
    library(
        "image",
        &[
            "image",
            "png",
            "zune_jpeg",
            "zune_core",
            "jpeg_decoder",
            "ravif",
            "rav1e",
            "webp",
            "resvg",
            "fast_image_resize",
            "imageproc",
        ],
        "Decode, resize and encode in holdup::isolate: a picture takes tens to hundreds of \
         milliseconds of CPU time.",
    ),
    library(
        "documents",
        &[
            "serde_json",
            "simd_json",
            "serde_yaml",
            "toml",
            "quick_xml",
            "csv",
            "bincode",
            "ciborium",
        ],
        "Take large documents apart in holdup::isolate, or a piece at a time: parsing computes \
         without a pause.",
    ),
    library(
        "regex",
        &["regex", "regex_automata", "regex_syntax", "fancy_regex", "aho_corasick"],
        "Compile expressions once in a LazyLock, and search long texts in holdup::isolate.",
    ),
    library(
        "rayon",
        &["rayon", "rayon_core"],
        "Start it from holdup::isolate, or use rayon::spawn and a oneshot channel: the caller waits \
         for the whole parallel work.",
    ),
    library(
        "git",
        &["git2", "libgit2_sys", "gix", "gix_pack"],
        "Work on repositories in holdup::isolate: they are files and computation.",
    ),
    Advice {
        id: "drop",
        sentence: "Drop large values elsewhere, with holdup::isolate(move || drop(value)): each part \
                   of them is freed one by one.",
        functions: &["core::ptr::drop_in_place", "core::ptr::drop_glue"],
        rank: Rank::Last,
        cause: "",
    },
    Advice {
        id: "memory",
        sentence: "Reuse buffers, and touch large ones in holdup::isolate: fresh memory and mapped \
                   files cost a fault for each page.",
        functions: &[],
        rank: Rank::Last,
        cause: "page_fault",
    },
    Advice {
        id: "computing",
        sentence: "Move it to holdup::isolate, or call tokio::task::yield_now().await every few \
                   hundred microseconds.",
        functions: &[],
        rank: Rank::Last,
        cause: "cpu",
    },
    Advice {
        id: "no-cpu",
        sentence: "Give the service more CPU, or start fewer threads: the code was ready and had no \
                   CPU to run on.",
        functions: &[],
        rank: Rank::Last,
        cause: "runqueue",
    },
];

/// Crates that may stand between the call of a library and what it blocks in; they call no code of
/// the service's.
pub(super) const BETWEEN: &[&str] = &[
    "std",
    "core",
    "alloc",
    "__rustc",
    "hashbrown",
    "bytes",
    "tokio",
    "tokio_util",
    "mio",
    "futures",
    "futures_core",
    "futures_util",
    "futures_executor",
    "futures_channel",
    "parking_lot",
    "parking_lot_core",
    "crossbeam_utils",
    "crossbeam_epoch",
    "crossbeam_deque",
    "libc",
    "rustix",
    "socket2",
    "http",
    "httparse",
    "hyper",
    "hyper_util",
    "h2",
    "tower",
    "reqwest",
    "native_tls",
    "rustls",
    "rustls_native_certs",
    "webpki",
    "tokio_postgres",
    "postgres_protocol",
    "pq_sys",
    "mysqlclient_sys",
    "combine",
    "serde",
    "serde_core",
    "memchr",
    "ryu",
    "itoa",
    "digest",
    "sha2",
    "blake2",
    "base64ct",
];

/// Where a task begins.
pub(super) const TASK_ROOTS: &[&str] = &[
    "tokio::runtime::task::raw",
    "tokio::runtime::task::harness",
    "tokio::runtime::task::core",
    "tokio::task::local",
];
