//! Why a poll took long, each kind of block for itself and beside others.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;

use crate::cpu::{Load, compute, cpu_time};
use crate::receiver::Poll;
use crate::session::{Session, block, eventually, names, on_one_thread};

const BLOCK: Duration = Duration::from_millis(80);
/// What a time may be off by.
const FEW: Duration = Duration::from_millis(8);
const PAGE: usize = 4096;
/// How often a block is tried on a busy machine.
const ATTEMPTS: usize = 30;

fn waits_for_mutex() {
    let lock = Arc::new(Mutex::new(()));
    let (held, other) = (lock.lock().unwrap(), Arc::clone(&lock));
    let waits = move || drop(other.lock().unwrap());
    // The lock is held by this thread, so another has to be the one that waits.
    let waits = thread::spawn(move || on_one_thread(async { waits() }.detect_blocking("it::lock")));
    thread::sleep(BLOCK);
    drop(held);
    waits.join().unwrap();
}

fn waits_for_condition() {
    let (flag, condition) = (Mutex::new(false), Condvar::new());
    let flag = flag.lock().unwrap();
    drop(condition.wait_timeout_while(flag, BLOCK, |flag| !*flag).unwrap());
}

fn writes_through() {
    let mut file = tempfile();
    let start = Instant::now();
    while start.elapsed() < BLOCK {
        file.write_all(&[1; PAGE]).unwrap();
        file.sync_all().unwrap();
    }
}

/// Beside the test program: temporary folders may be in memory, where nothing is waited for.
fn tempfile() -> File {
    let path = std::env::current_exe().unwrap().with_extension("tmp");
    let options = File::options().create(true).truncate(true).write(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    options
}

fn reads_from_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    thread::spawn(move || {
        thread::sleep(BLOCK);
        server.write_all(b"!").unwrap();
    });
    client.read_exact(&mut [0]).unwrap();
}

/// CPU time of a page fault when memory was touched last, ns.
static FAULT_NS: AtomicU64 = AtomicU64::new(0);
/// Where one costs more, a poll of nothing else is taken for one that computes.
const FAULT_NS_MAX: u64 = 2_500;

fn touches_fresh_memory() {
    let (until, before) = (cpu_time() + BLOCK, page_faults());
    while cpu_time() < until {
        let mut memory = vec![0_u8; 64 * 1024 * 1024];
        memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        black_box(&memory);
    }
    let faults = u128::from(page_faults() - before).max(1);
    let each = (BLOCK + (cpu_time() - until)).as_nanos() / faults;
    FAULT_NS.store(each.try_into().unwrap(), Ordering::Relaxed);
}

/// Of this thread, without the disk.
fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    fields.split(' ').nth(7).unwrap().parse().unwrap()
}

/// Whether the machine was so busy that the thread waited for a CPU, or so short of memory that faults
/// took long.
fn is_busy(poll: &Poll) -> bool {
    let waited = poll.integer("holdup.runqueue_ns").unwrap_or(0);
    Duration::from_nanos(waited) > FEW || FAULT_NS.load(Ordering::Relaxed) > FAULT_NS_MAX
}

/// Blocks again as long as the machine was too busy.
fn told(session: &Session, function: &'static str, block: impl Fn()) -> Poll {
    for attempt in 1.. {
        block();
        let of_it = || {
            let polls = session.receiver.polls();
            polls.into_iter().filter(|poll| poll.function() == function).collect::<Vec<_>>()
        };
        eventually("the poll arrives", || of_it().len() == attempt);
        let poll = of_it().remove(attempt - 1);
        if attempt == ATTEMPTS || !is_busy(&poll) {
            return poll;
        }
    }
    unreachable!("there is a last attempt")
}

#[test]
fn each_cause_is_told() {
    let with = |builder: holdup::Builder| {
        builder.threshold(Duration::from_millis(20)).report_descheduled(true)
    };
    let session = Session::with(with);
    let on_this_thread = |function: &'static str, block: fn()| {
        told(&session, function, || on_one_thread(async { block() }.detect_blocking(function)))
    };
    for (function, block, expected) in [
        ("it::sleep", (|| thread::sleep(BLOCK)) as fn(), "sleep"),
        ("it::cpu", || compute(BLOCK), "cpu"),
        ("it::condition", waits_for_condition, "lock"),
        ("it::disk", writes_through, "disk"),
        ("it::net", reads_from_socket, "net"),
        ("it::page fault", touches_fresh_memory, "page_fault"),
    ] {
        let poll = on_this_thread(function, block);
        assert_eq!(poll.text("holdup.cause").as_deref(), Some(expected), "{poll:?}");
        let cpu = Duration::from_nanos(poll.integer("holdup.cpu_ns").unwrap());
        match expected {
            "sleep" | "lock" | "net" => assert!(cpu < FEW, "{cpu:?} {poll:?}"),
            "cpu" => assert!(cpu + FEW > BLOCK, "{cpu:?} {poll:?}"),
            _ => {}
        }
    }
    let poll = told(&session, "it::lock", waits_for_mutex);
    assert_eq!(poll.text("holdup.cause").as_deref(), Some("lock"), "{poll:?}");
    drop(session.finish());
}

#[test]
fn a_thread_that_gets_no_cpu_is_told_from_one_that_computes() {
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(25)));
    let load = Load::start(8);
    on_one_thread(async {
        for _ in 0..4 {
            async { compute(BLOCK) }.detect_blocking("it::crowded").await;
        }
        // Until many took longer than the threshold, for want of a CPU.
        let mut long = 0;
        for _ in 0..300 {
            let began = Instant::now();
            async { compute(Duration::from_millis(12)) }.detect_blocking("it::short").await;
            long += usize::from(began.elapsed() > Duration::from_millis(30));
            if long == 15 {
                break;
            }
        }
    });
    drop(load);
    on_one_thread(async { block(40) }.detect_blocking("it::last"));
    let polls = session.finish();
    // Of a poll whose thread lost its CPU before the first look, the wait may not be known.
    let short = polls.iter().filter(|poll| poll.function() == "it::short").count();
    assert!(short <= 2, "short polls are nobody's fault: {:?}", names(&polls));
    // The first may be over before the others have begun to compute.
    let crowded = polls.iter().filter(|poll| poll.function() == "it::crowded");
    let waited_most = |poll: &Poll| {
        poll.integer("holdup.runqueue_ns").unwrap() > poll.integer("holdup.cpu_ns").unwrap()
    };
    let (waited, computed) = crowded.partition::<Vec<_>, _>(|poll| waited_most(poll));
    assert!(waited.len() >= 2, "{waited:?} {computed:?}");
    let is_of = |cause| move |poll: &&Poll| poll.text("holdup.cause").as_deref() == Some(cause);
    assert!(waited.iter().all(is_of("runqueue")), "{waited:?}");
    assert!(computed.iter().all(is_of("cpu")), "{computed:?}");
    // Their count goes along with the next poll that is reported.
    let counts = polls.iter().filter_map(|poll| poll.integer("holdup.poll.descheduled"));
    assert!(counts.sum::<u64>() > 0, "{:?}", names(&polls));
}

#[test]
fn polls_without_a_cpu_are_reported_if_that_is_wanted() {
    let with = |builder: holdup::Builder| {
        builder.threshold(Duration::from_millis(25)).report_descheduled(true)
    };
    let session = Session::with(with);
    let load = Load::start(8);
    on_one_thread(async {
        for _ in 0..10 {
            async { compute(Duration::from_millis(12)) }.detect_blocking("it::short").await;
        }
    });
    drop(load);
    let polls = session.finish();
    assert!(!polls.is_empty(), "the machine has work for all its CPUs");
    let causes = polls.iter().map(|poll| poll.text("holdup.cause")).collect::<Vec<_>>();
    assert!(causes.iter().all(|cause| cause.as_deref() == Some("runqueue")), "{causes:?}");
}
