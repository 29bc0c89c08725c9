//! `holdup tail`, in a terminal.

use holdup_tests::collector::{Collector, eventually};

use super::tmux::{HOSTILE, HOSTILE_SHOWN, Tmux};
use super::{Poll, holdup, now_ms};

#[test]
fn tail_tells_episodes_as_they_open_and_close() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    Poll::of("shop::before", 1, now_ms() - 60_000).send(&collector);
    eventually("it is stored", || collector.ask("episodes").pop());
    let tmux = Tmux::start("tail --interval 200ms --service shop", &collector);
    // Until it has looked once, an episode could be one from before.
    let id = std::cell::Cell::new(2);
    tmux.until("an episode is told", |screen| {
        id.set(id.get() + 1);
        Poll::of("shop::pay", id.get(), now_ms() - 50).send(&collector);
        screen.contains("opened shop shop::pay: sleep")
    });
    Poll::of(HOSTILE, 1_000, now_ms() - 50).send(&collector);
    let screen = tmux.until("both are closed", |screen| screen.matches(" closed ").count() >= 2);
    let joined = screen.replace('\n', "");
    assert!(joined.contains(HOSTILE_SHOWN) && joined.contains("longest 50.0 ms"), "{screen}");
    assert!(!screen.contains("shop::before"), "it was before: {screen}");
    assert!(!tmux.title().contains("owned"), "{}", tmux.title());
    collector.kill();
    tmux.until("it tells that it is alone", |screen| {
        screen.replace('\n', "").contains("trying until it works")
    });
}

#[test]
fn tail_without_a_collector_ends_and_says_why() {
    let ran = holdup(&["tail", "--page", "http://127.0.0.1:1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
    assert!(ran.stderr.contains("no collector answers"), "{ran:?}");
}
