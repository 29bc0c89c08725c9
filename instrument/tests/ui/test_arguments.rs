//! A test has limits and a runtime, each given once, and nothing to be called with.

#[holdup::test(max_pol = "50ms")]
async fn misspelt() {}

#[holdup::test(max_poll = 50)]
async fn no_unit() {}

#[holdup::test(max_poll = "soon")]
async fn no_duration() {}

#[holdup::test(max_poll = "1s", max_poll = "2s")]
async fn twice() {}

#[holdup::test(allow = 1)]
async fn no_pattern() {}

#[holdup::test(flavor = "many")]
async fn no_flavor() {}

#[holdup::test(worker_threads = 2)]
async fn workers_of_one_thread() {}

#[holdup::test(flavor = "multi_thread", worker_threads = 0)]
async fn no_workers() {}

#[holdup::test]
fn not_async() {}

#[holdup::test]
async fn with_an_argument(id: u64) {}

fn main() {}
