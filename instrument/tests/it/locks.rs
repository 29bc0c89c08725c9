//! Who holds the lock that a poll waits for.
#![cfg(target_os = "linux")]

use std::hint::black_box;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use holdup::DetectBlocking;

use crate::session::{Session, eventually, on_one_thread};

/// Holds the lock until it is told to let go.
#[inline(never)]
fn keeps(lock: &Mutex<u64>, locked: &Sender<()>, release: &Receiver<()>) {
    let mut guard = lock.lock().unwrap();
    locked.send(()).unwrap();
    let _ = release.recv();
    *guard += 1;
}

fn wants(lock: &Arc<Mutex<u64>>, name: &'static str) -> thread::JoinHandle<()> {
    let lock = Arc::clone(lock);
    thread::spawn(move || {
        on_one_thread(async move { *lock.lock().unwrap() += 1 }.detect_blocking(name));
    })
}

#[test]
fn the_thread_that_keeps_a_lock_is_named_and_not_those_that_wait() {
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(20)));
    let lock = Arc::new(Mutex::new(0));
    let ((locked, is_locked), (release, released)) = (channel(), channel());
    let kept = Arc::clone(&lock);
    let keeper = thread::Builder::new().name("keeper".to_owned());
    let keeper = keeper.spawn(move || keeps(&kept, &locked, &released)).unwrap();
    is_locked.recv().unwrap();
    let waiters = [wants(&lock, "it::one"), wants(&lock, "it::other")];
    let named = |name: &str| {
        let stalls = session.receiver.stalls();
        let of_it = stalls.iter().filter(|poll| poll.function() == name);
        let mut holders = of_it.filter_map(|poll| poll.text("holdup.lock.holder.function"));
        holders.next_back()
    };
    // Each search is followed by a rest.
    eventually("the holder is named", || {
        ["it::one", "it::other"].iter().all(|waiter| named(waiter).is_some())
    });
    release.send(()).unwrap();
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    keeper.join().unwrap();
    for poll in session.finish() {
        assert_eq!(poll.text("holdup.cause").as_deref(), Some("lock"), "{poll:?}");
        let holder = poll.text("holdup.lock.holder.thread.name");
        assert_eq!(holder.as_deref(), Some("keeper"), "{poll:?}");
        // On a machine without a CPU to spare the last stack of the holder may be cut short.
        let function = poll.text("holdup.lock.holder.function");
        let is_right = function.as_ref().is_none_or(|name| name.ends_with("locks::keeps"));
        assert!(is_right, "{function:?}");
        assert_eq!(poll.text("holdup.lock.holder.evidence").as_deref(), Some("address"));
    }
}

#[test]
fn a_condition_is_held_by_nobody() {
    let session = Session::with(|builder| builder.threshold(Duration::from_millis(20)));
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let shared = Arc::clone(&pair);
    let looks_on = thread::spawn(move || {
        thread::sleep(Duration::from_millis(150));
        *shared.0.lock().unwrap() = true;
        shared.1.notify_all();
        black_box(&shared);
    });
    on_one_thread(
        async { drop(pair.1.wait_while(pair.0.lock().unwrap(), |done| !*done).unwrap()) }
            .detect_blocking("it::waits"),
    );
    looks_on.join().unwrap();
    let polls = session.finish();
    assert_eq!(polls[0].text("holdup.cause").as_deref(), Some("lock"), "{polls:?}");
    assert_eq!(polls[0].text("holdup.lock.holder.thread.name"), None, "{polls:?}");
}
