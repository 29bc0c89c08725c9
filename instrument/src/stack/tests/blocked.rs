//! Who is named for each way to block.

use super::*;

/// What the leaf is called on the way to the kernel, for those that go there.
const LEAVES: [&str; 9] = ["nanosleep", "", "futex", "futex", "recv", "", "join", "", ""];

#[test]
fn every_way_to_block_has_the_right_leaf_and_blame() {
    let (_, library) = release();
    let (mut sampler, mut cache) = prepared(Settings::default());
    for (scene, name) in (0_u32..).zip(SCENES) {
        let playing = play(library, scene, 400);
        let stacks = stacks(&mut sampler, &mut cache, &playing, name);
        // Between two writes the thread may be neither here nor there.
        let least = if name == "writes_file" { 4 } else { 8 };
        assert!(stacks.len() >= least, "{name}: {} of 10 stacks", stacks.len());
        for stack in &stacks {
            let named = resolved(&mut cache, stack);
            assert!(stack.complete, "{name}: {:#?}", named.frames);
            assert_eq!(named.blame_function, format!("scenes::{name}"), "{:#?}", named.frames);
            assert_eq!(named.blame_crate, "scenes");
            let leaf = LEAVES[scene as usize];
            let near = named.frames.iter().take(3).any(|frame| frame.contains(leaf));
            assert!(near, "{name}: no {leaf} in {:#?}", named.frames);
        }
        if !matches!(name, "spins" | "allocates" | "sorts" | "writes_file") {
            assert!(stacks.iter().all(|stack| !stack.by_signal), "{name} was signalled");
        }
        playing.thread.join().unwrap();
    }
}

#[test]
fn inlined_functions_are_named_with_their_path_and_place() {
    let (_, library) = release();
    let (mut sampler, mut cache) = prepared(Settings::default());
    let playing = play(library, CART, 300);
    let stacks = stacks(&mut sampler, &mut cache, &playing, "price");
    let named = resolve(&mut cache, &stacks);
    assert_eq!(named.blame_function, "scenes::price", "{:#?}", named.frames);
    let place = named.frames.iter().find(|frame| frame.contains("scenes::price")).unwrap();
    assert!(place.contains(" at scenes.rs:"), "{place}");
    playing.thread.join().unwrap();
}

#[test]
fn a_block_three_frames_down_in_another_crate_is_charged_to_that_crate() {
    let ledger = ledger::Ledger::open().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (mut sampler, mut cache) = prepared(Settings::default());
    let (tell, told) = std::sync::mpsc::channel();
    let over = Arc::new(AtomicBool::new(false));
    let task = runtime.spawn({
        let over = Arc::clone(&over);
        async move {
            let _registered = register();
            tell.send(target(crate::stack::ffi::thread_id()).unwrap()).unwrap();
            while !over.load(Ordering::Relaxed) {
                let _posted = ledger.post("rent", -120_000);
            }
        }
    });
    let target = told.recv().unwrap();
    let named = eventually("a stack in the ledger", || {
        let stack = sampler.sample(&target)?;
        let named = resolved(&mut cache, &stack);
        named.frames.iter().any(|frame| frame.contains("ledger::disk::settle")).then_some(named)
    });
    assert_eq!(named.blame_crate, "ledger", "{:#?}", named.frames);
    assert!(named.frames.iter().any(|frame| frame.contains("tokio::runtime::task::")));
    assert_ne!(named.id, 0);
    over.store(true, Ordering::Relaxed);
    runtime.block_on(task).unwrap();
}

#[test]
fn without_signals_a_thread_that_runs_has_no_stack() {
    let (_, library) = release();
    let mut sampler = Sampler::new(Settings { signal: false });
    let playing = play(library, 1, 100);
    let mut spinning = 0;
    for _ in 0..10 {
        spinning += usize::from(sampler.sample(&playing.target).is_none());
    }
    assert!(spinning >= 8, "{spinning} of 10");
    assert_eq!(sampler.counts.by_signal, 0);
    playing.thread.join().unwrap();
}

#[test]
fn nothing_is_sampled_after_a_thread_s_end() {
    let (_, library) = release();
    let mut sampler = Sampler::new(Settings::default());
    let playing = play(library, 0, 1);
    let target = playing.target;
    playing.thread.join().unwrap();
    assert!(sampler.sample(&target).is_none());
}
