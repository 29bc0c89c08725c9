//! What must never happen, however busy the threads are.

use super::*;

/// How long each of these goes on.
const MILLISECONDS: u64 = 1500;

#[test]
fn no_torn_stack_is_accepted() {
    let (_, library) = release();
    let (mut sampler, mut cache) = prepared(Settings { signal: false });
    let playing = play(library, ALTERNATES, MILLISECONDS);
    let mut good = 0;
    while !playing.thread.is_finished() {
        let Some(stack) = sampler.sample(&playing.target) else { continue };
        let frames = resolved(&mut cache, &stack).frames;
        let has = |text: &str| frames.iter().any(|frame| frame.contains(text));
        if !has("scenes::alternates") {
            continue;
        }
        let (left, right) = (has("scenes::left"), has("scenes::right"));
        let (slept, parked) = (has("nanosleep"), has("park"));
        assert!(left != right && left == slept && right == parked, "{frames:#?}");
        assert!(stack.complete, "{frames:#?}");
        good += 1;
    }
    assert!(good > 100, "{good} stacks");
}

#[test]
fn threads_that_unwind_panics_are_none_the_worse() {
    let (_, library) = release();
    let (mut sampler, mut cache) = prepared(Settings::default());
    let playing = play(library, UNWINDS, MILLISECONDS);
    let mut good = 0;
    while !playing.thread.is_finished() {
        let Some(stack) = sampler.sample(&playing.target) else { continue };
        let frames = resolved(&mut cache, &stack).frames;
        good += usize::from(frames.iter().any(|frame| frame.contains("scenes::unwinds")));
    }
    assert!(good > 50, "{good} stacks");
    assert!(playing.thread.join().unwrap() > 1000, "panics were caught");
}

#[test]
fn readers_with_a_timeout_are_not_interrupted() {
    let (_, library) = release();
    let mut sampler = Sampler::new(Settings::default());
    let playing = play(library, READS_WITH_TIMEOUT, MILLISECONDS);
    let mut stacks = 0;
    while !playing.thread.is_finished() {
        stacks += usize::from(sampler.sample(&playing.target).is_some());
    }
    assert!(stacks > 1000, "{stacks} stacks");
    assert_eq!(playing.thread.join().unwrap(), 0, "reads that ended with EINTR");
}

#[test]
fn threads_may_end_while_they_are_looked_at() {
    let (_, library) = release();
    let over = Arc::new(AtomicBool::new(false));
    let latest = Arc::new(AtomicI32::new(0));
    let starter = thread::spawn({
        let (over, latest) = (Arc::clone(&over), Arc::clone(&latest));
        move || {
            let mut threads = 0_u32;
            while !over.load(Ordering::Relaxed) {
                let playing = play(library, threads % 2, 2);
                latest.store(playing.target.tid, Ordering::Relaxed);
                playing.thread.join().unwrap();
                threads += 1;
            }
            threads
        }
    });
    let mut sampler = Sampler::new(Settings::default());
    let (start, mut stacks) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_millis(MILLISECONDS) {
        let Some(target) = target(latest.load(Ordering::Relaxed)) else { continue };
        stacks += usize::from(sampler.sample(&target).is_some());
    }
    over.store(true, Ordering::Relaxed);
    let threads = starter.join().unwrap();
    assert!(threads > 20 && stacks > 20, "{threads} threads, {stacks} stacks");
}

const CHILD: &str = "HOLDUP_TEST_UNDUMPABLE";

/// The flag is the process's, so this looks at it from a process of its own.
#[test]
fn a_process_that_can_t_be_dumped_still_tells_of_threads_that_run() {
    if std::env::var_os(CHILD).is_some() {
        return undumpable();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("stack::tests::load::a_process_that_can_t_be_dumped_still_tells_of_threads_that_run")
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

fn undumpable() {
    let (_, library) = release();
    ffi::make_undumpable();
    let (mut sampler, mut cache) = prepared(Settings::default());
    let asleep = play(library, 0, 200);
    let spinning = play(library, 1, 200);
    let mut found = None;
    while !spinning.thread.is_finished() {
        // What it may not see of a thread that is blocked, it doesn't get by a signal.
        assert!(sampler.sample(&asleep.target).is_none_or(|stack| !stack.by_signal));
        found = sampler.sample(&spinning.target).or(found);
    }
    let named = resolved(&mut cache, &found.unwrap());
    assert!(named.frames.len() > 4, "{:#?}", named.frames);
    asleep.thread.join().unwrap();
}
