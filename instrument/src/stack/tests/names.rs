//! Names of addresses: the same as another reader of the same files has, in little memory.

use object::{Object, ObjectSection, SectionKind};

use super::*;
use crate::stack::Binary;
use crate::stack::dwarf::Found;
use crate::stack::ffi;

/// What names may take of memory in a program of any size, with what is needed to read them.
const NAMES_BYTES_MAX: u64 = 8 << 20;

/// Addresses all over the code of a file.
pub(super) fn addresses(path: &Path, count: u64) -> Vec<u64> {
    let map = ffi::map_file(&std::fs::File::open(path).unwrap()).unwrap();
    let object = object::File::parse(&*map).unwrap();
    let code = object.sections().filter(|section| section.kind() == SectionKind::Text);
    let code = code.map(|section| (section.address(), section.size())).collect::<Vec<_>>();
    let all = code.iter().map(|(_, size)| size).sum::<u64>();
    // Not a multiple of what functions are aligned to.
    let step = (all / count).max(1) | 1;
    code.iter().flat_map(|&(start, size)| (start..start + size).step_by(step as usize)).collect()
}

/// The same by addr2line, an implementation that keeps all units.
pub(super) fn by_addr2line(
    loader: &addr2line::Loader,
    address: u64,
) -> (Option<String>, Vec<Found>) {
    let mut all = Vec::new();
    let mut frames = loader.find_frames(address).unwrap();
    while let Some(frame) = frames.next().unwrap() {
        let name = frame.function.map(|name| name.raw_name().unwrap().into_owned());
        let (file, line) = frame.location.map(|at| (at.file, at.line)).unwrap_or_default();
        all.push(Found {
            name: name.unwrap_or_default(),
            file: file.unwrap_or_default().to_owned(),
            line: line.unwrap_or(0),
        });
    }
    (loader.find_symbol(address).map(str::to_owned), all)
}

/// Assembly may give one piece of code several names, each with an entry of its own: any is right.
fn without_aliases(
    (symbol, found): &(Option<String>, Vec<Found>),
) -> (&Option<String>, Vec<Found>) {
    let named = found.iter().map(|found| {
        let is_assembly = found.file.ends_with(".S");
        let name = if is_assembly { String::new() } else { found.name.clone() };
        Found { name, ..found.clone() }
    });
    (symbol, named.collect())
}

fn compare(path: &Path, count: u64) {
    let binary = Binary::open(path).unwrap();
    let loader = addr2line::Loader::new(path).unwrap();
    let (mut lines, mut inlined) = (0, 0);
    let addresses = addresses(path, count);
    for &address in &addresses {
        let (found, expected) = (binary.found(address), by_addr2line(&loader, address));
        assert_eq!(
            without_aliases(&found),
            without_aliases(&expected),
            "{address:#x} of {}",
            path.display()
        );
        lines += usize::from(found.1.iter().any(|found| found.line > 0));
        inlined += usize::from(found.1.len() > 1);
    }
    let total = addresses.len();
    assert!(lines * 2 > total && inlined > 0, "{total} addresses, {lines}, {inlined}");
}

#[test]
fn names_files_and_lines_are_those_that_addr2line_has() {
    compare(&std::env::current_exe().unwrap(), 4_000);
    let builds: [(&str, &[&str]); 3] = [
        ("named-full", &["-Copt-level=3", "-Cdebuginfo=full"]),
        ("named-lto", &["-Copt-level=3", "-Cdebuginfo=full", "-Clto=fat"]),
        ("named-one", &["-Copt-level=s", "-Cdebuginfo=1", "-Ccodegen-units=1"]),
    ];
    for (name, flags) in builds {
        compare(&build(name, flags), 2_000);
    }
}

#[test]
fn names_of_units_in_files_of_their_own_are_found() {
    let flags = ["-Copt-level=2", "-Cdebuginfo=full"];
    for kind in ["-Csplit-debuginfo=packed", "-Csplit-debuginfo=unpacked"] {
        let library = build(&kind.replace('=', "-"), &[&flags[..], &[kind]].concat());
        compare(&library, 500);
    }
}

#[test]
fn names_take_little_memory_in_a_large_program() {
    let path = std::env::current_exe().unwrap();
    let addresses = addresses(&path, 3_000);
    let mut cache = Cache::default();
    let modules = crate::stack::modules::Modules::loaded();
    let own = modules.all.iter().find(|module| module.path.is_empty()).unwrap();
    let stacks = addresses.chunks(30).map(|chunk| {
        let chunk = chunk.iter().map(|address| address.wrapping_add(own.base));
        RawStack::of(chunk.collect(), &modules)
    });
    let stacks = stacks.collect::<Vec<_>>();
    let info = allocation_counter::measure(|| {
        for stack in &stacks {
            resolved(&mut cache, stack);
        }
    });
    drop(cache);
    assert!(info.bytes_max <= NAMES_BYTES_MAX, "{} KiB at most", info.bytes_max >> 10);
}
