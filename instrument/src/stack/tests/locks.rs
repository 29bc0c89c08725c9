//! Who holds a lock.

use super::*;
use crate::stack::holder::name_holder;
use crate::stack::{Holder, ffi::thread_id};

/// A mutex of the C library names its owner, whatever is on whose stack.
#[test]
fn the_owner_of_a_mutex_of_the_c_library_is_the_one_that_it_names() {
    let (mut sampler, mut cache) = prepared(Settings::default());
    let mutex = Arc::new(ffi::CMutex::new());
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let kept = Arc::clone(&mutex);
    let keeper = thread::Builder::new().name("keeper".to_owned());
    let keeper = keeper.spawn(move || {
        kept.lock();
        tell.send(thread_id()).unwrap();
        let _ = released.recv();
        kept.unlock();
    });
    let owner = told.recv().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let waiter = thread::spawn(move || {
        let _registered = register();
        tell.send(target(thread_id()).unwrap()).unwrap();
        mutex.lock();
        mutex.unlock();
    });
    let target = told.recv().unwrap();
    let found = eventually("a holder", || {
        let stack = sampler.sample(&target)?;
        let holding = sampler.holder(&target)?;
        let frames = resolved(&mut cache, &stack).frames;
        name_holder(&mut cache, &frames, &holding)
    });
    let Holder { thread, thread_name, evidence, .. } = found;
    assert_eq!((thread, thread_name.as_str(), evidence), (owner.unsigned_abs(), "keeper", "owner"));
    release.send(()).unwrap();
    waiter.join().unwrap();
    keeper.unwrap().join().unwrap();
}
