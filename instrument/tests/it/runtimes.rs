//! Every way to run a future on tokio.

use holdup::DetectBlocking;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::session::{Session, block, names, on_one_thread};

fn blocks(name: &'static str) -> holdup::Watched<impl Future<Output = ()> + Send> {
    async {
        block(20);
    }
    .detect_blocking(name)
}

#[test]
fn each_runtime_is_covered() {
    let session = Session::start();
    on_one_thread(async {
        blocks("it::root").await;
        tokio::spawn(blocks("it::task")).await.unwrap();
        LocalSet::new()
            .run_until(async { tokio::task::spawn_local(blocks("it::local")).await.unwrap() })
            .await;
    });
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).thread_name("it-worker").enable_all().build().unwrap();
    runtime.block_on(async {
        blocks("it::root of many").await;
        tokio::spawn(blocks("it::worker")).await.unwrap();
    });
    let polls = session.finish();
    let all = ["it::local", "it::root", "it::root of many", "it::task", "it::worker"];
    assert_eq!(names(&polls), all);
    for poll in &polls {
        let is_worker = poll.function() == "it::worker";
        let by_no_worker = poll.function() == "it::root of many";
        assert_eq!(poll.integer("holdup.worker").is_none(), by_no_worker, "{}", poll.function());
        let is_root = poll.function().starts_with("it::root");
        assert_eq!(poll.integer("holdup.task.id").is_none(), is_root, "{}", poll.function());
        if is_worker {
            assert_eq!(poll.text("thread.name").as_deref(), Some("it-worker"));
        }
    }
}

#[test]
fn it_can_be_installed_inside_a_runtime_and_dropped_there() {
    let alone = crate::session::alone();
    let receiver = crate::receiver::Receiver::start();
    on_one_thread(async {
        let guard = holdup::builder().endpoint(&receiver.url).install().unwrap();
        blocks("it::inside").await;
        drop(guard);
    });
    assert_eq!(names(&receiver.polls()), ["it::inside"]);
    drop(alone);
}

#[cfg(target_os = "linux")]
#[test]
fn what_blocks_in_place_is_not_reported() {
    let session = Session::start();
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let in_place = async { tokio::task::block_in_place(|| block(80)) };
        tokio::spawn(in_place.detect_blocking("it::in place")).await.unwrap();
        tokio::spawn(blocks("it::not in place")).await.unwrap();
        tokio::task::spawn_blocking(|| block(30)).await.unwrap();
    });
    assert_eq!(names(&session.finish()), ["it::not in place"]);
}

#[tokio::main]
async fn root() {
    block(30);
    async { block(30) }.detect_blocking("it::in the root").await;
}

/// tokio's hooks don't see it in either build: what is annotated in it is found.
#[test]
fn what_blocks_in_the_root_future_is_found() {
    let session = Session::start();
    root();
    assert_eq!(names(&session.finish()), ["it::in the root"]);
}
