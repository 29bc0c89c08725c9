//! Stacks of real threads that block in every way, in code compiled in several ways.

mod blocked;
mod builds;
mod cost;
mod ffi;
mod load;
mod locks;
mod names;
mod soak;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::ffi::Library;
use crate::stack::{
    Cache, RawStack, Resolved, Sampler, Settings, Target, register, resolve, target,
};

/// The scenes, by number.
pub(super) const SCENES: [&str; 9] = [
    "sleeps",
    "spins",
    "locks",
    "waits",
    "reads_socket",
    "writes_file",
    "joins",
    "allocates",
    "sorts",
];
const CART: u32 = 9;
const UNWINDS: u32 = 10;
const READS_WITH_TIMEOUT: u32 = 11;
const ALTERNATES: u32 = 12;

/// Compiles the scenes in a folder of their own.
fn build(name: &str, flags: &[&str]) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let folder = program.parent().unwrap().join("stack-scenes").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("scenes.rs"), include_str!("scenes.rs")).unwrap();
    let library = folder.join("libscenes.so");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .current_dir(&folder)
        .args(["scenes.rs", "--edition=2024", "--crate-type=cdylib", "-Clink-arg=-Wl,--build-id"])
        .args(flags)
        .arg("-o")
        .arg(&library)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// The scenes as a release build has them.
fn release() -> (&'static Path, Library) {
    static BUILT: OnceLock<(PathBuf, Library)> = OnceLock::new();
    let (path, library) = BUILT.get_or_init(|| {
        let path = build("release", &["-Copt-level=3", "-Cdebuginfo=line-tables-only"]);
        let library = Library::load(&path);
        (path, library)
    });
    (path, *library)
}

/// A registered thread that is in a scene.
struct Playing {
    target: Target,
    thread: JoinHandle<u64>,
}

fn play(library: Library, scene: u32, milliseconds: u64) -> Playing {
    let (tell, told) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let _registered = register();
        tell.send(target(crate::stack::ffi::thread_id()).unwrap()).unwrap();
        library.enter(scene, milliseconds)
    });
    Playing { target: told.recv().unwrap(), thread }
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A sampler, and a cache that has the names of this program, which takes a while.
fn prepared(settings: Settings) -> (Sampler, Cache) {
    let (mut sampler, mut cache) = (Sampler::new(settings), Cache::default());
    let stack = eventually("a first stack", || {
        let playing = play(release().1, 0, 50);
        let mut stack = None;
        while stack.is_none() && !playing.thread.is_finished() {
            stack = sampler.sample(&playing.target);
        }
        playing.thread.join().unwrap();
        stack
    });
    resolved(&mut cache, &stack);
    (sampler, cache)
}

/// Several stacks of a thread, taken once it is where it is to be.
fn stacks(
    sampler: &mut Sampler,
    cache: &mut Cache,
    playing: &Playing,
    in_it: &str,
) -> Vec<RawStack> {
    let is_there = |stack: &RawStack, cache: &mut Cache| {
        let named = resolve(cache, std::slice::from_ref(stack));
        named.frames.iter().any(|frame| frame.contains(in_it))
    };
    let first = eventually(&format!("a stack with {in_it}"), || {
        sampler.sample(&playing.target).filter(|stack| is_there(stack, cache))
    });
    let more = (0..9).filter_map(|_| sampler.sample(&playing.target));
    std::iter::once(first).chain(more).collect()
}

fn resolved(cache: &mut Cache, stack: &RawStack) -> Resolved {
    resolve(cache, std::slice::from_ref(stack))
}
