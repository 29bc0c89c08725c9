//! The log against a model of it: cut at every byte, with bits turned over, on disks that fail.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus_client::registry::Registry;

use super::{
    AppendError, Appended, Counters, Disk, Entry, Log, OpenError, RealDisk, Recovered, Settings,
};

/// A disk whose writes, syncs and free space are as a test wants them. It waits for no sync: what a
/// process wrote is there for the next also without one.
#[derive(Clone, Default)]
pub(super) struct FailingDisk(pub(super) Arc<Faults>);

#[derive(Default)]
pub(super) struct Faults {
    writes: AtomicBool,
    pub(super) syncs: AtomicBool,
    full: AtomicBool,
}

impl Disk for FailingDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        RealDisk.create(path)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        if self.0.writes.load(Ordering::Relaxed) {
            // As a disk does that fills up in the midst of a write.
            RealDisk.write(file, &bytes[..bytes.len() / 2], at)?;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        RealDisk.write(file, bytes, at)
    }

    fn sync(&self, _file: &File) -> io::Result<()> {
        if self.0.syncs.load(Ordering::Relaxed) {
            return Err(io::Error::other("Input/output error"));
        }
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let full = self.0.full.load(Ordering::Relaxed);
        if full { Ok(0) } else { RealDisk.free_bytes(folder) }
    }
}

pub(super) fn settings(folder: &Path) -> Settings {
    Settings { folder: folder.into(), bytes_max: 1 << 30, free_min: 0, segment_bytes: 1 << 20 }
}

pub(super) fn counters() -> (Counters, Registry) {
    let mut registry = Registry::default();
    (Counters::register(&mut registry), registry)
}

/// The value of a counter or gauge.
fn metric(registry: &Registry, name: &str) -> u64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

pub(super) fn open(folder: &Path) -> (Log, Recovered) {
    Log::open(settings(folder), Box::new(RealDisk), counters().0).unwrap()
}

pub(super) fn entry(key: u128, bytes: impl Into<Bytes>) -> Entry {
    let label = u32::try_from(key % 7).unwrap();
    Entry { key, time_ns: 1_000 + u64::try_from(key).unwrap(), label, bytes: bytes.into() }
}

pub(super) fn append(log: &Log, entry: &Entry) -> Result<Appended, AppendError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.append(entry.clone()))
}

/// Appends all at a time, so that they share a sync.
fn append_all(log: &Log, entries: &[Entry]) -> Vec<Appended> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let all = entries.iter().map(|entry| log.append(entry.clone()));
    let all = runtime.block_on(futures_util::future::join_all(all));
    all.into_iter().map(Result::unwrap).collect()
}

pub(super) fn mark(log: &Log, text: &str) -> Result<Appended, AppendError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.mark(text.into()))
}

/// All entries from a sequence number on.
pub(super) fn entries(log: &Log, from: u64) -> Vec<Entry> {
    let mut reader = log.reader(from);
    let mut entries = Vec::new();
    while let Some(found) = reader.find().unwrap() {
        entries.extend(reader.read(&found).unwrap());
    }
    entries
}

/// The files of a log, in order.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        all.filter(|path| path.extension().is_some_and(|ext| ext == "log")).collect();
    files.sort();
    files
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_was_appended_comes_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<Entry> = (0..100).map(|n| entry(n, vec![7; n as usize * 31])).collect();
    let (log, recovered) = open(folder.path());
    assert_eq!((recovered.first, recovered.marks.len()), (1, 0));
    for entry in &all {
        assert!(matches!(append(&log, entry), Ok(Appended::At(_))));
    }
    mark(&log, "so far").unwrap();
    assert_eq!(entries(&log, 0), all);
    drop(log);
    let (log, recovered) = open(folder.path());
    assert_eq!(entries(&log, 0), all);
    assert_eq!(recovered.marks[0].bytes, b"so far");
    assert_eq!(append(&log, &all[5]), Ok(Appended::Known), "its key survives");
    let end = *log.end().borrow();
    assert_eq!(append(&log, &entry(100, "more")), Ok(Appended::At(end)));
    assert_eq!(entries(&log, end), [entry(100, "more")]);
}

#[test]
fn a_log_cut_at_any_byte_holds_what_was_on_disk_whole_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(folder.path());
    let all: Vec<Entry> = (0..12).map(|n| entry(n, vec![n as u8; 3 + n as usize * 5])).collect();
    let mut ends = Vec::new();
    let file = |folder: &Path| files(folder).pop().unwrap();
    for entry in &all {
        append(&log, entry).unwrap();
        ends.push(fs::metadata(file(folder.path())).unwrap().len());
    }
    drop(log);
    let whole = fs::read(file(folder.path())).unwrap();
    for cut in 0..=whole.len() {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join("000000000001.log"), &whole[..cut]).unwrap();
        let (counters, registry) = counters();
        let opened = Log::open(settings(copy.path()), Box::<FailingDisk>::default(), counters);
        let (log, _) = opened.unwrap();
        let kept = ends.iter().filter(|end| **end <= cut as u64).count();
        assert_eq!(entries(&log, 0), all[..kept], "cut at byte {cut}");
        assert_eq!(metric(&registry, "log_damaged_total"), 0, "cut at byte {cut}");
        // What was cut off was not acknowledged, so it may come again; what is there may not.
        let known = append_all(&log, &all).iter().filter(|to| **to == Appended::Known).count();
        assert_eq!(known, kept, "cut at byte {cut}");
        assert_eq!(entries(&log, 0), all, "cut at byte {cut}");
    }
}

#[test]
fn a_bit_that_turned_over_is_told_and_costs_one_entry() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(folder.path());
    let all: Vec<Entry> = (0..6).map(|n| entry(n, vec![n as u8; 20])).collect();
    for entry in &all {
        append(&log, entry).unwrap();
    }
    drop(log);
    let path = files(folder.path()).pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let record = 36 + 28 + 20;
    let begin = whole.len() - 6 * record;
    // Of the last record nobody can tell whether it was ever on disk.
    for at in begin..whole.len() - record {
        let copy = tempfile::tempdir().unwrap();
        let mut rotten = whole.clone();
        rotten[at] ^= 1 << (at % 8);
        fs::write(copy.path().join("000000000001.log"), &rotten).unwrap();
        let (counters, registry) = counters();
        let (log, _) =
            Log::open(settings(copy.path()), Box::<FailingDisk>::default(), counters).unwrap();
        let mut left = all.clone();
        left.remove((at - begin) / record);
        assert_eq!(entries(&log, 0), left, "byte {at}");
        assert_eq!(metric(&registry, "log_damaged_total"), 1, "byte {at}");
        let aside = fs::read_dir(copy.path().join("damaged")).unwrap().next().unwrap().unwrap();
        assert_eq!(fs::read(aside.path()).unwrap().len(), record, "byte {at}");
    }
}

#[test]
fn damage_is_told_in_files_before_the_last_up_to_their_ends() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..3 {
        let (log, _) = open(folder.path());
        append(&log, &entry(n, "abc")).unwrap();
    }
    let first = &files(folder.path())[0];
    let bytes = fs::read(first).unwrap();
    for shorter in [bytes.len() - 1, bytes.len() - 67] {
        fs::write(first, &bytes[..shorter]).unwrap();
        let (counters, registry) = counters();
        let (log, _) = Log::open(settings(folder.path()), Box::new(RealDisk), counters).unwrap();
        assert_eq!(entries(&log, 0), [entry(1, "abc"), entry(2, "abc")]);
        assert_eq!(metric(&registry, "log_damaged_total"), 1);
    }
}

#[test]
fn damage_under_a_running_reader_is_told_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (counters, registry) = counters();
    let (log, _) = Log::open(settings(folder.path()), Box::new(RealDisk), counters).unwrap();
    for n in 0..3 {
        append(&log, &entry(n, "abcd")).unwrap();
    }
    let path = files(folder.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let (record, length) = (36 + 28 + 4, bytes.len());
    bytes[length - 2 * record] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(entries(&log, 0), [entry(0, "abcd"), entry(2, "abcd")]);
    assert_eq!(metric(&registry, "log_damaged_total"), 1);
    bytes[length - 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(entries(&log, 0), [entry(0, "abcd")]);
    assert_eq!(metric(&registry, "log_damaged_total"), 2);
}

#[test]
fn a_failed_sync_acknowledges_nothing_and_is_never_taken_for_clean() {
    let faults: [fn(&Faults) -> &AtomicBool; 2] = [|of| &of.syncs, |of| &of.writes];
    for fault in faults {
        let folder = tempfile::tempdir().unwrap();
        let disk = FailingDisk::default();
        let (counters, registry) = counters();
        let opened = Log::open(settings(folder.path()), Box::new(disk.clone()), counters);
        let (log, _) = opened.unwrap();
        append(&log, &entry(1, "before")).unwrap();
        fault(&disk.0).store(true, Ordering::Relaxed);
        let error = append(&log, &entry(2, "lost")).unwrap_err();
        assert!(matches!(error, AppendError::Failed(_)), "{error}");
        assert!(log.refusing().is_some(), "it is not ready");
        assert_eq!(metric(&registry, "log_taking"), 0);
        append(&log, &entry(2, "lost")).unwrap_err();
        fault(&disk.0).store(false, Ordering::Relaxed);
        // Nobody appends: it finds out by itself.
        eventually("it takes again", || log.refusing().is_none());
        assert!(matches!(append(&log, &entry(2, "again")), Ok(Appended::At(_))));
        assert_eq!(entries(&log, 0), [entry(1, "before"), entry(2, "again")]);
        drop(log);
        let (log, _) = open(folder.path());
        assert_eq!(entries(&log, 0), [entry(1, "before"), entry(2, "again")]);
        assert!(metric(&registry, "log_failed_total") >= 2);
    }
}

#[test]
fn what_a_failed_sync_left_behind_is_void() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FailingDisk::default();
    let opened = Log::open(settings(folder.path()), Box::new(disk.clone()), counters().0);
    let (log, _) = opened.unwrap();
    append(&log, &entry(1, "before")).unwrap();
    let first = files(folder.path()).pop().unwrap();
    // The record as it would have come onto the disk after all.
    let mut with_leftover = fs::read(&first).unwrap();
    let leftover = entry(9, "refused");
    let (key, time) = (leftover.key.to_le_bytes(), leftover.time_ns.to_le_bytes());
    let parts: [&[u8]; 4] = [&key, &time, &leftover.label.to_le_bytes(), &leftover.bytes];
    super::record::write(&mut with_leftover, 1, (3, 3), super::record::Kind::Entry, &parts);
    disk.0.syncs.store(true, Ordering::Relaxed);
    append(&log, &leftover).unwrap_err();
    disk.0.syncs.store(false, Ordering::Relaxed);
    append(&log, &entry(2, "after")).unwrap();
    drop(log);
    fs::write(&first, &with_leftover).unwrap();
    let (counters, registry) = counters();
    let (log, _) = Log::open(settings(folder.path()), Box::new(RealDisk), counters).unwrap();
    assert_eq!(entries(&log, 0), [entry(1, "before"), entry(2, "after")]);
    assert_eq!(metric(&registry, "log_damaged_total"), 0);
    assert!(matches!(append(&log, &leftover), Ok(Appended::At(_))), "it was never acknowledged");
}

#[test]
fn a_full_disk_refuses_entries_takes_marks_and_comes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FailingDisk::default();
    let opened = Log::open(settings(folder.path()), Box::new(disk.clone()), counters().0);
    let (log, _) = opened.unwrap();
    disk.0.full.store(true, Ordering::Relaxed);
    let error = append(&log, &entry(1, "x")).unwrap_err();
    assert!(error.to_string().contains("--log-free-min"), "{error}");
    mark(&log, "taken").unwrap();
    assert!(log.refusing().is_some());
    disk.0.full.store(false, Ordering::Relaxed);
    eventually("it takes again", || log.refusing().is_none());
    append(&log, &entry(1, "x")).unwrap();
}

#[test]
fn the_quota_holds_and_what_is_released_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Settings { bytes_max: 200_000, segment_bytes: 50_000, ..settings(folder.path()) };
    let (log, _) = Log::open(settings, Box::new(RealDisk), counters().0).unwrap();
    let mut last = 0;
    let full = (0..100).find_map(|n| match append(&log, &entry(n, vec![0; 10_000])) {
        Ok(Appended::At(at)) => {
            last = at;
            None
        }
        other => other.err(),
    });
    assert_eq!(full, Some(AppendError::Full { bytes_max: 200_000 }));
    let held: u64 = files(folder.path()).iter().map(|f| fs::metadata(f).unwrap().len()).sum();
    assert!((150_000..=200_000).contains(&held), "{held}");
    log.release(last + 1);
    assert_eq!(files(folder.path()).len(), 1, "the one that is written to stays");
    eventually("it takes again", || log.refusing().is_none());
    append(&log, &entry(200, vec![0; 10_000])).unwrap();
    assert_eq!(append(&log, &entry(0, vec![0; 10_000])), Ok(Appended::Known), "its file is gone");
}

#[test]
fn two_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (log, _) = open(folder.path());
    let second = Log::open(settings(folder.path()), Box::new(RealDisk), counters().0);
    let error = second.err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(log);
    open(folder.path());
}

#[test]
fn a_file_of_a_later_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut head = super::segment::head(1, 1);
    head[8] = 2;
    let crc = crc32c::crc32c(&head[..28]).to_le_bytes();
    head[28..].copy_from_slice(&crc);
    let path = folder.path().join("000000000001.log");
    fs::write(&path, &head).unwrap();
    let error = Log::open(settings(folder.path()), Box::new(RealDisk), counters().0).err().unwrap();
    assert!(error.to_string().contains("is of version 2"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), head);
}

#[test]
fn many_appenders_share_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let (counters, registry) = counters();
    let (log, _) = Log::open(settings(folder.path()), Box::new(RealDisk), counters).unwrap();
    let keys = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    // Each key is appended by two threads, and counts once.
                    let key = keys.fetch_add(1, Ordering::Relaxed) / 2;
                    append(&log, &entry(key.into(), vec![1; 500])).unwrap();
                }
            });
        }
    });
    assert_eq!(entries(&log, 0).len(), 400);
    assert_eq!(metric(&registry, "log_appended_total"), 400);
    assert_eq!(metric(&registry, "log_known_total"), 400);
}
