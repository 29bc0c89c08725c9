//! The log under any run of operations, and over any bytes.

use std::fs;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::tests::{FailingDisk, append, counters, entries, entry, files, mark, open, settings};
use super::{Appended, Entry, Log, Settings};

#[derive(Clone, Debug)]
enum Op {
    Append(u128, usize),
    Mark(u8),
    Release(usize),
    Reopen,
    Fail,
    /// Ends as a crash does that leaves part of a group behind.
    Torn(Vec<u8>),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0..60_u128, 0..3_000_usize).prop_map(|(key, length)| Op::Append(key, length)),
        2 => any::<u8>().prop_map(Op::Mark),
        2 => (0..100_usize).prop_map(Op::Release),
        2 => Just(Op::Reopen),
        1 => Just(Op::Fail),
        1 => prop::collection::vec(any::<u8>(), 1..200).prop_map(Op::Torn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_stands_in_the_files_the_log_opens_and_takes_more(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        places in prop::collection::vec(
            (0..2_usize, any::<prop::sample::Index>(), any::<u8>()),
            0..9,
        ),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        for first in [0, 10] {
            let (log, _) = open(folder.path());
            for key in first..first + 5 {
                append(&log, &entry(key, vec![key as u8; 40])).unwrap();
            }
        }
        let paths = files(folder.path());
        for (file, at, byte) in places {
            let mut bytes = fs::read(&paths[file]).unwrap();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            fs::write(&paths[file], &bytes).unwrap();
        }
        let mut last = fs::read(&paths[1]).unwrap();
        cut.inspect(|cut| last.truncate(cut.index(last.len())));
        last.extend_from_slice(&noise);
        fs::write(&paths[1], &last).unwrap();
        let disk = Box::<FailingDisk>::default();
        let (log, _) = Log::open(settings(folder.path()), disk, counters().0).unwrap();
        let left = entries(&log, 0);
        let all: Vec<Entry> =
            (0..5).chain(10..15).map(|n| entry(n, vec![n as u8; 40])).collect();
        let known = |left: &Entry| all.contains(left);
        prop_assert!(left.iter().all(known), "{left:?}");
        append(&log, &entry(99, "more")).unwrap();
        prop_assert_eq!(entries(&log, 0).len(), left.len() + 1);
    }

    #[test]
    fn any_run_of_operations_leaves_what_a_list_would(ops in prop::collection::vec(op(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let disk = FailingDisk::default();
        let settings = Settings { segment_bytes: 16_384, ..settings(folder.path()) };
        let reopen = || {
            Log::open(settings.clone(), Box::new(disk.clone()), counters().0).unwrap().0
        };
        let mut log = reopen();
        // What was acknowledged, by sequence number; the keys among it; what was released.
        let (mut model, mut keys, mut released) = (Vec::<(u64, Entry)>::new(), Vec::new(), 0);
        for op in ops {
            match op {
                Op::Append(key, length) => {
                    let entry = entry(key, vec![key as u8; length]);
                    match append(&log, &entry).unwrap() {
                        Appended::At(at) => {
                            prop_assert!(!keys.contains(&key), "{key} is known");
                            prop_assert!(model.last().is_none_or(|(last, _)| *last < at));
                            keys.push(key);
                            model.push((at, entry));
                        }
                        Appended::Known => prop_assert!(keys.contains(&key), "{key} is new"),
                    }
                }
                Op::Mark(number) => {
                    mark(&log, &number.to_string()).unwrap();
                }
                Op::Release(share) => {
                    let index = model.len() * share / 100;
                    released = model.get(index).map_or(released, |(at, _)| released.max(*at));
                    log.release(released);
                }
                Op::Reopen => {
                    drop(log);
                    log = reopen();
                }
                Op::Fail => {
                    disk.0.syncs.store(true, Ordering::Relaxed);
                    append(&log, &entry(1_000, "never")).unwrap_err();
                    disk.0.syncs.store(false, Ordering::Relaxed);
                }
                Op::Torn(tail) => {
                    drop(log);
                    if let Some(last) = files(folder.path()).pop() {
                        let mut bytes = fs::read(&last).unwrap();
                        bytes.extend_from_slice(&tail);
                        fs::write(&last, bytes).unwrap();
                    }
                    log = reopen();
                }
            }
            let left = model.iter().filter(|(at, _)| *at >= released);
            let left: Vec<Entry> = left.map(|(_, entry)| entry.clone()).collect();
            prop_assert_eq!(entries(&log, released), left);
        }
    }
}
