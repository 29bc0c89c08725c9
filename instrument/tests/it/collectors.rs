//! Collectors that do what they should not. The service must not notice.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;

use crate::receiver::{self, Receiver};
use crate::session::{Session, alone, eventually, names, on_one_thread};

const POLLS: u64 = 10_000;

/// Closes the connection with what was sent unread.
fn resets(stream: TcpStream) {
    drop(stream);
}

fn answers(mut stream: TcpStream, answer: &[u8]) {
    let _request = receiver::request(&mut BufReader::new(stream.try_clone().unwrap()));
    let _gone = stream.write_all(answer);
}

fn talks_nonsense(stream: TcpStream) {
    answers(stream, b"\x16\x03\x01 what?\r\n\r\n");
}

fn is_busy(stream: TcpStream) {
    answers(stream, b"HTTP/1.1 429 later\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
}

fn fails(stream: TcpStream) {
    answers(stream, b"HTTP/1.1 500 oops\r\ncontent-length: 4\r\n\r\noops");
}

/// One byte of its answer a second.
fn is_slow(mut stream: TcpStream) {
    let _request = receiver::request(&mut BufReader::new(stream.try_clone().unwrap()));
    for byte in b"HTTP/1.1 200 OK\r\n" {
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
        thread::sleep(Duration::from_secs(1));
    }
}

/// Slow polls, one after the other, and how long they took in all. Each is worth a report.
fn flood(name: &'static str) -> Duration {
    let start = Instant::now();
    let sum = on_one_thread(async {
        let mut sum = 0;
        for number in 0..POLLS {
            sum += async move { number }.detect_blocking(name).await;
        }
        sum
    });
    assert_eq!(sum, POLLS * (POLLS - 1) / 2, "polls return what they return");
    start.elapsed()
}

fn every_poll(builder: holdup::Builder) -> holdup::Builder {
    builder.threshold(Duration::from_nanos(1)).report_descheduled(true)
}

#[test]
fn what_a_collector_in_trouble_misses_is_sent_again_or_counted() {
    for instead in [resets as fn(TcpStream), talks_nonsense, is_busy, fails] {
        let receiver = Receiver::start_after(1, instead);
        let session = Session::while_alone(alone(), receiver, every_poll);
        flood("it::trouble");
        let (mut arrived, mut dropped) = (0, 0);
        eventually("everything is accounted for", || {
            on_one_thread(std::future::ready(()).detect_blocking("it::next"));
            let polls = session.receiver.polls();
            arrived = polls.iter().filter(|poll| poll.function() == "it::trouble").count() as u64;
            dropped = polls.iter().filter_map(|poll| poll.integer("holdup.poll.dropped")).sum();
            arrived + dropped >= POLLS
        });
        assert!(arrived > 0 && dropped > 0, "{arrived} arrived, {dropped} were dropped");
        session.finish();
    }
}

#[test]
fn no_collector_holds_a_service_up() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    for instead in [resets as fn(TcpStream), talks_nonsense, is_busy, fails, is_slow] {
        let receiver = Receiver::start_after(usize::MAX, instead);
        let configure = |builder| every_poll(builder).flush_timeout(TIMEOUT);
        let session = Session::while_alone(alone(), receiver, configure);
        flood("it::first");
        eventually("a request", || session.receiver.was_called());
        // Two microseconds each on a machine of its own; a collector takes seconds.
        let took = (0..3).map(|_| flood("it::held up")).min().unwrap();
        let most = Duration::from_micros(50) * u32::try_from(POLLS).unwrap();
        assert!(took < most, "{POLLS} polls took {took:?}");
        let start = Instant::now();
        session.finish();
        let took = start.elapsed();
        assert!(took < TIMEOUT + Duration::from_secs(2), "the end took {took:?}");
    }
}

/// No byte can be written to any file, and there is no folder for temporary ones.
#[test]
fn a_full_disk_is_nothing_to_it() {
    let receiver = Receiver::start();
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -f 0; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "environment::service", "--ignored", "--nocapture"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url)
        .env("TMPDIR", "/nowhere")
        .current_dir("/proc")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let polls = receiver.polls();
    assert_eq!(names(&polls), ["it::fifteen", "it::thirty"]);
}
