//! `holdup top`, in a terminal.

use std::process::Command;

use holdup_tests::collector::{Collector, eventually};
use holdup_tests::program;

use super::tmux::{HOSTILE, HOSTILE_SHOWN, Tmux};
use super::{Poll, holdup, now_ms};

/// How the terminal is told to write in red.
const RED: &str = "\u{1b}[38;5;1m";

fn with_polls(data: &std::path::Path) -> Collector {
    let collector = Collector::start(data, &[]);
    let now = now_ms();
    let stack = "libc::sleep\nshop::db::wait\nshop::pay";
    Poll { stack, long_ms: 900, ..Poll::of("shop::pay", 1, now - 5_000) }.send(&collector);
    Poll::of("shop::list", 2, now - 4_000).send(&collector);
    Poll::of(HOSTILE, 3, now - 4_000).send(&collector);
    let held = Poll { stall: true, long_ms: 3_000, ..Poll::of("shop::hangs", 4, now - 3_000) };
    held.send(&collector);
    collector.settle();
    collector
}

#[test]
fn top_shows_functions_stalls_and_workers_and_looks_into_them() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = with_polls(data.path());
    let tmux = Tmux::start("top --since 1h", &collector);
    let first = tmux.until("functions are shown", |screen| screen.contains("shop::pay"));
    assert!(first.contains(HOSTILE_SHOWN) && first.contains("! 3.0 s"), "{first}");
    let row = |screen: &str, name: &str| screen.lines().position(|line| line.contains(name));
    assert!(row(&first, "shop::pay") < row(&first, "shop::list"), "most blocked first: {first}");
    assert!(!tmux.title().contains("owned"), "{}", tmux.title());

    tmux.press(&["S"]);
    tmux.until("the order is turned", |s| row(s, "shop::pay") > row(s, "shop::list"));
    tmux.press(&["S", "/", "p", "a", "y", "Enter"]);
    tmux.until("the filter holds", |s| s.contains("shop::pay") && !s.contains("shop::list"));
    tmux.press(&["Enter"]);
    let of = tmux.until("one function is shown", |screen| screen.contains("EPISODES"));
    for told in ["shop::pay in shop", "blocked 900.0 ms in 1 polls", "libc::sleep", "1 polls"] {
        assert!(of.contains(told), "{told}: {of}");
    }
    tmux.press(&["Escape"]);
    tmux.until("the list is back", |screen| screen.contains("BLOCKED"));
    tmux.press(&["Escape"]);
    tmux.until("the filter is cleared", |screen| screen.contains("shop::list"));
    tmux.press(&["2"]);
    tmux.until("what is stalled is shown", |s| s.contains("FOR*") && s.contains("shop::hangs"));
    tmux.press(&["3"]);
    tmux.until("workers are shown", |s| s.contains("LAST MINUTE") && s.contains(" %"));
    tmux.press(&["?"]);
    tmux.until("the keys are shown", |screen| screen.contains("walk the rows"));
    tmux.press(&["q"]);
    let end = tmux.until("it ends", |screen| screen.contains("ended with 0"));
    assert!(!end.contains("holdup  1 Functions"), "the terminal is as it was: {end}");
}

#[test]
fn top_is_drawn_at_any_size_and_without_colour_when_told() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = with_polls(data.path());
    let tmux = Tmux::start("top", &collector);
    tmux.until("functions are shown", |screen| screen.contains("shop::pay"));
    assert!(tmux.coloured().contains(RED), "what hangs is red: {:?}", tmux.coloured());
    for (width, height) in [(40, 10), (10, 3)] {
        tmux.resize(width, height);
        let width = usize::from(width);
        tmux.until("it is drawn anew", |screen| {
            let mut lines = screen.lines();
            lines.next().is_some_and(|line| line.starts_with(&"holdup"[..width.min(6)]))
        });
    }
    tmux.resize(2, 1);
    tmux.until("what there is room for is drawn", |screen| screen.trim_end() == "En");
    tmux.resize(120, 30);
    tmux.until("there is room again", |s| s.contains("shop::pay") && s.contains("WAITED"));
    tmux.press(&["C-c"]);
    tmux.until("it ends", |screen| screen.contains("ended with 0"));

    let plain = Tmux::start("top --interval 1s", &collector);
    plain.until("functions are shown", |screen| screen.contains("shop::pay"));
    plain.press(&["q"]);
    plain.until("it ends", |screen| screen.contains("ended with 0"));
    let command = format!(
        "clear; NO_COLOR=1 {} top --page {}",
        program("holdup").expect("built").display(),
        collector.page()
    );
    plain.press(&[&command, "Enter"]);
    plain.until("functions are shown", |s| s.contains("! 3.0 s") && s.contains("CAUSE"));
    assert!(!plain.coloured().contains(RED), "{:?}", plain.coloured());
}

#[test]
fn top_says_when_the_collector_is_gone_and_goes_on_when_it_is_back() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = with_polls(data.path());
    let page = collector.page();
    let tmux = Tmux::start("top --since 24h", &collector);
    tmux.until("functions are shown", |screen| screen.contains("shop::pay"));
    collector.kill();
    let lost = tmux.until("it tells", |screen| screen.contains("LOST, trying again"));
    assert!(lost.contains("shop::pay"), "what was known stays: {lost}");

    let mut command = Command::new(program("holdup").expect("built"));
    command.args(["serve", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    command.args(["--engine-listen", "127.0.0.1:0", "--batch-interval", "0s", "--page-listen"]);
    command.arg(page.trim_start_matches("http://")).arg("--data-dir").arg(data.path());
    let again = Collector::spawn(data.path(), command);
    Poll::of("shop::later", 9, now_ms() - 1_000).send(&again);
    tmux.until("it is told again", |s| s.contains("shop::later") && !s.contains("LOST"));
}

#[test]
fn top_ends_with_its_terminal() {
    let collector = Collector::start_in(tempfile::tempdir().expect("a folder"), &[]);
    for first in ["true", "trap '' HUP"] {
        let tmux = Tmux::start_after(first, "top", &collector);
        tmux.until("it draws", |screen| screen.contains("Functions"));
        let process = tmux.process();
        let arguments = || std::fs::read_to_string(format!("/proc/{process}/cmdline"));
        assert!(arguments().is_ok_and(|it| it.contains("top")));
        tmux.hang_up();
        // One that has ended has no arguments, also before somebody asked for how it ended.
        eventually("it ends", || arguments().unwrap_or_default().is_empty().then_some(()));
    }
}

#[test]
fn top_without_a_terminal_says_what_to_use() {
    let ran = holdup(&["top"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("use `holdup query top`"), "{ran:?}");
}
