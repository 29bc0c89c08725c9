//! The collector's clock jumps by days while ClickHouse's and the services' are right.

use std::fs;
use std::path::{Path, PathBuf};

use holdup_tests::collector::Collector;
use prost::Message;

use super::engine::Engine;
use super::{assert_once, folder};
use crate::receiving::{PROTOBUF, request, send};

/// The library of Debian's package libfaketime, for programs with threads.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a folder").flatten();
    let mut paths = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    paths.find(|path| path.exists()).expect("libfaketime: `apt-get install libfaketime`")
}

/// A collector whose clock is off by what a file says. Intervals are not: as on a machine whose
/// clock is set.
fn start(data: &Path, url: &str) -> Collector {
    // Polls before and after a jump are of one episode, where their times are believed.
    let arguments = ["--clickhouse-url", url, "--episode-gap", "60s"];
    let mut command = Collector::command(data, &arguments);
    command
        .env("LD_PRELOAD", faketime())
        .env("FAKETIME_TIMESTAMP_FILE", data.join("clock"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Collector::spawn(data, command)
}

#[test]
fn a_clock_that_jumps_by_days_loses_nothing_and_counts_nothing_twice() {
    let data = folder();
    let engine = Engine::start(&data.path().join("engine"));
    let set = |days: &str| fs::write(data.path().join("clock"), days).expect("a file");
    set("+0d");
    let mut collector = start(data.path(), &engine.url());
    let mut ids = 0..;
    let mut send_some = |collector: &Collector| {
        let of = ids.by_ref().take(10);
        let body = request("jumps", of).encode_to_vec();
        assert_eq!(send(collector, &[PROTOBUF], body).status, 200);
        collector.settle();
    };
    // Within what is believed of a service's clock, within what tables keep, and beyond.
    let jumps = ["+0d", "-30m", "+3d", "+0d", "-3d", "+10d", "-10d", "-200d", "+200d", "+0d"];
    for days in jumps {
        set(days);
        send_some(&collector);
    }
    for days in jumps {
        collector.kill();
        set(days);
        collector = start(data.path(), &engine.url());
        send_some(&collector);
    }
    let days = collector.sql("SELECT uniqExact(toDate(start)) FROM poll_spans");
    assert!(days.parse::<u32>().expect("a number") > 4, "the clock did jump: {days} days");
    for table in ["poll_spans", "functions_1m", "episodes"] {
        collector.sql(&format!("OPTIMIZE TABLE {table} FINAL"));
    }
    assert_once(&collector, "jumps", 10 * 2 * jumps.len() as u64);
}
