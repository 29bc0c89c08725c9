//! Code compiled in other ways: stripped, with `panic=abort`, at other levels, elsewhere.

use super::*;
use crate::stack::Binary;

/// The stack id and the frames of one scene in one build.
fn captured(cache: &mut Cache, library: &Path, scene: u32, in_it: &str) -> Resolved {
    let library = Library::load(library);
    let mut sampler = Sampler::new(Settings::default());
    let playing = play(library, scene, 400);
    let stacks = stacks(&mut sampler, cache, &playing, in_it);
    playing.thread.join().unwrap();
    let named = resolve(cache, &stacks);
    assert!(stacks.iter().all(|stack| stack.complete), "{:#?}", named.frames);
    named
}

#[test]
fn the_stack_id_is_the_same_across_builds_levels_and_folders() {
    let lines = "-Cdebuginfo=line-tables-only";
    let builds = [
        build("level-0", &["-Copt-level=0", lines]),
        build("level-1/elsewhere", &["-Copt-level=1", lines, "-Ccodegen-units=1"]),
        build("level-3/far/away", &["-Copt-level=3", lines]),
        build("level-s-full", &["-Copt-level=s", "-Cdebuginfo=full", "-Cpanic=abort"]),
    ];
    let (_, mut cache) = prepared(Settings::default());
    let mut all = Vec::new();
    for (scene, in_it) in [(CART, "price"), (0, "sleeps"), (1, "spins"), (3, "waits")] {
        let found = builds.iter().map(|library| captured(&mut cache, library, scene, in_it));
        let found = found.collect::<Vec<_>>();
        for other in &found[1..] {
            let both = (&found[0].frames, &other.frames);
            assert_eq!(found[0].id, other.id, "{in_it}: {both:#?}");
            assert!(other.blame_function.ends_with(in_it), "{:#?}", other.frames);
        }
        all.push(found[0].id);
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4, "each block has an id of its own");
}

#[test]
fn a_stripped_library_gives_offsets_that_its_unstripped_twin_resolves() {
    let flags = ["-Copt-level=3", "-Cdebuginfo=line-tables-only", "-Cpanic=abort"];
    let whole = build("whole", &flags);
    let stripped = whole.with_file_name("libstripped.so");
    let mut strip = Command::new("strip");
    strip.arg("--strip-all").arg("-o").args([&stripped, &whole]);
    assert!(strip.status().unwrap().success());

    let (_, mut cache) = prepared(Settings::default());
    let named = captured(&mut cache, &stripped, 0, "libstripped.so+0x");
    assert_eq!((named.blame_function.as_str(), named.blame_crate.as_str()), ("", ""));
    assert_ne!(named.id, 0);
    assert_eq!(named.id, captured(&mut cache, &stripped, 0, "libstripped.so+0x").id);

    let binary = Binary::open(&whole).unwrap();
    let id = binary.build_id().unwrap();
    let unnamed = named.frames.iter().filter_map(|frame| frame.strip_prefix("libstripped.so+0x"));
    let lines = unnamed.flat_map(|place| {
        let (offset, build) = place.split_once(" @ ").unwrap();
        assert_eq!(build, id);
        binary.describe(u64::from_str_radix(offset, 16).unwrap())
    });
    let lines = lines.collect::<Vec<_>>();
    assert!(
        lines.iter().any(|line| line.starts_with("scenes::sleeps at scenes.rs:")),
        "{lines:#?}"
    );
    let debug = whole.with_file_name("libscenes.debug");
    let mut keep = Command::new("strip");
    keep.arg("--only-keep-debug").arg("-o").args([&debug, &whole]);
    assert!(keep.status().unwrap().success());
    let debug = Binary::open(&debug).unwrap();
    let offsets = named.frames.iter().filter_map(|frame| frame.strip_prefix("libstripped.so+0x"));
    for place in offsets {
        let offset = u64::from_str_radix(place.split_once(" @ ").unwrap().0, 16).unwrap();
        assert_eq!(debug.describe(offset), binary.describe(offset), "{place}");
    }
    assert!(Binary::open(&stripped).is_ok_and(|binary| !binary.has_symbols()));
}

#[test]
fn neither_frame_pointers_nor_debugging_information_are_needed() {
    let library = build("plain", &["-Copt-level=3", "-Cforce-frame-pointers=no", "-Cdebuginfo=0"]);
    let (_, mut cache) = prepared(Settings::default());
    for (scene, name) in (0_u32..).zip(SCENES).filter(|(_, name)| *name != "writes_file") {
        let named = captured(&mut cache, &library, scene, name);
        assert_eq!(named.blame_function, format!("scenes::{name}"), "{:#?}", named.frames);
    }
    let library = build("pointers", &["-Copt-level=2", "-Cforce-frame-pointers=yes"]);
    let named = captured(&mut cache, &library, 0, "sleeps");
    assert_eq!(named.blame_function, "scenes::sleeps");
}

#[test]
fn libraries_may_come_and_go() {
    let path = build("fleeting", &["-Copt-level=1"]);
    let (mut sampler, mut cache) = prepared(Settings::default());
    for _ in 0..20 {
        let library = Library::load(&path);
        let playing = play(library, 0, 20);
        let found = stacks(&mut sampler, &mut cache, &playing, "sleeps");
        playing.thread.join().unwrap();
        library.unload();
        assert_eq!(resolve(&mut cache, &found).blame_function, "scenes::sleeps");
    }
}
