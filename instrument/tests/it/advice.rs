//! Advice for the stacks that real blocks leave.

use std::hint::black_box;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;
use holdup::advice::{for_frames, for_stall};

use crate::receiver::Poll;
use crate::session::{Session, block, on_one_thread};

const LONG: Duration = Duration::from_millis(150);

fn sleeps() {
    block(150);
}

fn waits_for_a_lock() {
    let lock = Arc::new(Mutex::new(0));
    let (tell, told) = mpsc::channel();
    let holder = thread::spawn({
        let lock = Arc::clone(&lock);
        move || {
            let _held = lock.lock().unwrap();
            tell.send(()).unwrap();
            thread::sleep(LONG);
        }
    });
    // Not `recv`, which is another block.
    while told.try_recv().is_err() {
        thread::yield_now();
    }
    *lock.lock().unwrap() += 1;
    holder.join().unwrap();
}

fn waits_for_a_message() {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        thread::sleep(LONG);
        sender.send(7).unwrap();
    });
    assert_eq!(receiver.recv(), Ok(7));
}

fn waits_to_be_notified() {
    let pair = (Mutex::new(()), Condvar::new());
    let held = pair.0.lock().unwrap();
    let _timed = pair.1.wait_timeout(held, LONG).unwrap();
}

fn waits_for_a_socket() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    assert!(stream.read(&mut [0]).is_err());
}

fn writes_files() {
    let folder = std::env::temp_dir().join(format!("holdup-advice-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let start = Instant::now();
    while start.elapsed() < LONG {
        let mut file = std::fs::File::create(folder.join("file")).unwrap();
        file.write_all(&[7; 1 << 16]).unwrap();
        file.sync_all().unwrap();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn waits_for_a_future() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    thread::spawn(move || {
        thread::sleep(LONG);
        sender.send(7).unwrap();
    });
    assert_eq!(futures_executor::block_on(receiver), Ok(7));
}

fn joins_a_thread() {
    thread::spawn(|| thread::sleep(LONG)).join().unwrap();
}

fn runs_a_program() {
    assert!(Command::new("sleep").arg("0.2").status().unwrap().success());
}

fn looks_up_names() {
    let start = Instant::now();
    while start.elapsed() < LONG {
        let names = std::net::ToSocketAddrs::to_socket_addrs("localhost:80");
        assert!(black_box(names).is_ok());
    }
}

fn reads_a_document() {
    let text =
        format!("[{}]", vec![r#"{"name": "rent", "sum": [1, 2.5, null]}"#; 20_000].join(","));
    let start = Instant::now();
    while start.elapsed() < LONG {
        let value = serde_json::from_str::<serde_json::Value>(&text).unwrap();
        // To drop it takes about as long as to read it.
        std::mem::forget(black_box(value));
    }
}

fn packs() {
    let start = Instant::now();
    while start.elapsed() < LONG {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&[7; 1 << 20]).unwrap();
        black_box(encoder.finish().unwrap());
    }
}

/// What blocks, with the advice that fits.
const SCENES: [(&str, fn()); 12] = [
    ("thread-sleep", sleeps),
    ("mutex", waits_for_a_lock),
    ("channel", waits_for_a_message),
    ("condvar", waits_to_be_notified),
    ("sockets", waits_for_a_socket),
    ("files", writes_files),
    ("block-on", waits_for_a_future),
    ("thread-join", joins_a_thread),
    ("command", runs_a_program),
    ("name-lookup", looks_up_names),
    ("documents", reads_a_document),
    ("compression", packs),
];

fn frames(poll: &Poll) -> Vec<String> {
    let stack = poll.text("code.stacktrace").unwrap_or_default();
    stack.lines().map(str::to_owned).collect()
}

#[test]
fn each_way_to_block_gets_the_advice_that_fits() {
    let session = Session::start();
    for (id, blocks) in SCENES {
        let name: &'static str = id;
        on_one_thread(async move { blocks() }.detect_blocking(name));
    }
    let polls = session.finish();
    let mut wrong = Vec::new();
    for (id, _) in SCENES {
        let poll = polls.iter().find(|poll| poll.function() == id).unwrap();
        let found = for_frames(&frames(poll)).map(|advice| advice.id);
        if found != Some(id) {
            wrong.push(format!("{id}: {found:?} for {:#?}", frames(poll)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_large_drop_is_advised_on_and_so_is_a_loop() {
    let session = Session::start();
    let large = (0..1_000_000).map(|key: u32| Some(Box::new(key))).collect::<Vec<_>>();
    on_one_thread(async move { drop(black_box(large)) }.detect_blocking("drop"));
    let spins = async {
        let start = Instant::now();
        while start.elapsed() < LONG {
            black_box(start);
        }
    };
    on_one_thread(spins.detect_blocking("computing"));
    for poll in session.finish() {
        // On a busy machine the cause may be that it had no CPU.
        let frames = frames(&poll);
        let found = for_stall(&frames, "cpu").map(|advice| advice.id);
        assert_eq!(found, Some(poll.function().as_str()), "{frames:#?}");
    }
}
