//! What stacks cost: by command, not with the other tests.
//!
//! `cargo test --release -p holdup --lib stack::tests::cost -- --ignored --nocapture --test-threads 1`

use std::io::Write;

use super::*;

pub(super) fn say(line: std::fmt::Arguments<'_>) {
    // A closed stderr has no reader to miss it.
    let _unwritten = writeln!(std::io::stderr(), "{line}");
}

/// Anonymous memory of this process, in KiB: what is mapped of files is the kernel's to take back.
fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

#[test]
#[ignore = "measures: run it alone, in a release build"]
fn of_one_stack() {
    let start = Instant::now();
    let mut sampler = Sampler::new(Settings::default());
    say(format_args!("a sampler, once: {:?}", start.elapsed()));
    let (_, library) = release();
    let mut cache = Cache::default();
    let before = memory_kib();
    for (scene, name) in (0_u32..).zip(SCENES) {
        let playing = play(library, scene, 400);
        let first = eventually("a stack", || sampler.sample(&playing.target));
        let start = Instant::now();
        resolved(&mut cache, &first);
        let cold = start.elapsed();
        let mut times = Vec::new();
        let mut last = first;
        while !playing.thread.is_finished() && times.len() < 50 {
            let start = Instant::now();
            if let Some(stack) = sampler.sample(&playing.target) {
                times.push(start.elapsed());
                last = stack;
            }
        }
        let start = Instant::now();
        let frames = resolved(&mut cache, &last).frames.len();
        let warm = start.elapsed();
        times.sort_unstable();
        let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
        let by = if last.by_signal { "signal" } else { "no signal" };
        say(format_args!(
            "{name:13} {by:9} sample {median:>10.1?} (most {most:>10.1?}), {frames} frames, names \
             {cold:>8.1?} at first, then {warm:.1?}"
        ));
        playing.thread.join().unwrap();
    }
    say(format_args!("memory for names: {} KiB", memory_kib().saturating_sub(before)));
    eventually("files are let go", || {
        cache.rest();
        (cache.resting_bytes() <= 12 << 20).then_some(())
    });
    say(format_args!("after ten seconds of rest: {} KiB", memory_kib().saturating_sub(before)));
}
