//! What stacks cost: by command, not with the other tests.
//!
//! `cargo test --release -p holdup --lib stack::tests::cost -- --ignored --nocapture --test-threads 1`

use std::io::Write;

use super::*;
use crate::stack::Binary;

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
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// Of the program that `HOLDUP_PROGRAM` names, or of this one. Times are of this thread on a CPU.
#[test]
#[ignore = "measures: run it alone, in a release build"]
fn of_names() {
    let own = std::env::current_exe().unwrap();
    let path = std::env::var_os("HOLDUP_PROGRAM").map_or(own, PathBuf::from);
    let addresses = names::addresses(&path, 1000);
    // As calls lie in a stack: not in the order of the file.
    let count = addresses.len();
    let shuffled = (0..count).map(|index| addresses[index * 7919 % count]).collect::<Vec<_>>();
    let mut binary = None;
    let info = allocation_counter::measure(|| {
        let start = cpu_time();
        binary = Binary::open_within(&path, crate::stack::binary::UnpackedMax(1 << 20)).ok();
        say(format_args!("open: {:?}", cpu_time() - start));
    });
    let binary = binary.unwrap();
    say(format_args!("opened: {} KiB, {} KiB at most", binary.bytes() >> 10, info.bytes_max >> 10));
    let start = cpu_time();
    let mut frames = 0;
    let info = allocation_counter::measure(|| {
        for &address in &shuffled {
            frames += binary.frames(address).len();
        }
    });
    let each = (cpu_time() - start) / u32::try_from(count).unwrap();
    let more = info.bytes_max >> 10;
    say(format_args!(
        "{frames} frames: {each:?} an address far from others, {more} KiB more at most"
    ));
    let (mut near, mut found) = (Duration::ZERO, 0);
    for address in addresses {
        binary.frames(address);
        let start = cpu_time();
        found += (1..=8).map(|by| binary.frames(address + by).len()).sum::<usize>();
        near += cpu_time() - start;
    }
    let each = near / u32::try_from(count * 8).unwrap();
    say(format_args!("{found} frames: {each:?} an address in a unit that was just asked"));
    say(format_args!("kept: {} KiB", binary.bytes() >> 10));
    let (mut opened, mut all) = (Duration::ZERO, Duration::ZERO);
    let info = allocation_counter::measure(|| {
        let start = cpu_time();
        let loader = addr2line::Loader::new(&path).unwrap();
        opened = cpu_time() - start;
        for &address in &shuffled {
            names::by_addr2line(&loader, address);
        }
        all = cpu_time() - start - opened;
    });
    let (each, most) = (all / u32::try_from(count).unwrap(), info.bytes_max >> 10);
    say(format_args!("addr2line: {opened:?} to open, {each:?} an address, {most} KiB at most"));
}
