//! A process in which everything happens at once, while stacks of its threads are taken without end:
//! it must neither crash nor hang, and compute what it always computes.
//!
//! `HOLDUP_SOAK_CAPTURES=1000000 cargo test --release -p holdup --lib soak -- --ignored --nocapture`

use std::panic::resume_unwind;
use std::sync::Mutex;

use super::cost::say;
use super::*;
use crate::DetectBlocking;

const CAPTURES: &str = "HOLDUP_SOAK_CAPTURES";
/// How long the scenes of one turn go on.
const TURN_MS: u64 = 2000;
/// The most that the turns, children and threads of the short run may take on a busy machine.
const SHORT_MAX: Duration = Duration::from_secs(120);

/// What the polls of one thread came to.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    polls: u64,
    panics: u64,
}

/// Arithmetic that a disturbed register would change.
fn compute(rounds: u64) -> (u64, u64) {
    let (mut whole, mut real) = (1_u64, 1.0_f64);
    for round in 0..rounds {
        whole = whole.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round);
        real = real.mul_add(1.000_000_1, 1.0 / (round as f64 + 1.5));
    }
    (whole, real.to_bits())
}

/// Polls that compute, sleep and panic, on threads that live for a moment.
fn polls(over: &AtomicBool) -> Host {
    const ROUNDS: u64 = 200_000;
    let expected = compute(ROUNDS);
    let mut host = Host::default();
    while !over.load(Ordering::Relaxed) {
        let life = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut panics = 0;
            for turn in 0..12_u64 {
                let poll = async move {
                    match turn % 4 {
                        0 => thread::sleep(Duration::from_millis(12)),
                        1 => resume_unwind(Box::new(turn)),
                        _ => {}
                    }
                    compute(ROUNDS)
                };
                let task = runtime.spawn(poll.detect_blocking("soak::poll"));
                match runtime.block_on(task) {
                    Ok(result) => assert_eq!(result, expected, "a result has changed"),
                    Err(error) => {
                        assert_eq!(*error.into_panic().downcast::<u64>().unwrap(), turn);
                        panics += 1;
                    }
                }
            }
            panics
        });
        host.panics += life.join().unwrap();
        host.polls += 12;
    }
    host
}

/// Loads and unloads a library whose code runs in between, and starts children while it may.
fn load(fleeting: &Path, over: &AtomicBool, children: &Mutex<bool>) -> (u64, u64) {
    let (mut loads, mut started) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let library = Library::load(fleeting);
        play(library, 0, 5).thread.join().unwrap();
        library.unload();
        loads += 1;
        let may = children.lock().unwrap();
        if *may {
            assert!(Command::new("true").status().unwrap().success());
            started += 1;
        }
    }
    (loads, started)
}

fn soak(wanted: u64) {
    let installed = crate::builder()
        // Nobody listens there: the exporter has its own trouble.
        .endpoint("http://127.0.0.1:1")
        .threshold(Duration::from_millis(1))
        .install()
        .unwrap();
    let (_, library) = release();
    let mut sampler = Sampler::new(Settings::default());
    let over = Arc::new(AtomicBool::new(false));
    // Linux itself interrupts reads with a timeout when the process starts children: their end is
    // told to any thread. So there is a turn for children, and one for readers.
    let children = Arc::new(Mutex::new(false));
    let fleeting = build("soak", &["-Copt-level=1"]);
    let loader = thread::spawn({
        let (over, children) = (Arc::clone(&over), Arc::clone(&children));
        move || load(&fleeting, &over, &children)
    });
    let host = thread::spawn({
        let over = Arc::clone(&over);
        move || polls(&over)
    });
    let (start, mut captures, mut reads, mut interrupted) = (Instant::now(), 0, 0, 0);
    for turn in 0_u32.. {
        let has_children = turn.is_multiple_of(2);
        // Waits for the end of a child.
        *children.lock().unwrap() = has_children;
        let third = if has_children { 0 } else { READS_WITH_TIMEOUT };
        let scenes = [UNWINDS, ALTERNATES, third, 1, 7];
        let playing = scenes.map(|scene| play(library, scene, TURN_MS));
        while !playing.iter().all(|playing| playing.thread.is_finished()) {
            for playing in &playing {
                captures += u64::from(sampler.sample(&playing.target).is_some());
            }
        }
        let [unwound, alternated, third, ..] = playing.map(|p| p.thread.join().unwrap());
        assert!(unwound > 0 && alternated == 0, "a result has changed");
        if !has_children {
            // Each read waits for 20 ms.
            reads += TURN_MS / 20;
            interrupted += third;
        }
        if captures >= wanted && reads > 0 {
            break;
        }
    }
    over.store(true, Ordering::Relaxed);
    let ((loads, children), host) = (loader.join().unwrap(), host.join().unwrap());
    drop(installed);
    say(format_args!(
        "{captures} captures in {:?}: {:?}; {host:?}; {loads} libraries loaded and unloaded, \
         {children} children; {interrupted} of about {reads} reads ended with EINTR",
        start.elapsed(),
        sampler.counts
    ));
    assert!(host.panics > 0 && loads > 0 && children > 0, "{host:?}");
    assert_eq!(interrupted, 0, "reads that ended with EINTR");
}

#[test]
#[ignore = "takes minutes: HOLDUP_SOAK_CAPTURES says how many captures, a million unless set"]
fn of_a_million_captures() {
    let wanted = std::env::var(CAPTURES).ok().and_then(|text| text.parse().ok());
    soak(wanted.unwrap_or(1_000_000));
}

/// In a process of its own: it installs Holdup, and ends this test if it hangs.
#[test]
fn a_short_soak() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "stack::tests::soak::of_a_million_captures"])
        .env(CAPTURES, "500")
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > SHORT_MAX {
            child.kill().unwrap();
            panic!("the soak hangs");
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success(), "{status}");
}
