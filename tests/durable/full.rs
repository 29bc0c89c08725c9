//! A file system that is small, and full.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use holdup_tests::collector::{Collector, eventually, get};
use prost::Message;

use super::engine::Engine;
use super::{assert_once, folder, metric};
use crate::receiving::{PROTOBUF, request, send};

/// What a page of the file system has, bytes.
const PAGE: u64 = 4_096;

/// A command with a file system of 512 KiB in a folder, which nobody else sees. It needs no rights
/// but that to namespaces of users.
fn on_a_small_disk(folder: &Path, command: &Command) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    unshare.arg("mount -t tmpfs -o size=512k tmpfs \"$0\" && exec \"$@\"").arg(folder);
    unshare.arg(command.get_program()).args(command.get_args());
    unshare
}

/// Takes all but so many pages of the disk.
fn fill(filler: &Path, pages_left: u64) {
    let mut file = File::create(filler).expect("a file");
    let full = loop {
        if let Err(error) = file.write_all(&[0; 512]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
    let length = file.metadata().expect("it is there").len();
    file.set_len(length.next_multiple_of(PAGE) - pages_left * PAGE).expect("it gets shorter");
}

#[test]
fn a_disk_that_is_full_acknowledges_nothing_and_what_it_has_counts_once() {
    let data = folder();
    let log = data.path().join("small");
    std::fs::create_dir(&log).expect("a folder");
    let may = on_a_small_disk(&log, &Command::new("true")).status().expect("unshare runs");
    if !may.success() {
        println!("not run: this machine lets nobody mount a file system of their own");
        return;
    }
    let engine = Engine::start(&data.path().join("engine"));
    let (place, url) = (log.to_string_lossy(), engine.url());
    let settings = ["--log-dir", &place, "--log-free-min", "0", "--log-segment-bytes", "65536"];
    let arguments = [&["--clickhouse-url", &url], &settings[..]].concat();
    let command = Collector::command(data.path(), &arguments);
    let collector = Collector::spawn(data.path(), on_a_small_disk(&log, &command));
    let root = PathBuf::from(format!("/proc/{}/root", collector.pid()));
    let filler = root.join(log.strip_prefix("/").expect("it is absolute")).join("filler");
    let ready = || get(&format!("{}/readyz", collector.page())).status;
    let mut sent = 0;
    for pages_left in 0..4 {
        let body = request("full", sent..sent + 500).encode_to_vec();
        fill(&filler, pages_left);
        let answer = send(&collector, &[PROTOBUF], body.clone());
        assert_eq!(answer.status, 503, "{answer:?}");
        // Found out before the write, or by it.
        let says = |text: &str| answer.text.contains(text);
        assert!(says("bytes free") || says("No space left"), "{answer:?}");
        assert_eq!((ready(), metric(&collector, "holdup_log_taking")), (503, 0));
        std::fs::remove_file(&filler).expect("it is there");
        eventually("it is ready again by itself", || (ready() == 200).then_some(()));
        assert_eq!(send(&collector, &[PROTOBUF], body).status, 200);
        sent += 500;
        assert_once(&collector, "full", sent);
    }
}
