//! A process that was stopped has not blocked.
#![cfg(unix)]

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use holdup::DetectBlocking;

use crate::receiver::Receiver;
use crate::session::{alone, block, names, on_one_thread};

const ENDPOINT: &str = "HOLDUP_IT_STOPPED_ENDPOINT";
const LASTS: Duration = Duration::from_secs(4);

/// Run by the other test, in a process of its own.
#[test]
#[ignore = "a part of the next test"]
fn the_program_that_is_stopped() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
    let guard = holdup::builder().endpoint(endpoint).install().unwrap();
    let start = Instant::now();
    on_one_thread(async {
        while start.elapsed() < LASTS {
            async { block(2) }.detect_blocking("it::short").await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        async { block(60) }.detect_blocking("it::long").await;
    });
    drop(guard);
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_stopped_process_blames_nobody() {
    let _alone = alone();
    let receiver = Receiver::start();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "standstill::the_program_that_is_stopped", "--ignored"])
        .env(ENDPOINT, &receiver.url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Long enough apart that no two fall into one poll, and not in step with its polls.
    for pause in [401, 353, 307, 251, 211] {
        thread::sleep(Duration::from_millis(pause));
        signal(&child, "STOP");
        thread::sleep(Duration::from_millis(120));
        signal(&child, "CONT");
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(names(&receiver.polls()), ["it::long"]);
    assert_eq!(names(&receiver.stalls()), [""; 0]);
}
