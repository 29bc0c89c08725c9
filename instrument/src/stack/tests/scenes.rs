//! Ways to block a thread, compiled by the tests in several ways and loaded by them: a crate of the
//! user's, as far as stacks are concerned.

use std::future::Future;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::sync::{Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

static LOCK: Mutex<u32> = Mutex::new(0);

/// Runs one scene, in an async function of an async block, for about as many milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn enter(scene: u32, milliseconds: u64) -> u64 {
    let time = Duration::from_millis(milliseconds);
    block_on(async move { handler(scene, time).await })
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

async fn handler(scene: u32, time: Duration) -> u64 {
    let done = serve(scene, time);
    black_box(done)
}

#[inline(never)]
fn serve(scene: u32, time: Duration) -> u64 {
    let done = match scene {
        0 => sleeps(time),
        1 => spins(time),
        2 => locks(time),
        3 => waits(time),
        4 => reads_socket(time),
        5 => writes_file(time),
        6 => joins(time),
        7 => allocates(time),
        8 => sorts(time),
        9 => cart::Cart::new(time).total(),
        10 => unwinds(time),
        11 => reads_with_timeout(time),
        12 => alternates(time),
        _ => 0,
    };
    black_box(done)
}

#[inline(never)]
fn sleeps(time: Duration) -> u64 {
    thread::sleep(time);
    black_box(0)
}

#[inline(never)]
fn spins(time: Duration) -> u64 {
    let (start, mut x) = (Instant::now(), 1_u64);
    while start.elapsed() < time {
        for _ in 0..10_000 {
            x = black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    black_box(x)
}

#[inline(never)]
fn locks(time: Duration) -> u64 {
    let (locked, is_locked) = std::sync::mpsc::channel();
    let holder = thread::spawn(move || {
        let _guard = LOCK.lock();
        let _ = locked.send(());
        thread::sleep(time);
    });
    let _ = is_locked.recv();
    drop(LOCK.lock());
    let _ = holder.join();
    black_box(0)
}

#[inline(never)]
fn waits(time: Duration) -> u64 {
    let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    let guard = mutex.lock().unwrap();
    let _ = condvar.wait_timeout(guard, time);
    black_box(0)
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[inline(never)]
fn reads_socket(time: Duration) -> u64 {
    let (mut near, mut far) = pair();
    let writer = thread::spawn(move || {
        thread::sleep(time);
        far.write_all(b"x").unwrap();
    });
    let read = near.read(&mut [0; 4]).unwrap();
    let _ = writer.join();
    black_box(read as u64)
}

/// How many reads were interrupted by a signal.
#[inline(never)]
fn reads_with_timeout(time: Duration) -> u64 {
    let (mut near, _far) = pair();
    near.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let (start, mut interrupted) = (Instant::now(), 0);
    while start.elapsed() < time {
        let error = near.read(&mut [0; 4]).unwrap_err();
        interrupted += u64::from(error.kind() == std::io::ErrorKind::Interrupted);
    }
    black_box(interrupted)
}

#[inline(never)]
fn writes_file(time: Duration) -> u64 {
    let path = std::env::temp_dir().join(format!("holdup-scene-{:?}", thread::current().id()));
    let mut file = std::fs::File::create(&path).unwrap();
    let start = Instant::now();
    while start.elapsed() < time {
        file.write_all(&[1; 1 << 20]).unwrap();
        file.sync_all().unwrap();
    }
    let _ = std::fs::remove_file(path);
    black_box(0)
}

#[inline(never)]
fn joins(time: Duration) -> u64 {
    let _ = thread::spawn(move || thread::sleep(time)).join();
    black_box(0)
}

#[inline(never)]
fn allocates(time: Duration) -> u64 {
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < time {
        let texts: Vec<String> = (0..200).map(|i| format!("item {i}")).collect();
        bytes += black_box(texts).len() as u64;
    }
    black_box(bytes)
}

#[inline(never)]
fn sorts(time: Duration) -> u64 {
    let (start, mut sum) = (Instant::now(), 0);
    while start.elapsed() < time {
        let golden = 0x9E37_79B9_7F4A_7C15_u64;
        let mut numbers: Vec<u64> = (0..200_000).map(|i: u64| i.wrapping_mul(golden)).collect();
        numbers.sort_unstable();
        sum ^= numbers[7];
    }
    black_box(sum)
}

/// Panics that are caught, one after the other.
#[inline(never)]
fn unwinds(time: Duration) -> u64 {
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        let caught = std::panic::catch_unwind(|| {
            if black_box(true) {
                std::panic::resume_unwind(Box::new(1_u32));
            }
        });
        count += u64::from(caught.is_err());
    }
    black_box(count)
}

/// Sleeps briefly, from two places in turns.
#[inline(never)]
fn alternates(time: Duration) -> u64 {
    let start = Instant::now();
    while start.elapsed() < time {
        left();
        right();
    }
    black_box(0)
}

#[inline(never)]
fn left() -> u64 {
    thread::sleep(Duration::from_micros(30));
    black_box(1)
}

#[inline(never)]
fn right() -> u64 {
    let pad = black_box([0_u8; 512]);
    thread::park_timeout(Duration::from_micros(40));
    black_box(u64::from(pad[3]))
}

mod cart {
    use std::hint::black_box;
    use std::time::Duration;

    pub(crate) struct Cart(Duration);

    impl Cart {
        pub(crate) fn new(time: Duration) -> Self {
            Self(time)
        }

        /// The compiler likes to inline all of this.
        pub(crate) fn total(&self) -> u64 {
            let prices = || price(self.0);
            prices() + 1
        }
    }

    fn price(time: Duration) -> u64 {
        std::thread::sleep(time);
        black_box(1)
    }
}
